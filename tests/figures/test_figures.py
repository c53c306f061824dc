"""`figures`: the data behind the pictures. Pixels of a plot are compared with nothing."""

import dataclasses

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from PIL import Image

from picie_core import evaluation, figures, palettes, tables, training
from picie_core.classes import SCENES, VOID
from picie_core.datasets import Prepared

matplotlib.use("agg")

PALETTE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=np.uint8)
DARK = figures.VOID_COLOR


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def prepared(images, labels=None, pixels=None):
    """What a picture looks at of a prepared split."""
    return Prepared(
        folder="prepared/some-train",
        manifest={"frequencies": [{"pixels": n} for n in pixels]} if pixels else {},
        images=images,
        labels=labels,
        classes=None if labels is None else SCENES,
    )


class Split(list):
    """A prepared split of images that are all of the shade of their number."""

    def __init__(self, count, labels=False):
        super().__init__(range(count))
        self.images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 4, 4, 3))
        self.labels = np.broadcast_to((np.arange(count) % 12)[:, None, None], (count, 4, 4)) if labels else None
        self.classes = SCENES if labels else None


def shown(figure):
    """The arrays of the pictures in a grid, row by row."""
    return [[axis.images[0].get_array() for axis in row if axis.images] for row in grid(figure)]


def grid(figure):
    spec = figure.axes[0].get_gridspec()
    return np.array(figure.axes, dtype=object).reshape(spec.nrows, spec.ncols)


# -- colours


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int16])
def test_paint_gives_each_index_its_colour_and_the_rest_darkness(dtype):
    values = [[0, 1, 2], [3, VOID, 1 if dtype is np.uint8 else -1]]
    painted = figures.paint(np.array(values, dtype=dtype), PALETTE)
    last = PALETTE[1].tolist() if dtype is np.uint8 else list(DARK)
    assert painted.dtype == np.uint8
    assert painted.tolist() == [PALETTE.tolist(), [list(DARK), list(DARK), last]]


@given(st.integers(1, 400))
def test_paint_takes_as_many_colours_as_there_are(n):
    palette = palettes.of_clusters(n)
    indices = np.arange(n, dtype=np.uint8 if n <= 256 else np.uint16)
    assert np.array_equal(figures.paint(indices, palette), palette)
    assert figures.paint(np.array([n, -1]), palette).tolist() == [list(DARK)] * 2


def test_overlay_mixes_colour_and_image():
    images = np.full((1, 1, 3, 3), 100, dtype=np.uint8)
    mixed = figures.overlay(images, np.array([[[0, 2, VOID]]]), PALETTE, alpha=0.25)
    assert mixed.dtype == np.uint8
    assert mixed.tolist() == [[[[138, 75, 75], [75, 75, 138], [80, 80, 80]]]]


def test_enlarged_maps_have_each_cell_as_a_square():
    assert figures.enlarge(np.array([[1, 2]]), 2).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]
    assert figures.enlarge(np.zeros((3, 4, 5)), 4).shape == (3, 16, 20)


def test_runs_are_compared_in_class_colours_between_image_and_truth(tiny_run):
    _, val = training.splits(tiny_run.settings)
    figure = figures.compared({"first": tiny_run, "again": tiny_run}, val, count=3)
    assert [axis.get_ylabel() for axis in grid(figure)[:, 0]] == ["image", "first", "again", "ground truth"]
    rows, chosen = shown(figure), [0, 1, 3]  # of four
    method, fabric = training.restore(tiny_run)
    clusters = np.concatenate([c["final"] for _, c in evaluation.predictions(method, val, 4, fabric.device)])
    painted = figures.paint(clusters, palettes.of_run(tiny_run))
    for column, number in enumerate(chosen):
        assert np.array_equal(rows[0][column], val.images[number])
        assert np.array_equal(rows[1][column], painted[number])
        assert np.array_equal(rows[2][column], rows[1][column])
        assert np.array_equal(rows[3][column], figures.paint(val.labels[number], val.classes.colors))


