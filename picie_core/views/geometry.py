"""The geometric transform G as data: a square crop and a horizontal flip for each image.

The same `Geometry` is applied to images (view 1) and to feature maps of another resolution (view 2), because boxes are
fractions of the side and not pixels.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from picie_core import draws
from picie_core.devices.precision import raised
from picie_core.settings import Settings


@dataclass(frozen=True)
class Geometry:
    """One crop and flip an image.

    Attributes:
        side: side of the crop as a fraction of the image's, (B,) float64 in (0, 1].
        x, y: where the crop lies in the room it leaves, (B,) float64 in [0, 1]: 0 left or top, 1 right or bottom.
        flip: mirrored left to right after the crop, (B,) bool.
        rounding: `exact`, or `grid`: corners and side fall on the pixel grid of whatever they are applied to, as in
            the release (there, image and features are cropped up to 2.75 feature cells apart).
    """

    side: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flip: np.ndarray
    rounding: str = "exact"

    def boxes(self, n: int) -> np.ndarray:
        """Crops of a map of n x n cells as fractions of its side: (B, 4) float64, x0, y0, x1, y1."""
        if self.rounding == "grid":
            side = np.maximum(np.floor(self.side * n), 1)
            x0, y0 = np.rint((n - side) * self.x) / n, np.rint((n - side) * self.y) / n
            side = side / n
        else:
            side = self.side
            x0, y0 = (1 - side) * self.x, (1 - side) * self.y
        return np.stack([x0, y0, x0 + side, y0 + side], axis=1)


def draw(settings: Settings, epoch: int, indices: np.ndarray) -> Geometry:
    """The geometric transforms of the images `indices` in `epoch`: side U(crop_min_side, 1), place uniform, flip."""
    names = ("crop side", "crop x", "crop y", "flip")
    side, x, y, flip = draws.uniform(indices, *((settings.seed, epoch, name) for name in names))
    low = settings.crop_min_side
    return Geometry(low + (1 - low) * side, x, y, flip < settings.flip_probability, settings.crop_rounding)


def apply(maps: Tensor, geometry: Geometry, size: int) -> Tensor:
    """G: crop, resize and flip a batch by bilinear sampling, without antialiasing (as the release).

    Args:
        maps: images or feature maps, (B, C, n, n), float; below float32 they are sampled as float32, for bfloat16 could
            not say where.
        geometry: of B images.
        size: side of the result.

    Returns:
        (B, C, size, size), differentiable in `maps`. With `grid` rounding it equals cropping and then resizing with
        `interpolate(mode="bilinear", align_corners=False)`; with `exact` the outer half pixel may look outside the box.
    """
    maps = raised(maps)
    grid = sampling_grid(geometry, maps.shape[-1], size, maps.device).to(maps.dtype)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)


def apply_to_labels(labels: Tensor, geometry: Geometry, size: int) -> Tensor:
    """G on label maps, by nearest sampling: (B, n, n) integers -> (B, size, size) of the same dtype."""
    grid = sampling_grid(geometry, labels.shape[-1], size, labels.device)
    moved = F.grid_sample(labels[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    return moved[:, 0].to(labels.dtype)


def sampling_grid(geometry: Geometry, n: int, size: int, device: torch.device | str = "cpu") -> Tensor:
    """Where each cell of the result looks in the source, in grid_sample's [-1, 1]: (B, size, size, 2) float32."""
    x0, y0, x1, y1 = (torch.from_numpy(column) for column in geometry.boxes(n).T)
    centres = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    across, down = x0[:, None] + (x1 - x0)[:, None] * centres, y0[:, None] + (y1 - y0)[:, None] * centres
    if geometry.rounding == "grid":  # the release resizes the crop, which knows no pixel outside of it
        half = 0.5 / n
        across = across.clamp((x0 + half)[:, None], (x1 - half)[:, None])
        down = down.clamp((y0 + half)[:, None], (y1 - half)[:, None])
    across = torch.where(torch.from_numpy(geometry.flip)[:, None], across.flip(1), across)
    across, down = ((2 * places - 1).float().to(device) for places in (across, down))
    return torch.stack([across[:, None, :].expand(-1, size, size), down[:, :, None].expand(-1, size, size)], dim=-1)
