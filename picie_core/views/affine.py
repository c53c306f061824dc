"""The transform between the two pictures of an IIC pair as data: a horizontal flip, and rotation, shear and scale."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from picie_core import draws
from picie_core.settings import Settings

ROTATION, SHEAR, SCALE = 30.0, 10.0, (0.8, 1.2)
"""Largest angles in degrees, and the range of scales (IIC's)."""


def draw(settings: Settings, epoch: int, indices: np.ndarray) -> np.ndarray:
    """The transforms of the images `indices` in `epoch`.

    Returns:
        (B, 2, 2) float64: a place (x, y) of the second picture times this is where it lies in the first, in [-1, 1]
        from edge to edge. Without `iic_affine` only flips, with `flip_probability`.
    """
    names = ("pair flip", "pair rotation", "pair shear", "pair scale")
    flip, turn, shear, scale = draws.uniform(indices, *((settings.seed, epoch, name) for name in names))
    matrices = np.zeros((len(indices), 2, 2))
    matrices[:, 0, 0] = matrices[:, 1, 1] = 1
    if settings.iic_affine:
        angle, tilt = np.deg2rad(ROTATION * (2 * turn - 1)), np.deg2rad(SHEAR * (2 * shear - 1))
        rows = [[np.cos(angle), -np.sin(angle + tilt)], [np.sin(angle), np.cos(angle + tilt)]]
        matrices = np.moveaxis(np.array(rows), -1, 0) * (SCALE[0] + (SCALE[1] - SCALE[0]) * scale)[:, None, None]
    matrices[:, :, 0] *= np.where(flip < settings.flip_probability, -1, 1)[:, None]
    return matrices


def apply(images: Tensor, matrices: np.ndarray) -> Tensor:
    """The second picture: (B, C, n, n) moved by bilinear sampling; black where the first has nothing."""
    return F.grid_sample(images, _places(matrices, images), mode="bilinear", align_corners=False)


def undo(maps: Tensor, matrices: np.ndarray) -> tuple[Tensor, Tensor]:
    """Maps of the second picture in the frame of the first, by the exact inverse.

    Args:
        maps: (B, C, h, h), of any resolution.
        matrices: see `draw`.

    Returns:
        (B, C, h, h), differentiable in `maps`, and which pixels the second picture shows at all, (B, 1, h, h) bool.
        (IIC's code takes 0 for what it does not show.)
    """
    places = _places(np.linalg.inv(matrices), maps)
    moved = F.grid_sample(maps, places, mode="bilinear", padding_mode="border", align_corners=False)
    return moved, (places.abs() <= 1).all(dim=-1)[:, None]


def _places(matrices: np.ndarray, maps: Tensor) -> Tensor:
    """Where each cell of the result looks in the source, (B, h, w, 2) in [-1, 1]."""
    theta = torch.from_numpy(np.pad(matrices, ((0, 0), (0, 0), (0, 1)))).to(maps.device)
    return F.affine_grid(theta, list(maps.shape), align_corners=False).to(maps.dtype)