def test_without_labels_runs_are_compared_in_colours_of_their_own(tiny_run):
    _, val = training.splits(tiny_run.settings)
    bare = dataclasses.replace(val, labels=None, classes=None)
    figure = figures.compared({"a": dataclasses.replace(tiny_run, confusion=None)}, bare)
    assert [axis.get_ylabel() for axis in grid(figure)[:, 0]] == ["image", "a"]
    assert not figure.legends
    found = {tuple(color) for picture in shown(figure)[1] for color in picture.reshape(-1, 3)}
    assert found <= {tuple(color) for color in palettes.of_clusters(tiny_run.settings.num_clusters)}


# -- features as pictures


def test_features_along_one_line_are_shown_along_one_channel():
    along = np.linspace(-1, 1, 64).reshape(1, 8, 8)
    direction = np.array([0.6, 0.0, -0.8, 0.0, 0.0])
    picture = figures.main_directions(7 + along[:, None] * direction[None, :, None, None])
    assert picture.shape == (1, 8, 8, 3)
    assert picture.dtype == np.uint8
    red = picture[..., 0].astype(int).ravel()
    steps = np.diff(red)
    assert (steps >= 0).all() or (steps <= 0).all()  # the sign of a direction is arbitrary
    assert {red[0], red[-1]} == {0, 255}
    # From the 2nd to the 98th percentile the shade is linear in the feature.
    inner = np.sort(red)[3:-3]
    assert np.abs(np.diff(inner, n=2)).max() <= 1


def test_the_main_directions_are_those_of_largest_spread():
    rng = np.random.default_rng(0)
    spread = np.array([0.1, 5.0, 0.0, 1.0, 3.0])
    features = rng.normal(size=(2, 5, 16, 16)) * spread[None, :, None, None]
    picture = figures.main_directions(features).astype(float)
    for channel, dimension in enumerate((1, 4, 3)):
        correlation = np.corrcoef(picture[..., channel].ravel(), features[:, dimension].ravel())[0, 1]
        assert abs(correlation) > 0.95


def test_features_without_any_spread_are_shown_in_one_colour():
    assert np.ptp(figures.main_directions(np.ones((1, 4, 3, 3)))) == 0


def test_spectra_are_drawn_largest_first_with_the_directions_in_use():
    corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], dtype=float).T.reshape(1, 3, 2, 2)
    (axis,) = figures.spectra({"two": corners, "one": corners * [[[[1]], [[0]], [[0]]]]}).axes
    assert [np.round(line.get_ydata(), 6).tolist() for line in axis.lines] == [[50, 50, 0], [100, 0, 0]]
    assert [t.get_text().split(":")[1] for t in axis.get_legend().get_texts()] == [
        " 2.0 directions in use", " 1.0 directions in use"
    ]  # fmt: skip


# -- grids of pictures


def test_panels_show_what_they_are_given():
    small, large = np.zeros((2, 3, 3), np.uint8), np.full((5, 4, 3), 9, np.uint8)
    figure = figures.panels({"one": [small, large], "two": [large]}, titles=["first", "second"])
    assert [axis.get_ylabel() for axis in grid(figure)[:, 0]] == ["one", "two"]
    assert [axis.get_title() for axis in grid(figure)[0]] == ["first", "second"]
    found = shown(figure)
    assert [len(row) for row in found] == [2, 1]
    assert np.array_equal(found[0][1], large)
    assert np.array_equal(found[1][0], large)


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [0]), (3, [0, 1, 2]), (6, [0, 1, 2, 3, 4, 5]), (11, [0, 2, 4, 6, 8, 10])]
)
def test_samples_are_spread_over_the_split_and_none_is_shown_twice(count, expected):
    images, labels = shown(figures.samples(Split(count, labels=True)))
    assert [int(image[0, 0, 0]) for image in images] == expected
    assert [label[0, 0].tolist() for label in labels] == [SCENES.colors[k % 12].tolist() for k in expected]


def test_samples_without_labels_are_images_alone():
    assert len(shown(figures.samples(Split(4)))) == 1


def test_the_legend_names_every_class_and_void():
    (legend,) = figures.legend(figures.panels({"a": [np.zeros((2, 2, 3))]}), SCENES).legends
    assert [text.get_text() for text in legend.get_texts()] == [*SCENES.names, "void"]
    colors = [np.round(np.array(to_rgb(patch.get_facecolor())) * 255).tolist() for patch in legend.get_patches()]
    assert colors == [*SCENES.colors.tolist(), list(DARK)]


