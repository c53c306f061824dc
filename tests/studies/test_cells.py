"""`cells`: squares of pixels, what they are, and which are drawn."""

import numpy as np
import pytest
import torch
from stand_ins import CPU, Colours, Split

from picie_core.classes import VOID
from picie_core.studies import cells
from picie_core.studies.cells import Grid


def test_a_cell_is_a_square_of_pixels_and_has_a_label_where_they_agree():
    labels = np.zeros((1, 8, 8), dtype=np.uint8)
    labels[0, :4, 4:] = 3
    labels[0, 4:, :4] = VOID
    labels[0, 7, 7] = 1
    np.testing.assert_array_equal(cells.unanimous(labels, 2), [[[0, 3], [VOID, VOID]]])
    np.testing.assert_array_equal(cells.unanimous(labels, 8), labels)


def test_the_grid_is_what_evaluation_sees_there():
    data = Split(5)
    embedded = torch.cat([Colours().embedding(images) for _, images in cells.batches(Colours(), data, CPU, 3)])
    found = cells.grid(Colours(), data, CPU, 2)
    np.testing.assert_array_equal(found.clusters, embedded.argmax(dim=1))
    np.testing.assert_array_equal(found.labels, data.labels[:, ::4, ::4])
    assert found.light[3, 1, 2] == pytest.approx(data.images[3, 4:8, 8:12].mean() / 255)
    data.labels = None
    assert cells.grid(Colours(), data, CPU).labels is None


def test_queries_are_of_one_class_and_right_or_wrong():
    labels = np.array([[[0, 1], [VOID, 1]]], dtype=np.uint8)
    grid = Grid(np.array([[[0, 1], [0, 2]]]), labels, np.zeros((1, 2, 2), dtype=np.float32))
    found = cells.kinds(grid, np.array([0, -1, 1]))
    assert found["right"].tolist() == [[[0, -1], [-1, 1]]]
    assert found["wrong"].tolist() == [[[-1, 1], [-1, -1]]]
    assert list(cells.kinds(grid, np.array([0, 1, 1]))) == ["right"]
    unlabelled = Grid(grid.clusters, None, grid.light)
    assert cells.kinds(unlabelled, None)["any"] is grid.clusters


GROUPS = np.random.default_rng(1).integers(-1, 4, (9, 6, 6))


def test_a_draw_is_spread_over_groups_and_images_and_depends_on_its_key_alone():
    found = cells.draw(GROUPS, 8, (1, "right"))
    assert sorted(found.of(GROUPS)) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(set(found.image)) == 8
    again, other = cells.draw(GROUPS, 8, (1, "right")), cells.draw(GROUPS, 8, (2, "right"))
    np.testing.assert_array_equal(again.image, found.image)
    assert (other.image != found.image).any()
    assert len(cells.draw(GROUPS, 100, (1,)).image) == 9  # one of every image, and no more
    many = cells.draw(GROUPS, 20, (1,), per_image=3)
    assert len(many.image) == 20
    assert np.bincount(many.image).max() <= 3
    assert len(set(zip(many.image, many.y, many.x, strict=True))) == 20
    np.testing.assert_array_equal(cells.draw(GROUPS, 5, (1,), 3).y, many.y[:5])


def test_a_draw_from_a_group_that_runs_out_goes_on_with_the_others():
    groups = np.full((4, 2, 2), -1)
    groups[:3, 0, 0], groups[3, 1, 1] = 7, 2
    found = cells.draw(groups, 4, (1,))
    assert sorted(found.of(groups)) == [2, 7, 7, 7]
    assert len(cells.draw(np.full((4, 2, 2), -1), 4, (1,)).image) == 0
