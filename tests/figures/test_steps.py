"""`steps`: the data behind the pictures."""

import dataclasses

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from picie_core import figures, palettes, training, views
from picie_core.figures import steps
from picie_core.methods import METHODS

matplotlib.use("agg")

BLACK, WHITE = [0] * 3, [255] * 3


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def grid(figure):
    spec = figure.axes[0].get_gridspec()
    return np.array(figure.axes, dtype=object).reshape(spec.nrows, spec.ncols)


def names(figure):
    return [axis.get_ylabel().replace("\n", " ") for axis in grid(figure)[:, 0]]


def test_pseudo_labels_are_flat_and_agree_where_they_are_the_same():
    pictures = np.full((2, 4, 4, 3), 7, np.uint8), np.full((2, 4, 4, 3), 9, np.uint8)
    first = np.array([[[0, 1], [2, 2]], [[3, 3], [3, 3]]], np.uint8)
    second = np.array([[[0, 1], [2, 0]], [[0, 3], [1, 2]]], np.int64)
    figure = steps.pseudo_labels(pictures, (first, second), 4)
    assert names(figure) == ["view 1", "labels of view 1", "view 2, moved by G", "labels of view 2", "agree"]
    palette = palettes.of_clusters(4)
    shown = [[axis.images[0].get_array() for axis in line] for line in grid(figure)]
    np.testing.assert_array_equal(shown[0], pictures[0])
    np.testing.assert_array_equal(shown[2], pictures[1])
    for line, labels in ((1, first), (3, second)):  # a cell is 2 x 2 pixels of its colour, with nothing mixed in
        np.testing.assert_array_equal(shown[line], palette[np.kron(labels, np.ones((1, 2, 2), int))])
    assert shown[4][0][::2, ::2].tolist() == [[WHITE, WHITE], [WHITE, BLACK]]
    assert shown[4][1][::2, ::2].tolist() == [[BLACK, WHITE], [BLACK, BLACK]]
    assert [axis.get_title() for axis in grid(figure)[4]] == ["75 %", "25 %"]
    assert not any(axis.get_title() for axis in grid(figure)[:4].flat)


@pytest.fixture
def lesson(tiny_run):
    """An untrained network and the run's, the run, and its validation split of four."""
    untrained = METHODS["picie"](tiny_run.settings, 8)
    trained, _ = training.restore(tiny_run)
    return {"untrained": untrained, "trained": trained}, tiny_run, training.splits(tiny_run.settings)[1]


def test_embeddings_are_unit_features_by_the_running_statistics(lesson):
    networks, run, val = lesson
    networks["untrained"].train()
    found = steps.embeddings(networks, val, np.array([2, 0]))
    with torch.no_grad():
        pixels = views.plain(torch.from_numpy(val.images[np.array([2, 0])]), run.settings.image_size)
        for name, network in networks.items():
            assert not network.training
            np.testing.assert_allclose(found[name], network.embedding(pixels), atol=1e-6)
            np.testing.assert_allclose(np.linalg.norm(found[name], axis=1), 1, atol=1e-5)
    assert np.abs(found["untrained"] - found["trained"]).max() > 0.01


def test_before_and_after_are_of_the_same_images_in_both_colourings(lesson):
    networks, run, val = lesson
    figure = steps.before_and_after(networks, run, val, count=3)
    assert names(figure) == [
        "image", "features, untrained", "features, trained", "clusters", "clusters, by class", "ground truth",
    ]  # fmt: skip
    chosen = np.array([0, 1, 3])  # of four
    shown = [[axis.images[0].get_array() for axis in line] for line in grid(figure)]
    np.testing.assert_array_equal(shown[0], val.images[chosen])
    for line, maps in zip(shown[1:3], steps.embeddings(networks, val, chosen).values(), strict=True):
        np.testing.assert_array_equal(line, figures.main_directions(maps))
    clusters = training.clusters_of(run, val, chosen)
    np.testing.assert_array_equal(shown[3], figures.paint(clusters, palettes.of_clusters(12)))
    np.testing.assert_array_equal(shown[4], figures.paint(clusters, palettes.of_run(run)))
    np.testing.assert_array_equal(shown[5], figures.paint(val.labels[chosen], val.classes.colors))
    assert figure.legends


def test_without_labels_there_are_no_classes_to_colour_by(lesson):
    networks, run, val = lesson
    bare = dataclasses.replace(val, labels=None, classes=None)
    figure = steps.before_and_after(networks, dataclasses.replace(run, confusion=None), bare)
    assert names(figure) == ["image", "features, untrained", "features, trained", "clusters"]
    assert not figure.legends
