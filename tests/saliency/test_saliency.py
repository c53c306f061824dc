"""`saliency`: each kind against loops over its formula, masks by hand, and what is refused."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import noise
from torch import nn

from picie_core import saliency, scenes, views
from picie_core.saliency import attention, basnet, contrast, lost
from picie_core.settings import Settings


def settings(**values) -> Settings:
    return Settings(method="pseudomasks", **values)


# --- masks ------------------------------------------------------------------------------------------------------------


def test_masks_by_hand():
    maps = torch.tensor([[[0.0, 1.0], [3.0, 4.0]], [[4.0, 5.0], [6.0, 8.0]], [[7.0, 7.0], [7.0, 7.0]]])
    of_image = saliency.masks(maps, 0.5, "image")
    assert of_image.dtype == torch.bool
    assert of_image.tolist() == [[[0, 0], [1, 1]], [[0, 0], [0, 1]], [[0, 0], [0, 0]]]  # 6 is at 0.5, not above it
    assert saliency.masks(maps, 0.5, "batch").tolist() == [[[0, 0], [0, 0]], [[0, 1], [1, 1]], [[1, 1], [1, 1]]]
    for scaling in ("image", "batch"):
        assert not saliency.masks(torch.full((2, 3, 3), 5.0), 0.0, scaling).any()


@given(st.integers(0, 1000), st.floats(0.1, 100), st.floats(-100, 100), st.sampled_from(["image", "batch"]))
def test_masks_do_not_depend_on_the_range_of_the_maps(seed, factor, offset, scaling):
    maps = noise(3, 5, 5, seed=seed).double()
    assert torch.equal(saliency.masks(maps, 0.4, scaling), saliency.masks(maps * factor + offset, 0.4, scaling))


def test_without_a_threshold_each_map_has_its_own():
    """Li's lies between two levels wherever they are, also where one of them is above a half."""
    maps = torch.zeros(3, 8, 8)
    maps[0, 2:4, 2:4] = 1
    maps[1] = 0.6
    maps[1, 2:4, 2:4] = 1
    maps[1, 0, 0] = 0
    found = saliency.masks(maps, None, "image")
    for number in (0, 1):
        assert found[number, 2:4, 2:4].all()
        assert found[number].sum() == (4 if number == 0 else found[1].sum())
    assert not found[2].any()
    assert not found[:, 0, 0].any()


def test_masks_refuse_what_they_cannot_scale():
    with pytest.raises(ValueError, match="expected \\(images, rows, columns\\)"):
        saliency.masks(torch.zeros(1, 1, 2, 2), 0.5, "image")
    with pytest.raises(ValueError, match="not finite"):
        saliency.masks(torch.tensor([[[0.0, math.nan]]]), 0.5, "image")
    with pytest.raises(ValueError, match="'image' or 'batch'"):
        saliency.masks(torch.zeros(1, 2, 2), 0.5, "run")


# --- contrast ---------------------------------------------------------------------------------------------------------


def least_barrier(plane: np.ndarray) -> np.ndarray:
    """The minimum barrier distance to the edge, exactly: for every lowest and highest value, what the edge reaches."""
    levels, (height, width) = np.unique(plane), plane.shape
    found = np.full(plane.shape, np.inf)
    for low, high in itertools.combinations_with_replacement(levels, 2):
        inside = (plane >= low) & (plane <= high)
        reached = {
            p for p in np.ndindex(plane.shape) if inside[p] and (p[0] in (0, height - 1) or p[1] in (0, width - 1))
        }
        front = list(reached)
        while front:
            y, x = front.pop()
            for p in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= p[0] < height and 0 <= p[1] < width and inside[p] and p not in reached:
                    reached.add(p)
                    front.append(p)
        for p in reached:
            found[p] = min(found[p], high - low)
    return found


def test_the_barrier_by_hand():
    plane = torch.tensor([[1, 1, 1, 1, 1], [1, 9, 9, 9, 1], [1, 9, 5, 2, 1], [1, 9, 9, 9, 1], [1, 1, 1, 1, 1.0]])
    expected = torch.zeros(5, 5)
    expected[1:4, 1:4] = torch.tensor([[8, 8, 8], [8, 4, 1], [8, 8, 8]])  # 5 leaves by 2 to 1, not over 9
    assert torch.equal(contrast.barrier(plane[None, None])[0, 0], expected)


def test_the_barrier_is_that_of_a_path_and_nearly_the_least():
    rng = np.random.default_rng(0)
    planes = rng.integers(0, 6, (30, 8, 9)).astype(np.float32)
    found = contrast.barrier(torch.from_numpy(planes).view(10, 3, 8, 9)).numpy().reshape(30, 8, 9)
    exact = np.stack([least_barrier(plane) for plane in planes])
    assert (found >= exact).all()
    assert (found == exact).mean() > 0.95  # on noise, where paths wind most


