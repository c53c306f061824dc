"""`clustering`: mini-batch k-means against a float64 loop, by hand, and what it refuses; scores and labels."""

import faiss
import numpy as np
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from picie_core import clustering
from picie_core.clustering import ClusteringError, MiniBatchKMeans


def points(n: int, d: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(oracles.noise(n, d, seed=seed), dim=1)


def fit(batches: list[torch.Tensor], k: int, init: int, update: int, seed: int = 1) -> tuple[MiniBatchKMeans, float]:
    kmeans = MiniBatchKMeans(k, init, update, 20, seed)
    for batch in batches:
        kmeans.add(batch)
    return kmeans, kmeans.finish()[1]


@pytest.mark.parametrize("update", [1, 2, 3])
def test_mini_batch_k_means_is_the_loops(update):
    batches = [points(40, seed=i) for i in range(9)]
    first = clustering.first_centroids(torch.cat(batches[:2]), 5, 20, 1)
    kmeans, inertia = fit(batches, k=5, init=2, update=update)
    rest = batches[2:]  # 7 batches: groups of 2 and of 3 leave an incomplete last one, which is used
    groups = [batches[:2], *(rest[i : i + update] for i in range(0, len(rest), update))]
    expected, counts, mean = oracles.minibatch_kmeans([torch.cat(g).numpy() for g in groups], first.numpy())
    np.testing.assert_allclose(kmeans.centroids.numpy(), expected, atol=1e-6)
    np.testing.assert_array_equal(kmeans.counts.numpy(), counts)
    assert counts.sum() == 9 * 40
    assert inertia == pytest.approx(mean, rel=1e-5)
    assert np.abs(expected - first.numpy()).max() > 0.01  # the later batches did move them
    assert (np.linalg.norm(kmeans.centroids.numpy(), axis=1) < 0.99).all()  # means of unit vectors, left as they are


def test_by_hand_in_one_dimension():
    kmeans = MiniBatchKMeans(k=2, init_batches=1, update_batches=2, iterations=20, seed=0)
    kmeans.add(torch.tensor([[0.0], [2.0], [10.0], [10.0], [13.0]]))  # means 1 (2 points) and 11 (3 points)
    low = int(kmeans.centroids[:, 0].argmin())
    assert sorted(kmeans.centroids[:, 0].tolist()) == [1, 11]
    assert kmeans.counts[low] == 2
    kmeans.add(torch.tensor([[5.0]]))  # waits for the second batch of its group
    assert kmeans.counts.sum() == 5
    kmeans.add(torch.tensor([[3.0], [20.0]]))
    # low: count 4, rate 2/4, mean 4 -> 0.5 * 1 + 0.5 * 4; high: count 4, rate 1/4 -> 0.75 * 11 + 0.25 * 20
    assert kmeans.centroids[[low, 1 - low], 0].tolist() == [2.5, 13.25]
    kmeans.add(torch.tensor([[12.0]]))  # alone in the last group: 0.8 * 13.25 + 0.2 * 12 = 13
    centroids, inertia = kmeans.finish()
    assert centroids[[low, 1 - low], 0].tolist() == pytest.approx([2.5, 13.0])
    assert kmeans.counts[[low, 1 - low]].tolist() == [4, 5]
    # when each was used: 1 1 1 1 4 | 16 4 81 | 1.25^2
    assert inertia == pytest.approx((8 + 101 + 1.5625) / 9)


def test_a_cluster_without_pixels_in_a_group_stays():
    kmeans, _ = fit([torch.tensor([[0.0], [10.0]]), torch.tensor([[11.0], [13.0]])], k=2, init=1, update=1)
    assert sorted(kmeans.centroids[:, 0].tolist()) == pytest.approx([0, 10 / 3 + 2 * 12 / 3])


def test_fewer_batches_than_asked_is_plain_k_means_on_everything():
    batches = [points(50, seed=i) for i in range(3)]
    kmeans, inertia = fit(batches, k=4, init=20, update=1)
    everything = torch.cat(batches)
    assert torch.equal(kmeans.centroids, clustering.first_centroids(everything, 4, 20, 1))
    found = oracles.nearest(everything.numpy(), kmeans.centroids.numpy())
    np.testing.assert_array_equal(kmeans.counts.numpy(), np.bincount(found, minlength=4))
    for k in range(4):  # Lloyd's fixed point
        np.testing.assert_allclose(kmeans.centroids[k], everything[found == k].mean(dim=0), atol=1e-5)
    distance = ((everything.double() - kmeans.centroids[found].double()) ** 2).sum(dim=1)
    assert inertia == pytest.approx(float(distance.mean()), rel=1e-5)


def test_a_sample_stands_for_the_pixels_it_was_drawn_from(monkeypatch):
    """Of 3 batches of 400 pixels 50 each go into the first k-means; the counts are those of all 1,200."""
    seen = []
    whole = clustering.first_centroids
    monkeypatch.setattr(
        clustering, "first_centroids", lambda points, *rest: (seen.append(points), whole(points, *rest))[1]
    )
    centres = torch.eye(3) * 10
    batches = [centres[torch.arange(400) % 3] + 0.1 * points(400, seed=i) for i in range(4)]
    kmeans = MiniBatchKMeans(3, 3, 1, 20, 1, sample=50)
    for batch in batches[:3]:
        kmeans.add(batch)
    (used,) = seen
    assert used.shape == (150, 3)
    for number, part in enumerate(used.split(50)):  # without repetition, from its own batch
        rows = (part[:, None] == batches[number]).all(dim=2).int().argmax(dim=1)
        assert torch.equal(batches[number][rows], part)
        assert len(rows.unique()) == 50
    assert kmeans.counts.sum() == pytest.approx(1200)
    before = kmeans.counts.clone()
    kmeans.add(batches[3])  # later batches are used whole
    assert (kmeans.counts - before).sum() == pytest.approx(400)
    assert torch.cdist(centres, kmeans.centroids).min(dim=1).values.max() < 0.2


def test_faiss_sees_every_point():
    """faiss takes at most 256 points a cluster unless told not to: of 2 x 40,000 points it must use all."""
    n = 40_000
    cloud = torch.cat([torch.linspace(-1, 1, n)[:, None] ** 3 + 5, torch.linspace(-1, 1, n)[:, None] ** 3 - 5])
    found = clustering.first_centroids(cloud, 2, 20, 0)[:, 0].sort().values
    torch.testing.assert_close(found, torch.tensor([-5.0, 5.0]), atol=1e-4, rtol=0)  # a sample of 512 is 0.02 off
    assert faiss.ClusteringParameters().max_points_per_centroid == 256


def test_equal_seeds_are_bitwise_equal_and_others_not():
    batches = [points(60, seed=i) for i in range(5)]
    one, two, other = (fit(batches, 6, 2, 2, seed)[0].centroids for seed in (7, 7, 8))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_autocast_does_not_coarsen_it():
    batches, mu = [points(200, seed=i) for i in range(4)], points(5, seed=9)
    maps = points(64).reshape(1, 8, 8, 3).permute(0, 3, 1, 2)
    expected, inertia = fit(batches, 5, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        found, again = fit(batches, 5, 1, 1)
        scores = clustering.scores(maps, mu, "inner")
    assert torch.equal(found.centroids, expected.centroids)
    assert again == inertia
    assert torch.equal(scores, clustering.scores(maps, mu, "inner"))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", [0, 1])
def test_features_that_are_not_finite_are_refused(bad, where):
    batches = [points(10, seed=i) for i in range(2)]
    batches[where][3, 1] = bad
    with pytest.raises(ClusteringError, match=r"not finite.*learning_rate"):
        fit(batches, 2, 1, 1)


def test_fewer_pixels_than_clusters_and_none_at_all_are_refused():
    with pytest.raises(
        ClusteringError, match=r"3 pixel features cannot make 4 clusters: give at most 3 \(num_clusters"
    ):
        fit([points(3)], 4, 1, 1)
    assert fit([points(4)], 4, 1, 1)[1] == pytest.approx(0, abs=1e-6)
    with pytest.raises(ClusteringError, match="no features"):
        fit([], 4, 1, 1)


def test_a_collapsed_clustering_is_refused():
    with pytest.raises(ClusteringError, match=r"epoch 3 has collapsed: 1 of 4 clusters"):
        clustering.check_in_use(torch.tensor([0, 9, 0, 0]), 3)
    clustering.check_in_use(torch.tensor([0, 9, 0, 1]), 3)


@pytest.mark.parametrize("rule", ["inner", "cosine", "euclidean"])
def test_scores_are_the_formulas(rule):
    features = points(2 * 3 * 4, 5).reshape(2, 3, 4, 5).permute(0, 3, 1, 2)
    prototypes = 0.9 * points(6, 5, seed=1) * torch.linspace(0.5, 1, 6)[:, None]
    found = clustering.scores(features, prototypes, rule)
    assert found.shape == (2, 6, 3, 4)
    np.testing.assert_allclose(found, oracles.scores(features.numpy(), prototypes.numpy(), rule), atol=1e-6)
    expected = oracles.scores(features.numpy(), prototypes.numpy(), rule).argmax(axis=1)
    np.testing.assert_array_equal(clustering.assign(features, prototypes, rule), expected)


def test_the_rules_can_disagree():
    z = torch.tensor([1.0, 0.0])[None, :, None, None]
    prototypes = torch.tensor([[1.2, 1.0], [0.5, 0.1], [0.9, 0.4]])  # largest product, smallest angle, nearest
    assert [int(clustering.assign(z, prototypes, rule)) for rule in ("inner", "cosine", "euclidean")] == [0, 1, 2]


def test_a_tie_goes_to_the_lowest_index_and_nearest_is_the_default():
    z = torch.tensor([1.0, 0.0])[None, :, None, None]
    same = torch.tensor([[0.0, 1.0], [0.5, 0.5], [0.5, 0.5]])
    assert [int(clustering.assign(z, same, rule)) for rule in ("inner", "cosine", "euclidean")] == [1, 1, 1]
    assert int(clustering.assign(z, torch.tensor([[1.2, 1.0], [0.9, 0.5]]))) == 1


@given(st.integers(2, 100_000))
def test_labels_fit_their_type(k):
    dtype = clustering.label_dtype(k)
    assert torch.tensor(k - 1).to(dtype).long() == k - 1
    smaller = {torch.int16: torch.uint8, torch.int32: torch.int16}.get(dtype)
    assert smaller is None or torch.tensor(k - 1).to(smaller).long() != k - 1


def test_label_types_at_their_edges():
    expected = {256: torch.uint8, 257: torch.int16, 32_768: torch.int16, 32_769: torch.int32}
    assert {k: clustering.label_dtype(k) for k in expected} == expected


def test_flatten_keeps_each_pixels_channels_together():
    maps = torch.arange(24).reshape(2, 3, 2, 2)  # image, channel, row, column
    flat = clustering.flatten(maps)
    assert flat.dtype == torch.float32
    assert flat[:5].tolist() == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11], [12, 16, 20]]


