"""How an image of any shape becomes a square of a given side: scale, then a window, which may reach beyond the image.

Images are resampled bilinearly with antialiasing, labels by the nearest pixel, both on the same grid (half-pixel
centres), so that a label pixel lies over the image pixel it belongs to.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from picie_core.classes import VOID


class Frame(NamedTuple):
    """The image scaled to width x height, and the corner of the square window on it (negative: padding)."""

    width: int
    height: int
    left: int
    top: int


Framing = Callable[[int, int, int], Frame]
"""(width, height, size) -> Frame"""


def short_side(width: int, height: int, size: int) -> Frame:
    """The short side becomes `size`, and the centre is kept: torchvision's Resize and CenterCrop, rounding included.

    The evaluation images of the paper (COCO and Cityscapes, 320 x 320).
    """
    if width <= height:
        scaled = size, int(size * height / width)
    else:
        scaled = int(size * width / height), size
    return Frame(*scaled, round((scaled[0] - size) / 2), round((scaled[1] - size) / 2))


def third_scale(width: int, height: int, size: int) -> Frame:
    """Scaled by 0.33 for `size` = 128 (by 0.33 size / 128 for others: the same field of view), padded, centre kept.

    The images of COCO-Stuff-15 (Table 4), as IIC makes them. IIC's own resampling (OpenCV's) is not antialiased; this
    one is.
    """
    scale = 0.33 * size / 128
    scaled = max(1, round(width * scale)), max(1, round(height * scale))
    return Frame(*scaled, int((scaled[0] - size) / 2), int((scaled[1] - size) / 2))


def of_image(frame: Frame, image: Image.Image, size: int) -> np.ndarray:
    """The window of `frame` on an RGB image: uint8 (size, size, 3); black where it reaches beyond the image.

    Only the window is computed, which is exact: Pillow's filters look beyond the box they are given.
    """
    left, right, top, bottom = _inside(frame, size)
    across, down = image.width / frame.width, image.height / frame.height
    part = image.resize(
        (right - left, bottom - top),
        Image.Resampling.BILINEAR,
        box=(left * across, top * down, min(right * across, image.width), min(bottom * down, image.height)),
    )
    return _padded(np.asarray(part), frame, size, 0)


def of_label(frame: Frame, label: np.ndarray, size: int) -> np.ndarray:
    """The window of `frame` on a map of class indices: uint8 (size, size); `VOID` where it reaches beyond the map.

    The nearest pixel is found in integers, so that no rounding differs between platforms.
    """
    left, right, top, bottom = _inside(frame, size)
    columns = (2 * np.arange(left, right) + 1) * label.shape[1] // (2 * frame.width)
    rows = (2 * np.arange(top, bottom) + 1) * label.shape[0] // (2 * frame.height)
    return _padded(label[rows].take(columns, axis=1), frame, size, VOID)


def _inside(frame: Frame, size: int) -> tuple[int, int, int, int]:
    """The part of the window that lies on the image: left, right, top, bottom on the scaled grid."""
    return (
        max(frame.left, 0), min(frame.left + size, frame.width), max(frame.top, 0), min(frame.top + size, frame.height)
    )  # fmt: skip


def _padded(part: np.ndarray, frame: Frame, size: int, fill: int) -> np.ndarray:
    if part.shape[:2] == (size, size):
        return part
    whole = np.full((size, size, *part.shape[2:]), fill, dtype=np.uint8)
    top, left = max(-frame.top, 0), max(-frame.left, 0)
    whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    return whole
