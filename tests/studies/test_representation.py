"""`representation`: sampled pixels and their map."""

import dataclasses

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from tiny_runs import shrink, tiny

from picie_core import training, views
from picie_core.classes import VOID
from picie_core.studies import representation
from picie_core.studies.representation import Pixels
from picie_core.training import run


@pytest.fixture
def trained(tmp_path, monkeypatch):
    shrink(monkeypatch.setattr)
    found = run(tiny(tmp_path, method="untrained"))
    return found, training.splits(found.settings)[1]


def test_each_pixel_is_what_the_run_says_of_its_cell(trained):
    found, val = trained
    pixels = representation.sample(found, val, 60)
    method, _ = training.restore(found)
    with torch.no_grad():
        maps = method.embedding(views.plain(torch.from_numpy(val.images[:]), 32)).numpy()
    assert len(pixels.features) == 60
    prototypes = method.final_prototypes.numpy().astype(np.float64)
    places = set()
    for z, cluster, label, height in zip(pixels.features, pixels.clusters, pixels.classes, pixels.height, strict=True):
        image, y, x = np.unravel_index(np.square(maps - z[:, None, None]).sum(axis=1).argmin(), (len(val), 8, 8))
        assert np.allclose(z, maps[image, :, y, x], atol=1e-5)
        assert (val.labels[image][4 * y : 4 * y + 4, 4 * x : 4 * x + 4] == label).all()
        assert height == (y + 0.5) / 8
        assert cluster == (prototypes @ z / np.linalg.norm(prototypes, axis=1)).argmax()
        places.add((image, y, x))
    assert len(places) == 60
    assert len({image for image, _, _ in places}) == len(val)


def test_the_draw_is_the_seeds_and_not_the_runs(trained):
    found, val = trained
    other = run(found.settings.replace(seed=2))
    one, same, another = (representation.sample(r, val, 30, s) for r, s in ((found, 1), (other, 1), (found, 2)))
    assert np.array_equal(one.height, same.height)
    assert np.array_equal(one.classes, same.classes)
    assert not np.array_equal(one.features, same.features)
    assert not np.array_equal(one.features, another.features)


def test_void_is_left_out_and_a_set_without_labels_has_no_classes(trained):
    found, val = trained
    labels = np.array(val.labels[:])
    labels[:, :16] = VOID
    few = representation.sample(found, dataclasses.replace(val, labels=labels), 10_000)
    assert few.height.min() > 0.5
    assert len(few.height) < 4 * 8 * 4
    unlabelled = representation.sample(found, dataclasses.replace(val, labels=None), 10_000)
    assert unlabelled.classes is None
    assert len(unlabelled.height) == 4 * 8 * 8


HAND = Pixels(
    features=np.eye(6, 4, dtype=np.float32),
    clusters=np.zeros(6, dtype=int),
    classes=np.array([0, 0, 1, 0, 0, 1], dtype=np.uint8),
    height=np.linspace(0, 1, 6),
)


def test_the_map_keeps_groups_apart():
    generator = np.random.default_rng(1)
    centres = np.repeat(np.eye(3, 8), 20, axis=0)
    features = centres + 0.02 * generator.normal(size=centres.shape)
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    n = len(features)
    pixels = Pixels(features, np.zeros(n, int), None, np.zeros(n))
    at = representation.flattened(pixels.features)
    groups = at.reshape(3, 20, 2)
    spread = max(np.linalg.norm(group - group.mean(axis=0), axis=1).max() for group in groups)
    apart = min(np.linalg.norm(groups[i].mean(0) - groups[j].mean(0)) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert apart > 2 * spread
    assert np.array_equal(at, representation.flattened(pixels.features))


def test_the_figure_has_a_row_a_network_and_the_classes_that_occur():
    names, palette = ("sky", "tree", "car"), np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=np.uint8)
    at = np.arange(12.0).reshape(6, 2)
    figure = representation.maps({"before": (HAND, at), "after": (HAND, at)}, names, palette)
    shown = [axis for axis in figure.axes if axis.collections and len(axis.collections[0].get_offsets()) == 6]
    assert len(shown) == 6
    assert [axis.get_ylabel() for axis in shown if axis.get_ylabel()] == ["before", "after"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sky", "tree"]
    colours = shown[0].collections[0].get_facecolors()[:, :3]
    assert np.allclose(colours[2], to_rgb("lime"))


def test_each_clusters_number_stands_at_the_median_of_its_pixels():
    at = np.array([[0.0, 0], [1, 1], [8, 2], [20, 20], [22, 24], [30, 21]])
    two = dataclasses.replace(HAND, clusters=np.array([0, 0, 0, 7, 7, 7]))
    figure = representation.maps({"all": (two, at)}, ("sky", "tree"), np.zeros((2, 3), dtype=np.uint8))
    drawn = {text.get_text(): text.get_position() for axis in figure.axes for text in axis.texts}
    assert drawn == {"0": (1, 1), "7": (22, 21)}


def test_without_classes_the_first_column_stays_empty():
    at = np.arange(12.0).reshape(6, 2)
    unlabelled = dataclasses.replace(HAND, classes=None)
    figure = representation.maps({"all": (unlabelled, at)}, (), np.zeros((0, 3), dtype=np.uint8))
    assert not figure.axes[0].collections
    assert not figure.legends