# -- class frequencies


def test_shares_of_classes_are_of_the_labelled_pixels():
    pixels = [0] * 12
    pixels[0], pixels[4] = 30, 10
    pixels.append(60)  # void
    table = tables.pixels_by_class(prepared(None, labels=np.zeros(1), pixels=pixels), "train")
    assert table.columns.tolist() == ["class", "share", "kind", "split"]
    assert table["class"].tolist() == list(SCENES.names)
    assert table["share"].tolist() == [75, 0, 0, 0, 25] + [0] * 7
    assert [k for k, kind in enumerate(table["kind"]) if kind == "thing"] == sorted(SCENES.things)
    assert set(table["split"]) == {"train"}


def test_a_split_without_labels_has_no_shares():
    with pytest.raises(ValueError, match=r"prepared/some-train has no labels: .*Give a data set with labels"):
        tables.pixels_by_class(prepared(None), "train")


def test_bars_are_as_high_as_the_shares():
    shares = pd.DataFrame(
        {"class": ["sky", "car", "dog"] * 2, "share": [70.0, 20.0, 10.0, 50.0, 50.0, 0.0],
         "kind": ["stuff", "thing", "thing"] * 2, "split": ["train"] * 3 + ["val"] * 3}
    )  # fmt: skip
    classes, kinds = figures.class_shares(shares).axes
    heights = [[bar.get_height() for bar in bars] for bars in classes.containers]
    assert heights == [[70, 20, 10], [50, 50, 0]]
    assert [label.get_text() for label in classes.get_xticklabels()] == ["sky", "car", "dog"]
    assert [text.get_text() for text in classes.get_legend().get_texts()] == ["train", "val"]
    order = [label.get_text() for label in kinds.get_xticklabels()]
    assert [dict(zip(order, (bar.get_height() for bar in bars), strict=True)) for bars in kinds.containers] == [
        {"stuff": 70, "thing": 30}, {"stuff": 50, "thing": 50},
    ]  # fmt: skip


# -- training


PROGRESS = pd.DataFrame(
    {"epoch": [0, 1, 2], "loss": [3.0, 2.0, 1.5], "inertia_1_12": [0.9, 0.8, 0.7], "inertia_2_12": [0.8, 0.7, 0.6],
     "mean_iou_view1": [10.0, 12.0, 11.0], "cluster_sizes_1_3": [[1, 2, 1], [0, 4, 0], [1, 1, 2]]}
)  # fmt: skip


def curves(axis):
    return {line.get_label(): line.get_ydata() for line in axis.lines}


def test_curves_are_the_columns_of_the_progress():
    loss, inertia, score = figures.training_curves(PROGRESS, final=13.5).axes
    (line,) = loss.lines
    assert line.get_xdata().tolist() == [1, 2, 3]  # epochs are counted from 1 for readers
    assert line.get_ydata().tolist() == [3, 2, 1.5]
    assert {k: list(v) for k, v in curves(inertia).items()} == {
        "view 1, K = 12": [0.9, 0.8, 0.7],
        "view 2, K = 12": [0.8, 0.7, 0.6],
    }
    found = curves(score)
    assert list(found["view 1"]) == [10, 12, 11]
    assert list(found["the run's score"]) == [13.5, 13.5]
    assert [t.get_text() for t in score.get_legend().get_texts()] == ["view 1", "the run's score"]


def test_predictions_of_no_view_keep_their_name():
    """As IIC, the supervised network and an over-clustered DeepCluster record them."""
    progress = PROGRESS.rename(columns={"mean_iou_view1": "mean_iou_final"}).assign(mean_iou_majority=1.0)
    _, _, score = figures.training_curves(progress).axes
    assert list(curves(score)) == ["final", "majority"]


