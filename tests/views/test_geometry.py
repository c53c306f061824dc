"""`geometry`: G against torchvision's crop-and-resize, against float64 loops, and by its properties."""

import numpy as np
import oracles
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from picie_core.settings import Settings
from picie_core.views import geometry
from picie_core.views.geometry import Geometry


def boxes_of(*rows: tuple[float, float, float, bool], rounding: str = "exact") -> Geometry:
    side, x, y, flip = (np.array(column) for column in zip(*rows, strict=True))
    return Geometry(side.astype(float), x.astype(float), y.astype(float), flip.astype(bool), rounding)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def settings(**values) -> Settings:
    return Settings(image_size=32, **values)


MIXED = ((0.7, 0.3, 0.26, False), (0.5, 1.0, 0.0, True), (0.93, 0.5, 0.9, True), (1.0, 0.4, 0.4, False))
unit = st.floats(0, 1)
sides = st.floats(0.05, 1)


@pytest.mark.parametrize(("n", "size"), [(64, 32), (32, 32), (16, 16), (37, 20), (20, 37)])
def test_grid_rounding_is_torchvisions_crop_and_resize(n, size):
    maps, g = noise(4, 5, n, n), boxes_of(*MIXED, rounding="grid")
    expected = torch.stack([oracles.crop(maps[i], g, i, size) for i in range(4)])
    torch.testing.assert_close(geometry.apply(maps, g, size), expected, atol=2e-5, rtol=0)


def test_grid_rounding_by_hand():
    g = boxes_of((0.7, 0.3, 0.26, False), (0.7, 0.25, 0.75, False), rounding="grid")
    # 32 pixels: side 22.4 -> 22, room 10; corners 3.0, 2.6 -> 3, 3 and 2.5, 7.5 -> 2, 8 (halves to even, as Python)
    assert (g.boxes(32) * 32).tolist() == [[3, 3, 25, 25], [2, 8, 24, 30]]
    # 8 cells: side 5.6 -> 5, room 3; corners 0.9, 0.78 -> 1, 1 and 0.75, 2.25 -> 1, 2
    assert (g.boxes(8) * 8).tolist() == [[1, 1, 6, 6], [1, 2, 6, 7]]
    # edges of the two are apart by up to 2 pixels, half a cell
    assert np.abs(g.boxes(32) - g.boxes(8)).max() * 32 == 2


def test_grid_rounding_moves_image_and_features_apart_as_measured_on_the_release():
    g = geometry.draw(settings(crop_rounding="grid"), 0, np.arange(20_000))
    apart = np.abs(g.boxes(640) - g.boxes(80)) * 80 / g.side[:, None]  # of the box's edges, in cells of the result
    assert apart.mean() == pytest.approx(0.48, abs=0.02)
    assert 2.4 < apart.max() <= 2.75


def test_exact_boxes_by_hand():
    box = boxes_of((0.5, 0.2, 0.6, False)).boxes(32)
    np.testing.assert_allclose(box, [[0.1, 0.3, 0.6, 0.8]])
    np.testing.assert_array_equal(box, boxes_of((0.5, 0.2, 0.6, False)).boxes(8))


