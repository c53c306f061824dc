"""`views`: the two views composed by hand, step after step, from torchvision's transforms."""

import numpy as np
import oracles
import pytest
import torch
from torchvision.transforms.v2 import functional as TF

from picie_core import views
from picie_core.settings import Settings
from picie_core.views import geometry, photometry

BASE, SIZE = 64, 32
INDICES = np.array([5, 0, 31, 8, 2])
RECIPES = ["paper", "release", "ours"]


def settings(**values) -> Settings:
    return Settings(**({"image_size": SIZE, "base_size": BASE} | values))


def check_pictures(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Pictures are the nearest grey levels of (B, 3, H, W) values in [0, 1]."""
    assert found.dtype == torch.uint8
    apart = (found.permute(0, 3, 1, 2) - 255 * expected).abs()
    assert apart.max() <= 0.5 + 255e-3


def test_uint8_to_float_and_normalised_by_hand():
    images = torch.zeros(1, 2, 3, 3, dtype=torch.uint8)
    images[0, 1, 2] = torch.tensor([255, 51, 0])  # row 1, column 2
    pixels = views.to_float(images)
    assert pixels.shape == (1, 3, 2, 3)
    assert pixels.dtype == torch.float32
    torch.testing.assert_close(pixels[0, :, 1, 2], torch.tensor([1.0, 0.2, 0.0]))
    expected = torch.tensor([(1 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0 - 0.406) / 0.225])
    torch.testing.assert_close(views.normalise(pixels)[0, :, 1, 2], expected)
    assert images[0, 1, 2, 1] == 51  # not changed in place


def test_to_uint8_undoes_to_float_and_rounds_to_the_nearest():
    images = oracles.pictures(2, 9)
    assert torch.equal(views.to_uint8(views.to_float(images)), images)
    found = views.to_uint8(torch.tensor([0.0, 0.0019, 0.002, 0.9982, 1.0]).expand(1, 3, 1, 5))
    assert found[0, 0, :, 0].tolist() == [0, 0, 1, 255, 255]


def test_plain_is_an_antialiased_resize_and_normalisation():
    images = oracles.pictures(2, BASE)
    pixels = images.permute(0, 3, 1, 2) / 255
    small = TF.resize(pixels, [SIZE, SIZE], antialias=True)
    expected = TF.normalize(small, views.MEAN, views.STD)
    torch.testing.assert_close(views.plain(images, SIZE), expected, atol=1e-5, rtol=0)
    assert not torch.allclose(small, TF.resize(pixels, [SIZE, SIZE], antialias=False), atol=0.05)
    torch.testing.assert_close(views.plain(images, BASE), TF.normalize(pixels, views.MEAN, views.STD))


@pytest.mark.parametrize("base", [SIZE, BASE])
def test_view_1_is_p1_then_g(base):
    s = settings(recipe="release", base_size=base, blur_probability=0.9)  # grid rounding: torchvision can cut it
    images = oracles.pictures(len(INDICES), base)
    p, g = photometry.draw(s, 3, 1, INDICES), geometry.draw(s, 3, INDICES)
    expected = [
        oracles.crop(oracles.photometric(image, p, i), g, i, SIZE)
        for i, image in enumerate(images.permute(0, 3, 1, 2) / 255)
    ]
    check_pictures(views.first(s, 3, images, INDICES), torch.stack(expected))


@pytest.mark.parametrize("recipe", RECIPES)
def test_view_2_is_p2_then_an_antialiased_resize(recipe):
    s = settings(recipe=recipe, base_size=BASE)
    images = oracles.pictures(len(INDICES), BASE)
    p = photometry.draw(s, 3, 2, INDICES)
    expected = [
        TF.resize(oracles.photometric(image, p, i), [SIZE, SIZE], antialias=True)
        for i, image in enumerate(images.permute(0, 3, 1, 2) / 255)
    ]
    check_pictures(views.second(s, 3, images, INDICES), torch.stack(expected))


def test_the_warp_of_view_2_is_view_1s_g_on_the_feature_grid():
    s, maps = settings(recipe="release"), oracles.noise(len(INDICES), 7, 8, 8)
    g = geometry.draw(s, 3, INDICES)
    expected = torch.stack([oracles.crop(maps[i], g, i, 8) for i in range(len(INDICES))])
    torch.testing.assert_close(views.warp(s, 3, maps, INDICES), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("recipe", RECIPES)
def test_without_photometry_the_views_show_the_same_places(recipe):
    """View 2's picture, warped as its features will be, is view 1's: on a smooth image and its quarter-size average."""
    s = settings(recipe=recipe, base_size=BASE, photometric=False)
    ramp = torch.linspace(0, 255, BASE)
    images = torch.stack(
        [ramp.expand(BASE, -1), ramp[:, None].expand(-1, BASE), torch.full((BASE, BASE), 99.0)], dim=-1
    )
    images = images.to(torch.uint8).expand(len(INDICES), -1, -1, -1)
    pool = torch.nn.AvgPool2d(4)
    first = pool(views.to_float(views.first(s, 0, images, INDICES)))
    second = views.warp(s, 0, pool(views.to_float(views.second(s, 0, images, INDICES))), INDICES)
    inner = (..., slice(1, -1), slice(1, -1))
    cell = 4 * 255 / 252 / SIZE  # what a cell of the feature map means in brightness
    apart = (first - second)[inner].abs().max() / cell
    assert apart < (0.2 if s.crop_rounding == "exact" else 2)


@pytest.mark.parametrize("base", [SIZE, BASE])
def test_without_transforms_both_views_are_the_plain_one(base):
    s = settings(base_size=base, photometric=False, geometric=False)
    images = oracles.pictures(3, base)
    first, second = (view(s, 0, images, np.arange(3)) for view in (views.first, views.second))
    assert first.shape == (3, SIZE, SIZE, 3)
    assert torch.equal(first, second)
    torch.testing.assert_close(views.plain(first, SIZE), views.plain(images, SIZE), atol=0.51 / 255 / 0.224, rtol=0)
    maps = oracles.noise(3, 4, 8, 8)
    assert torch.equal(views.warp(s, 0, maps, np.arange(3)), maps)


def test_without_geometry_view_1_is_resized_to_match_view_2():
    s, images = settings(geometric=False), oracles.pictures(3, BASE)
    p = photometry.draw(s, 0, 1, np.arange(3))
    image = oracles.photometric(images[1].permute(2, 0, 1) / 255, p, 1)
    expected = TF.resize(image, [SIZE, SIZE], antialias=True)
    check_pictures(views.first(s, 0, images, np.arange(3))[1:2], expected[None])


@pytest.mark.parametrize("v", [1, 2])
def test_so_many_images_are_transformed_together_as_have_the_pixels(monkeypatch, v):
    images, sizes, real = oracles.pictures(len(INDICES), BASE), [], photometry.apply
    whole = views.picture(settings(), v, 3, images, INDICES)
    monkeypatch.setattr(photometry, "apply", lambda some, drawn: sizes.append(len(some)) or real(some, drawn))
    for pixels, expected in ((2 * BASE * BASE, [2, 2, 1]), (1, [1] * 5), (6 * BASE * BASE, [5])):
        monkeypatch.setitem(views.TOGETHER, "cpu", pixels)
        sizes.clear()
        assert (views.picture(settings(), v, 3, images, INDICES).int() - whole.int()).abs().max() <= 1
        assert sizes == expected


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_view_is_a_function_of_seed_epoch_and_image(recipe):
    images = oracles.pictures(6, BASE)
    s = settings(recipe=recipe, jitter_probability=1)
    for view in (views.first, views.second):
        found = view(s, 1, images, np.arange(6))
        assert torch.equal(found, view(s, 1, images, np.arange(6)))
        some = np.array([4, 1])  # alone, in another order
        assert torch.equal(view(s, 1, images[some], some), found[some])
        for other in (view(s, 2, images, np.arange(6)), view(s.replace(seed=9), 1, images, np.arange(6))):
            assert all((a.int() - b.int()).abs().float().mean() > 1 for a, b in zip(found, other, strict=True))
    alone = views.first(s.replace(geometric=False), 1, images, np.arange(6))
    assert (alone.int() - views.second(s, 1, images, np.arange(6)).int()).abs().float().mean() > 1


@pytest.mark.parametrize("kept", [0, 1, 4, 6])
def test_kept_or_made_anew_a_view_is_the_same_bytes(kept, monkeypatch):
    images, made = oracles.pictures(6, BASE), []
    s = settings(views_memory=1)
    store = views.Views(s, 6)
    assert store.shape == (6, SIZE, SIZE, 3)  # 36 kB of the megabyte
    store.shape = (kept, SIZE, SIZE, 3)
    for v, view in ((1, views.first), (2, views.second)):

        def make(s, epoch, images, indices, v=v, view=view):
            made.extend((v, epoch, int(i)) for i in indices)
            return view(s, epoch, images, indices)

        monkeypatch.setitem(views._VIEWS, v, make)
    for epoch in (0, 1):
        for indices in (np.array([3, 0, 5, 1]), np.array([2, 4]), np.array([5, 4, 3, 2, 1, 0])):
            for v, view in ((1, views.first), (2, views.second)):
                found = store.get(v, epoch, images[indices], indices)
                assert torch.equal(found, view(s, epoch, images[indices], indices))
                found.zero_()  # the caller's own
    for v, epoch, i in {(v, e, i) for v in (1, 2) for e in (0, 1) for i in range(6)}:
        assert made.count((v, epoch, i)) == (1 if i < kept else 2)


def test_how_many_views_are_kept_follows_from_the_memory():
    each = 2 * 3 * SIZE * SIZE
    assert views.Views(settings(views_memory=0), 1000).shape[0] == 0
    assert views.Views(settings(views_memory=1), 1000).shape[0] == 2**20 // each
    assert views.Views(settings(views_memory=1024), 1000).shape[0] == 1000


def test_autocast_does_not_coarsen_a_view():
    images, s = oracles.pictures(6, BASE), settings(blur_probability=1)
    expected = views.Views(s, 6).get(1, 0, images, np.arange(6))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(views.Views(s, 6).get(1, 0, images, np.arange(6)), expected)