@pytest.mark.filterwarnings("error")
def test_curves_are_of_what_a_run_has():
    without = figures.training_curves(PROGRESS.drop(columns="mean_iou_view1")).axes  # no labels
    assert [axis.get_ylabel() for axis in without] == ["training loss", "k-means inertia"]
    taught = PROGRESS[["epoch", "loss", "mean_iou_view1"]]  # no clustering
    assert [axis.get_ylabel() for axis in figures.training_curves(taught, 9.0).axes][1:] == ["validation mIoU (%)"]


@pytest.mark.filterwarnings("error")
def test_without_scored_epochs_there_is_neither_mean_iou_nor_the_runs_line():
    loss, inertia = figures.training_curves(PROGRESS.drop(columns="mean_iou_view1"), final=13.5).axes
    assert [axis.get_ylabel() for axis in (loss, inertia)] == ["training loss", "k-means inertia"]
    assert list(curves(inertia)) == ["view 1, K = 12", "view 2, K = 12"]


def test_cluster_sizes_are_shares_from_the_largest_down():
    (axis,) = figures.cluster_sizes(PROGRESS, "cluster_sizes_1_3").axes
    assert {label: list(y) for label, y in curves(axis).items()} == {
        "epoch 1": [50, 25, 25], "epoch 2": [100, 0, 0], "epoch 3": [50, 25, 25], "all of one size": [100 / 3] * 2,
    }  # fmt: skip


def test_later_epochs_are_darker():
    (axis,) = figures.cluster_sizes(PROGRESS, "cluster_sizes_1_3").axes
    light = [sum(to_rgb(line.get_color())) for line in axis.lines[:3]]
    assert light[0] > light[1] > light[2]


# -- confusion


def test_the_heat_map_holds_percentages_of_classes_and_clusters_stand_under_their_class():
    matrix = np.array([[1, 0, 9, 0], [6, 0, 0, 2]])  # cluster 2 is class 0, cluster 0 is class 1
    axis = figures.confusion(matrix, ["sky", "car"]).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["sky", "car"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["2 → sky", "0 → car", "1 → none", "3 → none"]
    values = axis.collections[0].get_array().reshape(2, 4)
    assert values.tolist() == [[90, 10, 0, 0], [0, 75, 0, 25]]
    assert [text.get_text() for text in axis.texts] == ["90", "10", "0", "0", "0", "75", "0", "25"]
    assert [frame.get_xy() for frame in axis.patches] == [(0, 0), (1, 1)]  # where a class meets its cluster


def test_a_class_without_pixels_is_a_row_of_zeros():
    axis = figures.confusion(np.array([[4, 0], [0, 0]]), ["sky", "car"]).axes[0]
    assert axis.collections[0].get_array().reshape(2, 2).tolist() == [[100, 0], [0, 0]]


def test_many_classes_are_shown_without_numbers():
    axis = figures.confusion(np.eye(27, dtype=int), [f"class {k}" for k in range(27)]).axes[0]
    assert not axis.texts
    assert len(axis.get_xticklabels()) == len(axis.get_yticklabels()) == 27


# -- files


def test_a_saved_figure_says_what_it_shows(tmp_path):
    folder = tmp_path / "new" / "figures"
    figure = figures.panels({"a": [np.zeros((2, 2, 3))]})
    assert figures.save(figure, folder, "curve") is figure
    figures.save(figure, folder, "photos", shows="camvid")
    assert figures.shows(folder / "curve.png") == figures.NO_IMAGES
    assert figures.shows(folder / "photos.png") == "camvid"
    assert sorted(path.name for path in folder.iterdir()) == ["curve.png", "photos.png"]


def test_pyplot_forgets_a_saved_figure(tmp_path):
    figures.save(figures.panels({"a": [np.zeros((2, 2, 3))]}), tmp_path, "a")
    assert plt.get_fignums() == []


def test_what_a_picture_of_others_shows_is_unknown(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert figures.shows(tmp_path / "a.png") == "unknown"


def test_a_table_is_written_as_csv(tmp_path):
    table = pd.DataFrame({"class": ["sky, blue"], "share": [12.5]})
    file = tables.save(table, tmp_path / "tables", "shares")
    assert file == tmp_path / "tables" / "shares.csv"
    assert file.read_text() == 'class,share\n"sky, blue",12.5\n'
