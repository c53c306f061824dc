"""The colours of clusters: distinct, apart over a photograph, and of a scored run those of its classes."""

import dataclasses

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from picie_core import figures, palettes
from picie_core.classes import SCENES


@pytest.mark.parametrize("n", [1, 2, 12, 20, 21, 27, 100, 301])
def test_colours_are_distinct_none_is_that_of_void_and_those_of_few_are_those_of_many(n):
    palette = palettes.of_clusters(n)
    assert (palette.shape, palette.dtype) == ((n, 3), np.uint8)
    assert len({tuple(color) for color in palette} | {figures.VOID_COLOR}) == n + 1
    assert np.array_equal(palette, palettes.of_clusters(500)[:n])


def test_colours_stay_apart_over_a_photograph():
    """Three CIEDE2000 units can be told apart side by side; over black, grey and white these are three times that."""
    for k, least in ((12, 9), (20, 9)):
        for ground in (0, 90, 255):
            lab = rgb2lab((0.55 * palettes.of_clusters(k) + 0.45 * ground)[None] / 255)[0]
            apart = deltaE_ciede2000(lab[:, None], lab[None])[~np.eye(k, dtype=bool)]
            assert apart.min() > least


def test_clusters_have_the_colour_of_the_class_of_most_of_their_pixels(tiny_run):
    matrix = np.zeros((12, 12), dtype=int)
    matrix[3, 0], matrix[5, 0] = 9, 8  # most of cluster 0 is class 3
    matrix[0, 1] = 1
    matrix[7, 3] = 2  # cluster 2 was never seen, nor those from 4 on
    palette = palettes.of_run(dataclasses.replace(tiny_run, confusion=matrix))
    assert np.array_equal(palette[[0, 1, 3]], SCENES.colors[[3, 0, 7]])
    unseen = [2, *range(4, 12)]
    assert np.array_equal(palette[unseen], palettes.of_clusters(12)[unseen])


def test_what_was_taught_the_classes_has_their_colours_whatever_most_of_its_pixels_are(tiny_run):
    matrix = np.zeros((12, 12), dtype=int)
    matrix[0, :2] = 5  # the second class is always taken for the first
    taught = dataclasses.replace(tiny_run, confusion=matrix, settings=tiny_run.settings.replace(method="supervised"))
    assert np.array_equal(palettes.of_run(taught), SCENES.colors)


def test_without_labels_each_cluster_has_a_colour_of_its_own(tiny_run):
    unlabelled = dataclasses.replace(tiny_run, confusion=None, scores=None, result={**tiny_run.result, "classes": None})
    assert np.array_equal(palettes.of_run(unlabelled), palettes.of_clusters(12))
