import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_sets import photo
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tv

from picie_core.classes import VOID
from picie_core.datasets import framing
from picie_core.datasets.framing import Frame, short_side, third_scale


def test_by_hand():
    assert short_side(480, 360, 256) == Frame(341, 256, 42, 0)  # 341.3 is cut; 42.5 rounds to even
    assert short_side(360, 480, 256) == Frame(256, 341, 0, 42)
    assert short_side(2048, 1024, 320) == Frame(640, 320, 160, 0)
    assert third_scale(640, 480, 128) == Frame(211, 158, 41, 15)
    assert third_scale(640, 360, 128) == Frame(211, 119, 41, -4)  # 9 rows are missing: 4 above, 5 below, as IIC pads
    assert third_scale(640, 480, 256) == Frame(422, 317, 83, 30)  # the same view at twice the resolution


@given(st.integers(20, 90), st.integers(20, 90), st.integers(8, 64))
def test_equals_torchvision(width, height, size):
    array = photo(1, width, height)
    image, label = Image.fromarray(array), Image.fromarray(array[..., 0])
    frame = short_side(width, height, size)
    oracle = tv.center_crop(tv.resize(image, [size], interpolation=InterpolationMode.BILINEAR), [size, size])
    assert np.abs(np.asarray(oracle).astype(int) - framing.of_image(frame, image, size)).max() <= 1

    oracle = tv.center_crop(tv.resize(label, [size], interpolation=InterpolationMode.NEAREST), [size, size])
    # where a centre falls on the border of two pixels, floating point may take either; the rest must be equal
    x, y = np.arange(size) + frame.left, np.arange(size) + frame.top
    clear = ((2 * y + 1) * height % (2 * frame.height) != 0)[:, None] & ((2 * x + 1) * width % (2 * frame.width) != 0)
    assert (np.asarray(oracle) == framing.of_label(frame, array[..., 0], size))[clear].all()


def test_nearest_by_hand():
    row = np.arange(10, dtype=np.uint8)[None].repeat(5, 0)
    # 10 x 5 to 4 x 2, centre 2 x 2: columns 1 and 2 have their centres at 3.75 and 6.25, rows at 1.25 and 3.75
    assert framing.of_label(short_side(10, 5, 2), row, 2).tolist() == [[3, 6], [3, 6]]


def test_padding_is_filled_and_the_rest_is_the_scaled_image():
    image = Image.fromarray(photo(2, 320, 180))
    frame = third_scale(320, 180, 128)
    assert frame == Frame(106, 59, -11, -34)
    out = framing.of_image(frame, image, 128)
    inside = np.asarray(image.resize((106, 59), Image.Resampling.BILINEAR))
    assert (out[34 : 34 + 59, 11 : 11 + 106] == inside).all()
    assert out.astype(int).sum() == inside.astype(int).sum()  # black around it
    label = framing.of_label(frame, np.full((180, 320), 4, np.uint8), 128)
    assert (label[34 : 34 + 59, 11 : 11 + 106] == 4).all()
    assert (label == VOID).sum() == 128 * 128 - 59 * 106


def test_image_and_label_lie_on_the_same_grid():
    # a vertical edge at a third of the width must fall on the same column in both
    mask = np.zeros((60, 90), np.uint8)
    mask[:, 31:] = 255
    frame = short_side(90, 60, 24)
    image = framing.of_image(frame, Image.fromarray(mask).convert("RGB"), 24)
    label = framing.of_label(frame, mask, 24)
    assert ((image[..., 0] > 127) == (label > 127)).mean() > 0.95


@pytest.mark.parametrize(("width", "height"), [(1, 500), (500, 1), (1, 1), (4000, 30)])
@pytest.mark.parametrize("rule", [short_side, third_scale])
def test_extreme_shapes(rule, width, height):
    image = Image.new("RGB", (width, height), (10, 200, 30))
    out = framing.of_image(rule(width, height, 32), image, 32)
    assert out.shape == (32, 32, 3)
    assert set(map(tuple, out.reshape(-1, 3))) <= {(10, 200, 30), (0, 0, 0)}
    label = framing.of_label(rule(width, height, 32), np.ones((height, width), np.uint8), 32)
    assert ((label == 1) == (out[..., 1] == 200)).all()