def test_a_path_that_winds_is_found_in_as_many_passes():
    spiral = torch.full((9, 9), 9.0)
    path = [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (7, 2), (7, 3), (7, 4), (7, 5), (7, 6),
            (7, 7), (6, 7), (5, 7), (4, 7), (3, 7), (3, 6), (3, 5), (3, 4), (3, 3), (4, 3), (5, 3),
            (5, 4), (5, 5)]  # fmt: skip
    for place in path:
        spiral[place] = 0
    assert contrast.barrier(spiral[None, None])[0, 0][5, 5] == 0
    assert contrast.barrier(spiral[None, None], passes=1)[0, 0][5, 5] == 9


def test_the_background_measure_is_the_formula():
    images = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(3))
    expected = []
    for image in images.numpy().astype(np.float64):
        maps = []
        for strip in (image[:, :2], image[:, -2:], image[:, :, :3], image[:, :, -3:]):
            colours = strip.reshape(3, -1).T
            inverse = np.linalg.inv(np.cov(colours, rowvar=False, bias=True) + 1e-3 * np.eye(3))
            distance = np.empty((20, 30))
            for y, x in np.ndindex(20, 30):
                away = image[:, y, x] - colours.mean(axis=0)
                distance[y, x] = np.sqrt(away @ inverse @ away)
            maps.append(distance / distance.max())
        expected.append(sum(maps) - np.max(maps, axis=0))
    assert np.allclose(contrast.background(images).numpy(), expected, atol=1e-4)


def test_one_strip_that_the_object_lies_in_does_no_harm():
    """An object that reaches the lower edge is far from the other three strips; what is around it is near to them."""
    image = torch.full((1, 3, 40, 40), 0.2)
    image[:, 0, 10:, 15:25] = 0.9
    found = contrast.background(image + 0.01 * torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0)))[0]
    assert found[20, 20] > 1.5
    assert found[:, :10].max() < 0.5


def test_lab_of_known_colours():
    rgb = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1], [0.5, 0.5, 0.5]])
    known = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86], [53.39, 0, 0]]
    found = contrast.lab(rgb[:, :, None, None])[:, :, 0, 0]
    assert found.numpy() == pytest.approx(np.array(known), abs=0.02)