# -- what the first k-means may take


@pytest.mark.parametrize(("memory", "kept"), [(None, 60), (10**6, 60), (2 * 4 * 4 * 3 * 7, 7), (1, 1)])
def test_the_first_points_keep_to_their_memory(memory, kept):
    """Three batches of points of four numbers, each held twice."""
    kmeans = MiniBatchKMeans(1, 3, 1, 5, 0, memory=memory)
    for _ in range(2):
        kmeans.add(torch.randn(60, 4))
    assert [len(points) for points in kmeans._first_points] == [kept, kept]
    kmeans.add(torch.randn(60, 4))
    kmeans.finish()
    assert kmeans.counts.tolist() == [pytest.approx(180)]  # those kept stand for the others


def test_clusterings_made_together_share_the_memory(tmp_path):
    from tiny_runs import tiny

    from picie_core.methods import METHODS

    one = METHODS["picie"](tiny(tmp_path, kmeans_memory=6), 8)
    two = METHODS["picie"](tiny(tmp_path, kmeans_memory=6, num_overclusters=9), 8)
    asked = []
    for method in (one, two):
        made = method.kmeans
        method.kmeans = lambda *key, made=made, **how: asked.append(made(*key, **how)) or asked[-1]
        next(method.passes(0))
    assert [kmeans.memory for kmeans in asked] == [6 * 2**20, 3 * 2**20, 3 * 2**20]
    asked.clear()
    next(two.closing_passes())  # one alone
    assert [kmeans.memory for kmeans in asked] == [6 * 2**20]


def test_distances_are_held_in_parts(monkeypatch):
    points, maps = torch.randn(500, 6, generator=torch.Generator().manual_seed(1)), oracles.noise(5, 6, 3, 4)
    whole = MiniBatchKMeans(4, 1, 1, 5, 0)
    whole.add(points)
    whole.add(points + 0.1)
    labels = clustering.assign(maps, points[:4])
    monkeypatch.setattr(clustering, "_DISTANCES", 4 * 37)  # 37 points, or 3 maps of 12, at a time
    parts = MiniBatchKMeans(4, 1, 1, 5, 0)
    parts.add(points)
    parts.add(points + 0.1)
    assert torch.equal(clustering.assign(maps, points[:4]), labels)
    torch.testing.assert_close(parts.finish()[0], whole.finish()[0])
    assert parts.finish()[1] == pytest.approx(whole.finish()[1])
    assert parts.counts.tolist() == whole.counts.tolist()
