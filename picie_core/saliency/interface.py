"""What every kind of saliency is: a map of the image, and the mask above a threshold."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


class Saliency(nn.Module):
    """Where in an image an object lies, found without labels."""

    def forward(self, images: Tensor, names: Sequence[str]) -> Tensor:
        """The saliency of every pixel.

        Args:
            images: normalised (`views.normalise`), float32 (B, 3, S, S).
            names: the B images' names in their data set.

        Returns:
            float32 (B, S, S), of any range: `masks` scales it.
        """
        raise NotImplementedError


class OfPatches(Saliency):
    """A saliency of 0 and 1 by patches of DINO's vision transformer; any threshold gives the same mask.

    Args:
        network: of `dino.load`.
    """

    def __init__(self, network: "VisionTransformer") -> None:
        super().__init__()
        self.network = network

    def patches(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, S, S), S a multiple of 8 -> which patches are salient, bool (B, S / 8, S / 8)."""
        raise NotImplementedError

    def forward(self, images: Tensor, names: Sequence[str]) -> Tensor:
        """See `Saliency`; in blocks of 8 x 8."""
        found = self.patches(images).float()
        return F.interpolate(found[:, None], size=images.shape[-2:], mode="nearest-exact")[:, 0]


def scaled(maps: Tensor, scaling: str = "image") -> Tensor:
    """Saliency maps from 0 to 1: (m - min) / (max - min).

    Args:
        maps: (B, S, S).
        scaling: least and greatest of each image ("image"), or of all that are given ("batch": COMUS's release, where
            an image's mask therefore depends on the images beside it).

    Returns:
        As `maps`; 0 throughout where all values are the same.
    """
    over = (0, 1, 2) if scaling == "batch" else (1, 2)
    low, high = maps.amin(over, keepdim=True), maps.amax(over, keepdim=True)
    span = high - low
    return ((maps - low) / span.where(span > 0, 1)).clamp(0, 1)


def masks(maps: Tensor, threshold: float | None, scaling: str) -> Tensor:
    """The salient pixels: those of the scaled map above the threshold.

    Args:
        maps: (B, S, S) of a `Saliency`, any range.
        threshold: 0 to 1 (`comus_threshold`); None: of each map its own, Li's (the one that keeps the cross-entropy
            between map and mask least: scikit-image's).
        scaling: "image" or "batch" (`comus_scaling`), as in `scaled`.

    Returns:
        bool (B, S, S). A constant map, which prefers no pixel, has no salient one, whatever its value.

    Raises:
        ValueError: maps that are not (B, S, S) or hold values that are not finite, or a scaling that does not exist.
    """
    if maps.ndim != 3:
        raise ValueError(f"saliency maps are {tuple(maps.shape)}; expected (images, rows, columns)")
    if scaling not in ("image", "batch"):
        raise ValueError(f"scaling is {scaling!r}; expected 'image' or 'batch'")
    if not maps.isfinite().all():
        raise ValueError("saliency maps hold values that are not finite: check the images and the weights behind them")
    maps = scaled(maps, scaling)
    if threshold is not None:
        return maps > threshold
    from skimage.filters import threshold_li  # half a second of import

    own = [float(threshold_li(m)) if m.any() else 0.0 for m in maps.cpu().numpy()]
    return maps > maps.new_tensor(own)[:, None, None]
