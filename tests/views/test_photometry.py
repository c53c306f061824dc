"""`photometry`: P against torchvision image by image, inside batches whose images all have other parameters."""

import math

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as TF

from picie_core import draws
from picie_core.settings import Settings
from picie_core.views import photometry
from picie_core.views.photometry import Photometry

NONE = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0, "saturated": 1.0, "sigma": 0.0}


def parameters(*rows: dict[str, float]) -> Photometry:
    return Photometry(**{name: np.array([row.get(name, default) for row in rows]) for name, default in NONE.items()})


def noise(n: int, height: int = 24, width: int = 24, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def settings(**values) -> Settings:
    return Settings(image_size=32, **values)


ALL = {"brightness": 1.2, "contrast": 0.8, "saturation": 1.3, "hue": -0.07, "sigma": 1.4}
ONE_BY_ONE = [
    {},
    {"brightness": 1.3},
    {"brightness": 0.0},
    {"contrast": 0.7},
    {"contrast": 1.6},
    {"saturation": 0.7},
    {"saturation": 2.0},
    {"hue": 0.1},
    {"hue": -0.1},
    {"hue": 0.5},
    {"saturated": 0.0},
    {"sigma": 0.3},
    {"sigma": 2.0},
    ALL,
    ALL | {"saturated": 0.0},
]


@pytest.mark.parametrize(("height", "width"), [(24, 24), (20, 31)])
def test_each_image_of_a_mixed_batch_is_torchvisions(height, width):
    images, p = noise(len(ONE_BY_ONE), height, width), parameters(*ONE_BY_ONE)
    found = photometry.apply(images, p)
    for i, row in enumerate(ONE_BY_ONE):
        expected = oracles.photometric(images[i], p, i)
        torch.testing.assert_close(found[i], expected, atol=2e-5, rtol=0, msg=lambda m, row=row: f"{row}: {m}")


def test_hue_of_pure_colours_by_hand():
    red_grey_black = torch.tensor([[1.0, 0, 0], [0.4, 0.4, 0.4], [0, 0, 0]]).T[None, :, :, None]
    third = torch.full((1, 1, 1, 1), 1 / 3)
    expected = torch.tensor([[0, 1.0, 0], [0.4, 0.4, 0.4], [0, 0, 0]]).T[None, :, :, None]
    torch.testing.assert_close(photometry.shift_hue(red_grey_black, third), expected, atol=1e-6, rtol=0)
    yellow, blue = torch.tensor([1.0, 1, 0])[None, :, None, None], torch.tensor([0, 0, 1.0])[None, :, None, None]
    torch.testing.assert_close(photometry.shift_hue(yellow, third * 1.5), blue, atol=1e-6, rtol=0)


@given(st.floats(-0.5, 0.5))
def test_a_turn_of_hue_there_and_back(shift):
    images, turn = noise(1, 4, 4), torch.full((1, 1, 1, 1), shift)
    torch.testing.assert_close(
        photometry.shift_hue(photometry.shift_hue(images, turn), -turn), images, atol=1e-4, rtol=0
    )


def test_blur_keeps_the_mean_and_spreads_as_its_sigma_says():
    point = torch.zeros(2, 3, 41, 41)
    point[:, :, 20, 20] = 1
    spread = photometry.blur(point, torch.tensor([1.0, 2.0]))
    place = torch.arange(41.0) - 20
    for i, sigma in enumerate((1.0, 2.0)):
        assert float(spread[i, 0].sum()) == pytest.approx(1, abs=1e-5)
        for axis in (0, 1):
            assert float((spread[i, 0].sum(dim=axis) * place**2).sum()) == pytest.approx(sigma**2, rel=0.03)


def test_blur_of_an_image_smaller_than_its_kernel():
    p = parameters({"sigma": 2.0})
    images = noise(1, 4, 5)
    found = photometry.apply(images, p)
    torch.testing.assert_close(found[0], oracles_blur_small(images[0], 2.0), atol=1e-5, rtol=0)


def oracles_blur_small(image: torch.Tensor, sigma: float) -> torch.Tensor:
    return TF.gaussian_blur(image, [7, 7], [sigma, sigma])  # radius 3: the image is 4 pixels high


@pytest.mark.parametrize("gates", [{}, {"blur_probability": 1.0}])
def test_an_image_is_changed_alike_in_any_batch(gates):
    s, indices = settings(**gates), np.arange(12)
    images = noise(12)
    together = photometry.apply(images, photometry.draw(s, 0, 1, indices))
    for i in indices:
        alone = photometry.apply(images[[i]], photometry.draw(s, 0, 1, indices[[i]]))
        torch.testing.assert_close(together[[i]], alone, atol=1e-6, rtol=0)


def test_the_input_is_left_as_it_was():
    images = noise(2)
    before = images.clone()
    photometry.apply(images, parameters(ALL, {}))
    assert torch.equal(images, before)


def test_closed_gates_change_nothing():
    never = settings(jitter_probability=0, grayscale_probability=0, blur_probability=0)
    p = photometry.draw(never, 0, 1, np.arange(50))
    for name, value in NONE.items():
        assert (getattr(p, name) == value).all(), name
    images = noise(50, 6, 6)
    assert torch.equal(photometry.apply(images, p), images)


def test_open_gates_change_every_image():
    always = settings(jitter_probability=1, grayscale_probability=1, blur_probability=1)
    p = photometry.draw(always, 0, 1, np.arange(500))
    for name, value in NONE.items():
        assert (getattr(p, name) != value).all(), name
    found = photometry.apply(noise(500, 6, 6), p)
    assert torch.equal(found[:, 0], found[:, 1])
    assert torch.equal(found[:, 0], found[:, 2])


def test_shares_and_ranges_of_the_draws():
    n = 4000
    p = photometry.draw(settings(recipe="paper"), 0, 1, np.arange(n))

    def share(part: np.ndarray, expected: float) -> None:
        assert abs(part.mean() - expected) < 4 * math.sqrt(expected * (1 - expected) / n)

    for name, centre, spread in [("brightness", 1, 0.3), ("contrast", 1, 0.3), ("saturation", 1, 0.3), ("hue", 0, 0.1)]:
        values = getattr(p, name)
        changed = values[values != centre]
        share(values != centre, 0.8)
        assert np.abs(changed - centre).max() <= spread
        assert changed.min() < centre - 0.98 * spread
        assert changed.max() > centre + 0.98 * spread
        assert abs(changed.mean() - centre) < 4 * spread / math.sqrt(3 * len(changed))
    share(p.saturated == 0, 0.2)
    assert set(p.saturated) == {0.0, 1.0}
    share(p.sigma > 0, 0.5)
    sigma = p.sigma[p.sigma > 0]
    assert 0.1 <= sigma.min() < 0.12
    assert 1.98 < sigma.max() <= 2
    assert abs(sigma.mean() - 1.05) < 4 * 1.9 / math.sqrt(12 * len(sigma))
    columns = [p.brightness != 1, p.contrast != 1, p.saturation != 1, p.hue != 0, p.saturated, p.sigma > 0]
    assert np.abs(np.corrcoef(np.array(columns, dtype=float))[np.triu_indices(6, 1)]).max() < 0.08
    assert not np.isin(p.brightness[p.brightness != 1], p.contrast).any()  # a value of its own for each


def test_the_releases_blur_reuses_the_draw_that_gates_it():
    s, n = settings(recipe="release", seed=5), 3000
    p = photometry.draw(s, 3, 2, np.arange(n))
    u = draws.uniform(np.arange(n), (5, 3, "blur gate", 2))[0]
    np.testing.assert_allclose(p.sigma, np.where(u < 0.5, np.abs(3.8 * (u - 0.5) + 0.1), 0), atol=1e-12)
    # by hand: u = 0 -> |-1.8|; u just below 0.5 -> 0.1; u = 0.25 -> |-0.85|
    for edge, sigma in ((0.0, 1.8), (0.25, 0.85), (0.5, 0.1)):
        near = np.abs(u - edge) + (u >= 0.5)
        assert p.sigma[near.argmin()] == pytest.approx(sigma, abs=0.02)
    assert p.sigma.max() <= 1.8
    assert (p.saturated == 1).all()  # its greyscale never acts


def test_views_epochs_and_seeds_draw_apart_and_batches_do_not():
    s, indices = settings(seed=1, jitter_probability=1, blur_probability=1), np.array([4, 11, 2])
    first = photometry.draw(s, 0, 1, indices)
    others = [
        photometry.draw(s, 0, 2, indices),
        photometry.draw(s, 1, 1, indices),
        photometry.draw(settings(seed=2, jitter_probability=1, blur_probability=1), 0, 1, indices),
    ]
    for name in ("brightness", "contrast", "saturation", "hue", "sigma"):
        for other in others:
            assert not np.intersect1d(getattr(first, name), getattr(other, name)).size
        for i in range(3):
            assert getattr(first, name)[i] == getattr(photometry.draw(s, 0, 1, indices[[i]]), name)[0]
