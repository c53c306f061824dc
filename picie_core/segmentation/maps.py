"""The map of one photograph: the cluster of each of its pixels, and the pictures of it."""

import io
import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from picie_core import figures, views
from picie_core.methods import Method

STRIP = 2**24
"""Logits (pixels x clusters) that are upsampled at a time, 64 MB: what a photograph costs beyond itself is bounded."""

LONGEST = 64
"""Longest side that the network sees, as a multiple of the run's `image_size`: no panorama is as long, but a line of
pixels is, and what it costs is bounded by this."""

JPEG_SIDE = 65_500
"""Longest side of a picture that libjpeg writes, in pixels."""

SMALL = 480
"""Longest side of a picture on the page, in pixels: sharp at the widths it is shown at, and a pair is some 50 kB."""


@torch.no_grad()
def segment_image(method: Method, image: np.ndarray, short_side: int, device: torch.device) -> np.ndarray:
    """The cluster of every pixel of one image.

    The network sees the whole image with its short side scaled to that of training, or with its long side scaled to
    `LONGEST` times that where this is smaller: else a line of pixels would take gigabytes. Sides are rounded to
    multiples of 4, a cell of the features, and continued by their edge to multiples of the coarsest cell, so that all
    levels of the pyramid lie over each other; the margin's logits are dropped, the rest upsampled bilinearly to the
    image's size.

    Args:
        method: restored, in evaluation mode.
        image: uint8 (H, W, 3).
        short_side: the run's `image_size`.
        device: the method's.

    Returns:
        (H, W) uint8, or uint16 beyond 256 clusters.
    """
    height, width = image.shape[:2]
    scale = short_side / max(min(height, width), max(height, width) / LONGEST)
    down, across = (max(1, round(side * scale / 4)) for side in (height, width))  # cells of the features
    pixels = views.to_float(torch.from_numpy(np.array(image))[None].to(device))
    pixels = F.interpolate(pixels, size=(4 * down, 4 * across), mode="bilinear", antialias=True, align_corners=False)
    margin = (0, -4 * across % method.coarsest, 0, -4 * down % method.coarsest)
    pixels = F.pad(pixels, margin, mode="replicate")
    logits = method.logits(views.normalise(pixels))["final"].float()
    cell = pixels.shape[-1] // logits.shape[-1]  # 4; 8 of DeepLabv3; 1 for methods that look at the pixels themselves
    cells = 4 * down / cell, 4 * across / cell
    logits = logits[..., : math.ceil(cells[0]), : math.ceil(cells[1])]
    clusters = np.empty((height, width), dtype=np.uint8 if logits.shape[1] <= 256 else np.uint16)
    for rows in _strips(height, width * logits.shape[1]):
        clusters[rows] = _upsampled(logits, rows, (height, width), cells).argmax(dim=1)[0].cpu().numpy()
    return clusters


def _strips(height: int, row: int) -> Iterator[slice]:
    """Rows 0..height in pieces of at most `STRIP` values, of which a row has `row`; at least one row each."""
    rows = max(1, STRIP // row)
    return (slice(start, min(start + rows, height)) for start in range(0, height, rows))


def _upsampled(logits: Tensor, rows: slice, size: tuple[int, int], cells: tuple[float, float]) -> Tensor:
    """Some rows of logits (1, K, h, w) upsampled bilinearly (align_corners=False) to `size`, height and width, over
    which the first `cells` extend, down and across: where the last is the image's in part, a fraction of it."""
    sides = ((rows, size[0], cells[0], logits.shape[2]), (slice(0, size[1]), size[1], cells[1], logits.shape[3]))
    y, x = (
        (torch.arange(part.start, part.stop, device=logits.device) + 0.5) * (2 * extent / side / count) - 1
        for part, side, extent, count in sides
    )
    places = torch.stack(torch.broadcast_tensors(x, y[:, None]), dim=-1)[None]
    return F.grid_sample(logits, places, mode="bilinear", padding_mode="border", align_corners=False)


def overlay(image: np.ndarray, clusters: np.ndarray, palette: np.ndarray, clear: int | None = None) -> np.ndarray:
    """The clusters (H, W) drawn over the image, but for one that leaves it as it is, uint8 (H, W, 3); palette uint8
    (K, 3)."""
    drawn = np.empty_like(image)
    for rows in _strips(len(image), image[0].size):
        painted = figures.overlay(image[rows], clusters[rows], palette)
        drawn[rows] = np.where((clusters[rows] == clear)[..., None], image[rows], painted)
    return drawn


def index_png(clusters: np.ndarray, palette: np.ndarray) -> bytes:
    """A PNG whose values are the cluster numbers: 8-bit with the palette, or 16-bit greyscale beyond 256 clusters."""
    image = Image.fromarray(clusters)
    if clusters.dtype == np.uint8:
        image.putpalette(palette.astype(np.uint8).tobytes())
    return _encoded(image, "PNG")


def jpeg(image: np.ndarray) -> bytes:
    """An image, uint8 (H, W, 3), as a JPEG: of its size, or made smaller where a side is longer than `JPEG_SIDE`."""
    picture = Image.fromarray(image)
    picture.thumbnail((JPEG_SIDE, JPEG_SIDE))
    return _encoded(picture, "JPEG", quality=90)


def pair_jpeg(image: np.ndarray, drawn: np.ndarray) -> tuple[bytes, tuple[int, int]]:
    """An image and its overlay side by side, made small: no side of either is longer than `SMALL`.

    Returns:
        The JPEG, and the width and height of each half.
    """
    halves = [Image.fromarray(picture) for picture in (image, drawn)]
    for half in halves:
        half.thumbnail((SMALL, SMALL))
    width, height = halves[0].size
    pair = Image.new("RGB", (2 * width, height))
    for place, half in enumerate(halves):
        pair.paste(half, (place * width, 0))
    return _encoded(pair, "JPEG", quality=80), (width, height)


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
