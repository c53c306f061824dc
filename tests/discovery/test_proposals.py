"""Boxes, crops and packed masks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from picie_core.discovery import proposals


def masks(*rectangles, size=16):
    found = torch.zeros(len(rectangles), size, size, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(found, rectangles, strict=True):
        mask[top:bottom, left:right] = True
    return found


def test_boxes_by_hand():
    found = masks((3, 1, 5, 9), (0, 0, 16, 16), (15, 15, 16, 16), (4, 4, 4, 4))
    boxes, large = proposals.boxes(found, smallest=0.0)
    assert boxes.tolist() == [[3, 1, 5, 9], [0, 0, 16, 16], [15, 15, 16, 16], [0, 0, 0, 0]]
    assert large.tolist() == [True, True, True, False]  # nothing salient is no proposal, whatever the least share


def test_all_salient_pixels_are_one_region():
    apart = masks((1, 2, 3, 4)) | masks((10, 9, 14, 12))
    assert proposals.boxes(apart, 0.0)[0].tolist() == [[1, 2, 14, 12]]


def test_a_region_of_exactly_the_least_share_is_kept():
    found = masks((0, 0, 4, 4), (0, 0, 5, 3))  # 16 and 15 of 256 pixels
    assert proposals.boxes(found, smallest=16 / 256)[1].tolist() == [True, False]


@given(st.integers(0, 14), st.integers(0, 14), st.integers(1, 15), st.integers(1, 15))
def test_the_box_holds_the_mask_and_touches_it(left, top, width, height):
    right, bottom = min(left + width, 16), min(top + height, 16)
    mask = masks((left, top, right, bottom))
    found = [int(v) for v in proposals.boxes(mask, 0.0)[0][0]]
    y, x = np.nonzero(mask[0].numpy())
    assert found == [x.min(), y.min(), x.max() + 1, y.max() + 1]


def test_a_crop_of_the_whole_image_at_its_size_is_the_image():
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    whole = torch.tensor([[0.0, 0, 16, 16]] * 2)
    assert torch.allclose(proposals.crop(images, whole, 16), images, atol=1e-6)


def test_a_crop_shows_its_own_box_of_its_own_image():
    images = torch.zeros(2, 1, 16, 16)
    images[0, 0, 2:6, 8:16] = 1
    images[1, 0, 8:16, 0:4] = 2
    found = proposals.crop(images, torch.tensor([[8.0, 2, 16, 6], [0, 8, 4, 16]]), 4)
    assert torch.equal(found[0], torch.ones(1, 4, 4))
    assert torch.equal(found[1], torch.full((1, 4, 4), 2.0))


def test_a_large_box_is_averaged_not_sampled():
    images = torch.zeros(1, 1, 16, 16)
    images[0, 0, ::2] = 1  # every other line: a crop of half the size that sampled would be all 0 or all 1
    assert torch.allclose(proposals.crop(images, torch.tensor([[0.0, 0, 16, 16]]), 8), torch.full((1, 1, 8, 8), 0.5))


@pytest.mark.parametrize("size", [8, 32])
def test_packed_masks_come_back_and_are_an_eighth(size):
    found = torch.rand(3, size, size, generator=torch.Generator().manual_seed(1)) > 0.5
    packed = proposals.pack(found)
    assert (packed.dtype, packed.shape) == (torch.uint8, (3, size, size // 8))
    assert torch.equal(proposals.unpack(packed), found)


def test_a_packed_line_by_hand():
    line = torch.zeros(1, 8, 8, dtype=torch.bool)
    line[0, 0, [0, 3, 7]] = True
    assert proposals.pack(line)[0, 0].tolist() == [1 + 8 + 128]
