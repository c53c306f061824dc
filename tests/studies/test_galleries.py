"""`galleries`: the places, words and patches in the pictures."""

import dataclasses
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle

from picie_core import figures
from picie_core.classes import SCENES, VOID
from picie_core.studies import galleries
from picie_core.studies.cells import Cells, Grid
from picie_core.studies.retrieval import Hits

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


SIDE, SIZE = 4, 16
NAMES = SCENES.names


@pytest.fixture
def split():
    """Three images whose pixels hold their own place: red the row, green the column, blue the image."""
    images = np.zeros((3, SIZE, SIZE, 3), dtype=np.uint8)
    images[..., 0], images[..., 1] = np.arange(SIZE)[:, None], np.arange(SIZE)
    images[..., 2] = 100 + np.arange(3)[:, None, None]
    return SimpleNamespace(images=images, classes=SCENES)


@pytest.fixture
def grid():
    """Cluster 0 above, cluster 1 below, cluster 2 in one corner of image 2; every cell of class 1 but a few."""
    clusters = np.zeros((3, SIDE, SIDE), dtype=np.int64)
    clusters[:, 2:] = 1
    clusters[2, 3, 3] = 2
    labels = np.ones((3, SIDE, SIDE), dtype=np.uint8)
    labels[1, 0, 0], labels[2, 0, 0] = 4, VOID
    return Grid(clusters, labels, np.full((3, SIDE, SIDE), 0.25, dtype=np.float32))


QUERIES = Cells(np.array([0]), np.array([3]), np.array([1]))
HITS = Hits(np.array([[1, 2, 1]]), np.array([[0, 0, 2]]), np.array([[0, 0, 3]]), np.array([[0.98, 0.9, 0.1]]))


def rings(axis):
    """Where rings are, and in what colours."""
    found = [patch for patch in axis.patches if isinstance(patch, Circle)]
    return {patch.center for patch in found}, {patch.get_edgecolor()[:3] for patch in found}


def test_a_cells_centre_is_the_middle_of_its_pixels():
    for cells, size in ((16, 64), (4, 16), (8, 8)):
        s = size // cells
        for cell in (0, 3, cells - 1):
            assert galleries.centre(cell, cells, size) == np.arange(s * cell, s * (cell + 1)).mean()


def test_neighbours_stand_beside_their_query_with_their_places_and_classes(split, grid):
    figure = galleries.neighbours(split, grid, QUERIES, HITS, classes=np.array([1, 4, -1]))
    axes = figure.axes
    for axis, image in zip(axes, (0, 1, 2, 1), strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), split.images[image])
    places = [(5.5, 13.5), (1.5, 1.5), (1.5, 1.5), (13.5, 9.5)]  # x, y
    assert [rings(axis) for axis in axes] == [({place}, {(0, 0, 0), (1, 1, 1)}) for place in places]
    own, other = NAMES[1], NAMES[4]
    said = [axis.get_xlabel().replace("\n", " ") for axis in axes]
    assert said == [f"{own}, taken for {other}", f"0.98  {other} ✗", "0.90  mixed", f"0.10  {own} ✓"]
    colors = [axis.xaxis.label.get_color() for axis in axes]
    assert colors == [galleries.WRONG, galleries.WRONG, "0.35", galleries.RIGHT]


def test_a_query_of_the_right_class_says_so(split, grid):
    axis = galleries.neighbours(split, grid, QUERIES, HITS, classes=np.array([4, 1, -1])).axes[0]
    assert axis.get_xlabel() == f"{NAMES[1]}, predicted"
    assert axis.spines["top"].get_edgecolor()[:3] == pytest.approx(to_rgb(galleries.RIGHT))


def test_a_cluster_of_no_class_is_said_to_have_none(split, grid):
    said = galleries.neighbours(split, grid, QUERIES, HITS, classes=np.array([1, -1, 4])).axes[0].get_xlabel()
    assert said.replace("\n", " ") == f"{NAMES[1]}, taken for no class"