def reconstructed(marker: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Greyscale reconstruction by one step at a time."""
    held = np.minimum(marker, mask)
    while True:
        padded = np.pad(held, 1, constant_values=-np.inf)
        shifts = (padded[1:-1, 1:-1], padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
        grown = np.minimum(np.max(shifts, axis=0), mask)
        if (grown == held).all():
            return held
        held = grown


def squares(plane: np.ndarray, width: int, best) -> np.ndarray:
    r, out = width // 2, np.zeros_like(plane)
    for y, x in np.ndindex(plane.shape):
        out[y, x] = best(plane[max(y - r, 0) : y + r + 1, max(x - r, 0) : x + r + 1])
    return out


def test_smoothing_against_a_loop():
    plane = noise(2, 12, 11).double()
    for number in range(2):
        m = plane[number].numpy()
        opened = reconstructed(squares(m, 3, np.min), m)
        closed = -reconstructed(-squares(opened, 3, np.max), -opened)
        assert contrast.smoothed(plane, 3)[number].numpy() == pytest.approx(closed)


def test_smoothing_levels_what_is_narrow_and_keeps_outlines():
    m = torch.zeros(1, 12, 12)
    m[0, 2:7, 2:7], m[0, 3, 3], m[0, 9, 2:11] = 0.8, 0.1, 1.0
    expected = torch.zeros(1, 12, 12)
    expected[0, 2:7, 2:7] = 0.8  # its hole is filled, the line is gone
    assert torch.equal(contrast.smoothed(m, 3), expected)


def test_enhancement_by_hand():
    m = torch.tensor([[[0.0, 2.0], [8.0, 10.0]]])  # scaled 0, 0.2, 0.8, 1: means 0.1 and 0.9, halfway 0.5
    expected = [1 / (1 + math.exp(-10 * (v - 0.5))) for v in (0, 0.2, 0.8, 1)]
    assert contrast.enhanced(m).flatten().tolist() == pytest.approx(expected, abs=1e-6)
    assert contrast.enhanced(torch.full((1, 2, 2), 3.0)).unique().numel() == 1


def test_a_thing_on_plain_ground_is_its_own_mask():
    images = torch.full((2, 3, 64, 64), 0.4)
    images[0, 0, 20:40, 24:44] = 0.9
    images[1, 1, 10:30, 30:60] = 0.1
    built = saliency.build(settings())
    found = saliency.masks(built(views.normalise(images), ["a", "b"]), 0.5, "image")
    expected = torch.zeros(2, 64, 64, dtype=torch.bool)
    expected[0, 20:40, 24:44] = expected[1, 10:30, 30:60] = True
    assert torch.equal(found, expected)
    one = built(views.normalise(torch.full((1, 3, 32, 32), 0.5)), ["c"])
    assert one.dtype == torch.float32
    assert not saliency.masks(one, 0.5, "image").any()


def test_contrast_finds_things_of_scenes_better_than_all_or_chance():
    pairs = [scenes.render(i, 64) for i in range(24)]
    things = torch.from_numpy(np.stack([np.isin(label, list(scenes.THINGS)) for _, label in pairs]))
    images = views.plain(torch.from_numpy(np.stack([image for image, _ in pairs])), 64)
    found = saliency.masks(contrast.Contrast()(images, [""] * 24), 0.5, "image")
    iou = ((found & things).sum() / (found | things).sum()).item()
    assert 0.24 < iou < 0.5, iou  # every pixel: 0.17


# --- DINOSeg and LOST -------------------------------------------------------------------------------------------------


def test_the_attention_that_is_kept_by_hand():
    maps = torch.tensor([[[0.1, 0.2], [0.3, 0.4]], [[5.0, 5.0], [5.0, 5.0]], [[0.0, 0.7], [0.3, 0.0]]])
    assert attention.kept(maps, 0.6).tolist() == [[[0, 0], [1, 1]], [[1, 1], [1, 1]], [[0, 1], [0, 0]]]
    assert attention.kept(maps, 0.75)[0].tolist() == [[0, 1], [1, 1]]


def test_the_attention_that_is_kept_is_dinos():
    maps = noise(5, 6, 7).softmax(dim=-1)
    for one, found in zip(maps, attention.kept(maps), strict=True):
        held, expected = 0.0, np.zeros(42, dtype=bool)
        flat = one.flatten().double().numpy()
        for place in np.argsort(flat):  # from the least on, what exceeds 40 % is kept
            held += flat[place] / flat.sum()
            expected[place] = held > 1 - 0.6
        assert found.flatten().tolist() == expected.tolist()


def grown(keys: np.ndarray, k: int) -> np.ndarray:
    """LOST by loops."""
    dim, h, w = keys.shape
    f = keys.reshape(dim, -1).T.astype(np.float64)
    degree = [sum(f[p] @ f[q] > 0 for q in range(h * w)) for p in range(h * w)]
    lowest = sorted(range(h * w), key=lambda p: (degree[p], p))[:k]
    seed = lowest[0]
    chosen = [p for p in lowest if f[p] @ f[seed] > 0]
    mask = [sum(f[q] @ f[s] for s in chosen) > 0 for q in range(h * w)]
    part, front = {seed}, [seed]
    while front:
        y, x = divmod(front.pop(), w)
        for a, b in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= a < h and 0 <= b < w and mask[a * w + b] and a * w + b not in part:
                part.add(a * w + b)
                front.append(a * w + b)
    return np.array([p in part for p in range(h * w)]).reshape(h, w)


@pytest.mark.parametrize("k", [1, 5, 100])
def test_lost_against_a_loop(k):
    for seed in range(6):
        keys = noise(4, 6, 5, seed=seed) + 0.3
        assert torch.equal(lost.grown(keys, k), torch.from_numpy(grown(keys.numpy(), k))), seed


def test_lost_by_hand():
    keys = torch.tensor([1.0, -0.5]).view(2, 1, 1).repeat(1, 4, 4)  # ground; an object of three patches, one apart
    for place in ((1, 1), (1, 2), (2, 2), (3, 0)):
        keys[:, place[0], place[1]] = torch.tensor([-0.5, 1.0])
    expected = torch.zeros(4, 4, dtype=torch.bool)
    expected[1, 1] = expected[1, 2] = expected[2, 2] = True
    assert torch.equal(lost.grown(keys), expected)
    assert not lost.grown(torch.zeros(3, 2, 2)).any()


@pytest.mark.parametrize("kind", [attention.Attention, lost.Lost])
def test_saliency_on_a_tiny_transformer(kind):
    timm = pytest.importorskip("timm")
    net = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=12, depth=2, num_heads=3, num_classes=0, dynamic_img_size=True
    )
    maps = kind(net.eval())(noise(2, 3, 64, 64), ["a", "b"])
    assert maps.shape == (2, 64, 64)
    assert maps.dtype == torch.float32
    assert set(maps.unique().tolist()) == {0.0, 1.0}
    blocks = maps.unflatten(1, (8, 8)).unflatten(3, (8, 8))
    assert (blocks == blocks[:, :, :1, :, :1]).all()


# --- BASNet -----------------------------------------------------------------------------------------------------------


def state_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """A value for each name, of the right shape, that takes no place in a file."""
    shapes = network.state_dict().items()
    return {name: torch.tensor(i % 7 / 100 + 0.01, dtype=t.dtype).expand(t.shape) for i, (name, t) in enumerate(shapes)}


@pytest.fixture(scope="module")
def shell() -> basnet.BASNet:
    with torch.device("meta"):
        return basnet.BASNet()


def load(file) -> basnet.Network:
    return basnet.load(settings(comus_saliency="basnet", comus_saliency_place=file))
