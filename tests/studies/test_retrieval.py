"""`retrieval`: the nearest pixels of a whole split, exactly, one an image; beside brute force in float64."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stand_ins import CPU, Colours, Split

from picie_core.classes import VOID
from picie_core.studies import cells, retrieval
from picie_core.studies.cells import Cells, Grid
from picie_core.studies.retrieval import Hits


def embedded(data):
    """The features of a split under `Colours`, (N, 3, h, w)."""
    return torch.cat([Colours().embedding(images) for _, images in cells.batches(Colours(), data, CPU, 3)])


def brute_force(queries, features, k, leave_out=None):
    """Lists of (image, y, x, similarity), by loops in float64."""
    found = []
    for q, vector in enumerate(queries.astype(np.float64)):
        best = []
        for image, maps in enumerate(features.astype(np.float64)):
            if leave_out is not None and image == leave_out[q]:
                continue
            scored = [(-(vector @ maps[:, y, x]), y, x) for y, x in np.ndindex(maps.shape[1:])]
            similarity, y, x = min(scored)
            best.append((similarity, image, y, x))
        found.append([(image, y, x, -similarity) for similarity, image, y, x in sorted(best)[:k]])
    return found


def listed(hits):
    return [
        [tuple(int(part[q, n]) for part in (hits.image, hits.y, hits.x)) for n in range(hits.image.shape[1])]
        for q in range(len(hits.image))
    ]


def batched(features, size):
    return ((np.arange(len(features))[s : s + size], features[s : s + size]) for s in range(0, len(features), size))


# --- search ----------------------------------------------------------------------------------------------------------


def test_a_search_counted_by_hand():
    features = torch.zeros(3, 2, 2, 3)
    features[0, :, 1, 2] = torch.tensor([0.6, 0.8])
    features[1, :, 0, 1] = torch.tensor([1.0, 0.0])
    features[2, :, 1, 0] = torch.tensor([0.8, 0.6])
    features[2, :, 0, 0] = torch.tensor([0.9, 0.0])  # the second best cell of the best but one image: one hit an image
    found = retrieval.search(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), batched(features, 2), 2)
    assert listed(found) == [[(1, 0, 1), (2, 0, 0)], [(0, 1, 2), (2, 1, 0)]]
    np.testing.assert_allclose(found.similarity, [[1.0, 0.9], [0.8, 0.6]], rtol=1e-6)


@given(
    st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 7), st.integers(1, 3), st.booleans(), st.integers(1, 6)
)
def test_a_search_is_brute_force(seed, images, k, side, own_left_out, batch_size):
    # Small integers: products are exact in float32, and ties are many.
    drawn = np.random.default_rng(seed)
    features = drawn.integers(-2, 3, (images, 3, side, side)).astype(np.float32)
    queries = drawn.integers(-2, 3, (4, 3)).astype(np.float32)
    leave_out = drawn.integers(0, images, 4) if own_left_out else None
    maps = batched(torch.from_numpy(features), batch_size)
    found = retrieval.search(torch.from_numpy(queries), maps, k, leave_out)
    assert found.image.shape == found.y.shape == found.x.shape == found.similarity.shape == (4, k)
    for q, expected in enumerate(brute_force(queries, features, k, leave_out)):
        there = len(expected)
        assert there == min(k, images - own_left_out)
        assert listed(found)[q] == [line[:3] for line in expected] + [(-1, -1, -1)] * (k - there)
        np.testing.assert_array_equal(found.similarity[q, :there], [line[3] for line in expected])
        assert np.isnan(found.similarity[q, there:]).all()
        assert len(set(found.image[q, :there])) == there  # one hit an image
        assert leave_out is None or leave_out[q] not in found.image[q]


def test_the_order_of_the_images_does_not_matter():
    features = torch.ones(4, 1, 2, 2)
    backwards = ((np.array([n]), features[n : n + 1]) for n in (3, 1, 0, 2))
    assert listed(retrieval.search(torch.ones(1, 1), backwards, 3)) == [[(0, 0, 0), (1, 0, 0), (2, 0, 0)]]


# --- neighbours ------------------------------------------------------------------------------------------------------

QUERIES = Cells(np.array([4, 0, 4]), np.array([7, 0, 3]), np.array([1, 6, 3]))


@pytest.mark.parametrize("batch_size", [1, 2, 5, 16])
def test_neighbours_are_of_the_querys_cell_and_not_of_its_image(batch_size):
    data = Split(5)
    features = embedded(data).numpy()
    vectors = features[QUERIES.image, :, QUERIES.y, QUERIES.x]
    found = retrieval.neighbours(Colours(), data, QUERIES, 4, CPU, batch_size)
    assert listed(found) == [
        [line[:3] for line in expected] for expected in brute_force(vectors, features, 4, QUERIES.image)
    ]
    assert (found.similarity[:, :-1] >= found.similarity[:, 1:]).all()


@pytest.mark.parametrize("k", [0, 5, 6])
def test_more_neighbours_than_there_are_images_are_refused(k):
    with pytest.raises(ValueError, match=f"{k} neighbours, one an image, were asked for; besides the query's .* 4"):
        retrieval.neighbours(Colours(), Split(5), QUERIES, k, CPU)


def test_no_queries_have_no_neighbours():
    none = np.zeros(0, dtype=np.int64)
    assert retrieval.neighbours(Colours(), Split(3), Cells(none, none, none), 2, CPU).image.shape == (0, 2)


# --- the most central cells of clusters ------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3])
def test_central_cells_are_a_clusters_own_with_its_highest_logits(batch_size):
    data, method = Split(4), Colours()
    logits = torch.einsum("kd,bdhw->bkhw", method.prototypes, embedded(data)).numpy()
    clusters = logits.argmax(axis=1)
    found = retrieval.central(method, data, 3, CPU, batch_size)
    for c in range(3):
        own = np.where(clusters == c, logits[:, c], -np.inf)
        best = sorted((-own[n].max(), n, *np.unravel_index(own[n].argmax(), own[n].shape)) for n in range(4))[:3]
        assert listed(found)[c] == [(n, y, x) for _, n, y, x in best]
        np.testing.assert_allclose(found.similarity[c], [-score for score, *_ in best], rtol=1e-5)


def test_a_prototype_whose_nearest_cell_is_anothers_has_none():
    """A short prototype under `inner` is never the nearest of a cell, however near its own nearest cell is."""
    found = retrieval.central(Colours([(1.0, 0, 0), (0.1, 0, 0), (-1, 0, 0)]), Split(4), 2, CPU)
    assert (found.image[1] == -1).all()
    assert np.isnan(found.similarity[1]).all()
    assert (found.image[[0, 2]] >= 0).all()


def test_a_cluster_in_fewer_images_has_no_cell_behind_them():
    data = Split(4)
    data.images[:] = 255
    data.images[2, 4:8, 12:16] = (0, 0, 255)
    found = retrieval.central(Colours([(1.0, 1, 0), (-1, 0, 0)]), data, 3, CPU)
    assert listed(found)[1] == [(2, 1, 3), (-1, -1, -1), (-1, -1, -1)]


# --- likeness --------------------------------------------------------------------------------------------------------


def test_likeness_counted_by_hand():
    labels = np.array([[[0, 1], [1, VOID]], [[0, 0], [1, 1]], [[1, 0], [VOID, 0]]], dtype=np.uint8)
    clusters = np.zeros((3, 2, 2), dtype=np.int64)
    clusters[0, 0, 0] = 1
    grid = Grid(clusters, labels, np.zeros((3, 2, 2), dtype=np.float32))
    queries = Cells(np.array([0, 1]), np.array([0, 1]), np.array([0, 0]))  # of class 0, and of class 1
    hits = Hits(np.array([[1, 2], [0, 2]]), np.array([[0, 1], [0, 1]]), np.array([[1, 0], [1, 0]]), np.zeros((2, 2)))
    # hits: class 0 and void; class 1 and void
    found = retrieval.likeness(grid, queries, hits, classes=np.array([1, 0]))
    assert found["own class"] == 100
    assert found["predicted class"] == 100  # cluster 1 is class 0, cluster 0 class 1
    # at (0, 0) of the images 1 and 2: 0 and 1; at (1, 0) of 0 and 2: 1 and void
    assert found["own class, same place"] == (50 + 100) / 2
    # the cells of images 1 and 2: four of seven are 0; of 0 and 2: three of six are 1
    assert found["own class, any place"] == pytest.approx((100 * 4 / 7 + 100 * 3 / 6) / 2)
    assert found["up or down"] == 100 * (0 + 1 + 1 + 0) / 4 / 2
    assert found["across"] == 100 * (1 + 0 + 1 + 0) / 4 / 2
    assert found["up or down, chance"] == found["across, chance"] == 100 * 0.5 / 2
    swapped = retrieval.likeness(grid, queries, hits, classes=np.array([0, 1]))
    assert swapped["predicted class"] == 0
    unlabelled = retrieval.likeness(SimpleNamespace(labels=None, clusters=clusters), queries, hits)
    assert list(unlabelled) == ["up or down", "up or down, chance", "across", "across, chance"]


def test_a_cell_that_knows_its_place_finds_it():
    """Features of nothing but the row: neighbours lie level, and across anywhere."""

    class Rows(Colours):
        def embedding(self, images):
            angle = torch.linspace(0, 1, images.shape[2] // 4)[:, None].expand(-1, images.shape[3] // 4)
            return torch.stack([angle.cos(), angle.sin()])[None].expand(len(images), -1, -1, -1)

    data = Split(6)
    grid = cells.grid(Colours(), data, CPU)
    queries = cells.draw(grid.labels.astype(np.int64), 6, (3,))
    hits = retrieval.neighbours(Rows(), data, queries, 5, CPU)
    found = retrieval.likeness(grid, queries, hits, np.array([0, 1, 2]))
    assert found["up or down"] == 0
    assert found["across"] > 10
