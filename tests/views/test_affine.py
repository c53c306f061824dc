"""`affine`: the second picture of a pair and the exact way back, on ramps that bilinear sampling keeps exactly."""

import numpy as np
import oracles
import pytest
import torch

from picie_core.settings import Settings
from picie_core.views import affine

SETTINGS = Settings(method="iic", image_size=64, iic_affine=True)


def ramps(b: int, n: int) -> torch.Tensor:
    """x and y of each cell's centre in [-1, 1]: (b, 2, n, n)."""
    centres = (torch.arange(n) + 0.5) / n * 2 - 1
    return torch.stack([centres.expand(n, n), centres[:, None].expand(n, n)])[None].repeat(b, 1, 1, 1)


def test_a_flip_is_a_flip_and_comes_back_exactly():
    images = oracles.noise(2, 3, 8, 8)
    matrices = np.array([[[-1.0, 0], [0, 1]], [[1.0, 0], [0, 1]]])
    moved = affine.apply(images, matrices)
    torch.testing.assert_close(moved[0], images[0].flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[1], images[1], atol=1e-5, rtol=0)
    back, shown = affine.undo(moved, matrices)
    torch.testing.assert_close(back, images, atol=1e-5, rtol=0)
    assert shown.all()
    assert shown.shape == (2, 1, 8, 8)


def test_the_second_picture_shows_the_first_at_the_matrix_times_the_place():
    matrices = affine.draw(SETTINGS, 0, np.arange(6))
    places = ramps(6, 32).double()
    expected = np.einsum("bij,bjyx->biyx", matrices, places.numpy())
    found = affine.apply(places, matrices).numpy()
    inside = (np.abs(expected) < 1 - 1 / 32).all(axis=1)  # beyond the outer centres black mixes in
    assert 0.5 < inside.mean() < 1
    np.testing.assert_allclose(found.transpose(0, 2, 3, 1)[inside], expected.transpose(0, 2, 3, 1)[inside], atol=1e-5)
    outside = (np.abs(expected) > 1 + 1 / 32).any(axis=1)
    assert outside.any()
    assert (found.transpose(0, 2, 3, 1)[outside] == 0).all()


def test_undo_is_the_exact_inverse_and_says_what_is_shown():
    """What lies at p in the second picture's maps belongs at M p in the first's, at any resolution."""
    matrices = affine.draw(SETTINGS, 3, np.arange(6))
    second = ramps(6, 16).double()
    back, shown = affine.undo(second, matrices)
    expected = np.einsum("bij,bjyx->biyx", np.linalg.inv(matrices), second.numpy())
    np.testing.assert_array_equal(shown[:, 0], (np.abs(expected) <= 1).all(axis=1))
    assert 0.5 < shown.float().mean() < 1
    inner = (np.abs(expected) < 1 - 1 / 16).all(axis=1)
    np.testing.assert_allclose(
        back.numpy().transpose(0, 2, 3, 1)[inner], expected.transpose(0, 2, 3, 1)[inner], atol=1e-6
    )


def test_there_and_back_is_where_it_was():
    matrices = affine.draw(SETTINGS, 1, np.arange(8))
    images = ramps(8, 64).double()
    back, shown = affine.undo(affine.apply(images, matrices), matrices)
    inner = shown & (torch.nn.functional.avg_pool2d(shown.double(), 9, 1, 4) == 1)
    inner &= (images.abs() < 0.8).all(dim=1, keepdim=True)
    assert inner.float().mean() > 0.3
    assert ((back - images).abs() * inner).max() < 1e-5


def test_what_is_shown_counted_by_hand():
    """The second picture shows the middle half of the first, twice as large: 4 x 4 of 8 x 8 cells."""
    _, shown = affine.undo(torch.zeros(1, 1, 8, 8), 0.5 * np.eye(2)[None])
    assert shown.sum() == 16
    assert shown[0, 0, 2:6, 2:6].all()
    _, shown = affine.undo(torch.zeros(1, 1, 8, 8), 2 * np.eye(2)[None])
    assert shown.all()


def test_a_draw_by_hand(monkeypatch):
    """Largest turn and tilt, smallest scale; the second of two is flipped, which comes after them."""
    drawn = np.array([[0.9, 0.1], [1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])  # flip, turn, shear, scale
    monkeypatch.setattr(affine.draws, "uniform", lambda indices, *keys: drawn)
    plain, flipped = affine.draw(SETTINGS, 0, np.arange(2))
    # 0.8 [[cos 30, -sin 40], [sin 30, cos 40]]
    np.testing.assert_allclose(plain, [[0.69282, -0.51423], [0.4, 0.61284]], atol=1e-5)
    np.testing.assert_allclose(flipped, [[-0.69282, -0.51423], [-0.4, 0.61284]], atol=1e-5)


def test_what_is_shown_is_not_mixed_with_what_is_not():
    """Probabilities that come back still sum to 1, at the edge of what is shown too."""
    matrices = affine.draw(SETTINGS, 3, np.arange(6))
    back, shown = affine.undo(torch.ones(6, 1, 16, 16), matrices)
    assert not shown.all()
    torch.testing.assert_close(back[shown], torch.ones(int(shown.sum())))


def test_the_draws():
    found = affine.draw(SETTINGS, 0, np.arange(4000))
    sign = np.sign(np.linalg.det(found))
    assert np.mean(sign < 0) == pytest.approx(0.5, abs=0.03)
    plain = found * np.stack([sign, np.ones_like(sign)], axis=1)[:, None]  # the flip taken back
    scale = np.hypot(plain[:, 0, 0], plain[:, 1, 0])
    angle = np.rad2deg(np.arctan2(plain[:, 1, 0], plain[:, 0, 0]))
    tilt = np.rad2deg(np.arctan2(-plain[:, 0, 1], plain[:, 1, 1])) - angle
    for values, low, high in ((scale, 0.8, 1.2), (angle, -30, 30), (tilt, -10, 10)):
        assert low <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
    np.testing.assert_array_equal(affine.draw(SETTINGS, 0, np.array([7, 3])), found[[7, 3]])
    assert not np.array_equal(affine.draw(SETTINGS, 1, np.arange(9)), found[:9])


@pytest.mark.parametrize(("chance", "mean"), [(0.0, 1.0), (0.5, 0.0), (1.0, -1.0)])
def test_without_affine_there_are_flips_alone(chance, mean):
    found = affine.draw(Settings(method="iic", flip_probability=chance), 0, np.arange(2000))
    assert set(np.unique(found[:, 0, 0])) <= {-1.0, 1.0}
    assert found[:, 0, 0].mean() == pytest.approx(mean, abs=0.06)
    assert (found[:, 0, 1] == 0).all()
    assert (found[:, 1] == [0, 1]).all()