@pytest.mark.parametrize(("n", "size"), [(16, 8), (8, 13)])
def test_exact_samples_at_unrounded_places(n, size):
    maps, g = noise(4, 1, n, n), boxes_of(*MIXED)
    expected = np.stack([oracles.exact_crop(maps[i, 0].double().numpy(), g, i, size) for i in range(4)])
    np.testing.assert_allclose(geometry.apply(maps, g, size)[:, 0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("flip", [False, True])
def test_exact_is_torchvisions_inside_the_outer_half_pixel(flip):
    n, size = 32, 48
    g = boxes_of((0.75, 0.5, 0.25, flip))  # 24 pixels from (4, 2): on the grid, so torchvision can cut it
    maps = noise(1, 3, n, n)
    found, expected = geometry.apply(maps, g, size)[0], oracles.crop(maps[0], g, 0, size)
    inside = slice(1, size - 1)  # half a pixel is one cell of 48 / 24
    torch.testing.assert_close(found[:, inside, inside], expected[:, inside, inside], atol=1e-5, rtol=0)
    assert not torch.allclose(found, expected, atol=1e-3)  # what the docstring warns of


def test_commutes_with_pooling_for_boxes_of_whole_cells():
    images = noise(2, 3, 32, 32)
    g = boxes_of((0.5, 0.5, 0.25, False), (0.5, 1.0, 0.75, True))  # cells 2..5, 1..4; and 4..7, 3..6
    moved_then_pooled = F.avg_pool2d(geometry.apply(images, g, 16), 4)
    pooled_then_moved = geometry.apply(F.avg_pool2d(images, 4), g, 4)
    torch.testing.assert_close(moved_then_pooled, pooled_then_moved, atol=1e-5, rtol=0)


def test_image_and_quarter_size_features_agree_anywhere_on_a_ramp():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    images, g = torch.stack([x, y, x + 2 * y])[None].repeat(4, 1, 1, 1), boxes_of(*MIXED)
    moved_then_pooled = F.avg_pool2d(geometry.apply(images, g, 32), 4)
    pooled_then_moved = geometry.apply(F.avg_pool2d(images, 4), g, 8)
    inner = (..., slice(1, -1), slice(1, -1))  # at the image's edge both repeat their own outer cell
    torch.testing.assert_close(moved_then_pooled[inner], pooled_then_moved[inner], atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_labels_move_as_torchvisions_nearest(dtype):
    labels = torch.randint(0, 7, (4, 31, 31), generator=torch.Generator().manual_seed(1)).to(dtype)
    labels[:, 10:20, 10:20] = 255
    g = boxes_of(*MIXED, rounding="grid")
    expected = torch.stack([oracles.crop(labels[i][None], g, i, 16, nearest=True)[0] for i in range(4)])
    moved = geometry.apply_to_labels(labels, g, 16)
    assert moved.dtype == dtype
    assert torch.equal(moved, expected)


def test_labels_move_with_their_image():
    labels = torch.arange(4).repeat_interleave(8)[None, None, :].expand(4, 32, 32) * 4
    labels = labels + torch.arange(4).repeat_interleave(8)[None, :, None]  # 4 x 4 blocks of 8 pixels
    g = boxes_of(*MIXED)
    moved = geometry.apply_to_labels(labels, g, 32)
    shares = geometry.apply(F.one_hot(labels, 16).permute(0, 3, 1, 2).float(), g, 32)
    sure = shares.max(dim=1).values > 0.51
    assert sure.float().mean() > 0.8
    assert torch.equal(moved[sure], shares.argmax(dim=1)[sure])


@given(sides, unit, unit, st.sampled_from(["exact", "grid"]), st.integers(1, 97))
def test_the_box_is_a_square_inside_the_map(side, x, y, rounding, n):
    x0, y0, x1, y1 = boxes_of((side, x, y, False), rounding=rounding).boxes(n)[0]
    assert 0 <= x0 < x1 <= 1 + 1e-12
    assert 0 <= y0 < y1 <= 1 + 1e-12
    assert np.isclose(x1 - x0, y1 - y0)
    grid = geometry.sampling_grid(boxes_of((side, x, y, True), rounding=rounding), n, 5)
    assert grid.shape == (1, 5, 5, 2)
    half = 1e-6 + (0 if rounding == "exact" else -1 / n)
    assert (2 * x0 - 1 - half <= grid[..., 0]).all()
    assert (grid[..., 0] <= 2 * x1 - 1 + half).all()
    assert (2 * y0 - 1 - half <= grid[..., 1]).all()
    assert (grid[..., 1] <= 2 * y1 - 1 + half).all()


@given(st.sampled_from(["exact", "grid"]), st.integers(1, 20), unit, unit)
def test_the_full_box_is_the_identity_and_two_flips_are_none(rounding, n, x, y):
    maps = noise(1, 2, n, n)
    full, flipped = (boxes_of((1.0, x, y, flip), rounding=rounding) for flip in (False, True))
    torch.testing.assert_close(geometry.apply(maps, full, n), maps, atol=1e-5, rtol=0)
    once = geometry.apply(maps, flipped, n)
    torch.testing.assert_close(once, maps.flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(geometry.apply(once, flipped, n), maps, atol=1e-5, rtol=0)


def test_a_box_below_one_cell_is_one_cell():
    maps = noise(1, 1, 8, 8)
    moved = geometry.apply(maps, boxes_of((0.1, 1.0, 0.5, False), rounding="grid"), 4)
    torch.testing.assert_close(moved, maps[:, :, 4:5, 7:8].expand(-1, -1, 4, 4), atol=1e-5, rtol=0)


def test_bfloat16_maps_are_sampled_at_full_precision():
    x = torch.arange(64.0).expand(1, 1, 64, 64)  # whole numbers below 256: exact in bfloat16
    g = boxes_of((0.6, 0.3, 0.3, False))
    moved = geometry.apply(x.bfloat16(), g, 64)
    torch.testing.assert_close(moved.float(), geometry.apply(x, g, 64), atol=0.13, rtol=0)  # half a bfloat16 step


def test_a_draw_does_not_depend_on_its_batch():
    s, indices = settings(seed=3), np.array([7, 0, 99_999, 12])
    together = geometry.draw(s, 2, indices)
    for i, index in enumerate(indices):
        alone = geometry.draw(s, 2, np.array([index]))
        for name in ("side", "x", "y", "flip"):
            assert getattr(together, name)[i] == getattr(alone, name)[0]
    maps = noise(4, 3, 16, 16)
    for i in range(4):
        row = Geometry(together.side[[i]], together.x[[i]], together.y[[i]], together.flip[[i]])
        torch.testing.assert_close(geometry.apply(maps, together, 8)[[i]], geometry.apply(maps[[i]], row, 8))


def test_draws_are_uniform_and_follow_the_settings():
    n = 4000
    g = geometry.draw(settings(crop_min_side=0.6, flip_probability=0.3), 0, np.arange(n))
    assert 0.6 <= g.side.min() < 0.61
    assert 0.99 < g.side.max() <= 1
    assert abs(g.side.mean() - 0.8) < 4 * 0.4 / np.sqrt(12 * n)
    for place in (g.x, g.y):
        assert abs(place.mean() - 0.5) < 4 / np.sqrt(12 * n)
        assert (place.min(), place.max()) == pytest.approx((0, 1), abs=0.01)
    assert abs(g.flip.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / n)
    assert np.abs(np.corrcoef([g.side, g.x, g.y, g.flip])[np.triu_indices(4, 1)]).max() < 0.08
    assert not geometry.draw(settings(flip_probability=0), 0, np.arange(n)).flip.any()
    assert geometry.draw(settings(flip_probability=1), 0, np.arange(n)).flip.all()
    assert (geometry.draw(settings(crop_min_side=1), 0, np.arange(n)).side == 1).all()
    assert geometry.draw(settings(crop_rounding="grid"), 0, np.arange(2)).rounding == "grid"


def test_epochs_and_seeds_draw_anew():
    first = geometry.draw(settings(seed=1), 0, np.arange(9)).side
    assert np.array_equal(first, geometry.draw(settings(seed=1), 0, np.arange(9)).side)
    for other in (geometry.draw(settings(seed=1), 1, np.arange(9)), geometry.draw(settings(seed=2), 0, np.arange(9))):
        assert not np.intersect1d(first, other.side).size