def test_without_labels_nothing_is_said_of_classes(split, grid):
    split.classes, grid = None, dataclasses.replace(grid, labels=None)
    said = [axis.get_xlabel().strip() for axis in galleries.neighbours(split, grid, QUERIES, HITS).axes]
    assert said == ["image 0", "0.98", "0.90", "0.10"]


def confusion(columns):
    matrix = np.zeros((len(NAMES), len(columns)), dtype=np.int64)
    for k, counts in enumerate(columns):
        matrix[list(counts), k] = list(counts.values())
    return matrix


def test_the_table_of_clusters_has_shares_places_and_mixtures(grid):
    found = galleries.clusters(grid, confusion([{1: 60, 4: 30, 2: 10, 5: 1}, {3: 5}, {0: 1}, {}]), SCENES, 4)
    assert found["cluster"].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(found["share"], [50, 100 * 23 / 48, 100 / 48, 0])
    assert found["height"].tolist()[:2] == [25, pytest.approx((24 * 75 - 87.5) / 23)]
    assert found["light"].tolist()[:3] == [25, 25, 25]
    np.testing.assert_allclose(found["purity"], [100 * 60 / 101, 100, 100, np.nan])
    assert found["classes"].tolist() == [
        f"{NAMES[1]} 59 %, {NAMES[4]} 30 %, {NAMES[2]} 10 %", f"{NAMES[3]} 100 %", f"{NAMES[0]} 100 %", ""
    ]  # fmt: skip
    assert list(galleries.clusters(grid, None, None, 3).columns) == ["cluster", "share", "height", "light"]


def test_the_table_is_sorted_by_share(grid):
    turned = dataclasses.replace(grid, clusters=2 - grid.clusters)
    assert galleries.clusters(turned, None, None, 3)["cluster"].tolist() == [2, 1, 0]


@pytest.mark.parametrize(("y", "x"), [(5.5, 9.5), (1.5, 13.5), (13.5, 1.5)])
def test_a_patch_has_its_place_in_the_middle_and_grey_beyond_the_edge(split, y, x):
    found = galleries.patch(split.images[0], y, x, 8)
    assert found.shape == (8, 8, 3)
    for row, column in np.ndindex(8, 8):
        at = (y - 3.5 + row, x - 3.5 + column)  # the patch's middle is at 3.5
        inside = all(0 <= place < SIZE for place in at)
        expected = (*map(int, at), 100) if inside else (galleries.OUTSIDE,) * 3
        assert tuple(found[row, column]) == expected


def test_the_gallery_has_a_row_for_each_cluster_and_says_where_there_are_few(split, grid):
    table = galleries.clusters(grid, confusion([{1: 1}, {2: 3, 3: 1}, {0: 1}]), SCENES, 3)
    hits = Hits(
        np.array([[0, 1], [2, 0], [2, -1]]), np.array([[0, 1], [2, 3], [3, -1]]), np.array([[0, 1], [0, 1], [3, -1]]),
        np.zeros((3, 2)),
    )  # fmt: skip
    axes = np.array(galleries.gallery(split, grid, table, hits, side=8).axes).reshape(3, 3)
    said = [[text.get_text() for text in row[0].texts] for row in axes]
    assert said[0] == ["cluster 0: 50.0 %", f"{NAMES[1]} 100 %"]
    assert said[1][1] == f"{NAMES[2]} 75 %\n{NAMES[3]} 25 %"
    assert said[2][0] == "cluster 2: 2.1 % in 1 image"
    assert not axes[2, 2].images
    for axis, patch in ((axes[1, 1], (split.images[2], 9.5, 1.5, 8)), (axes[1, 2], (split.images[0], 13.5, 5.5, 8))):
        np.testing.assert_array_equal(axis.images[0].get_array(), galleries.patch(*patch))
    assert rings(axes[1, 1])[0] == {(3.5, 3.5)}


def test_the_figures_can_be_written(split, grid, tmp_path):
    figure = galleries.neighbours(split, grid, QUERIES, HITS, classes=np.array([1, 4, -1]))
    figures.save(figure, tmp_path, "neighbours", shows="camvid")
    assert figures.shows(tmp_path / "neighbours.png") == "camvid"
