"""The two views of an image: photometric and geometric transforms put together (sections 3.3.1 and 3.3.2).

View 1 is f(G(P1(x))): the transformed image is embedded. View 2 is G(f(P2(x))): the embedding is transformed.
Clustering, labelling and training of an epoch see the same views, for they are functions of (seed, epoch, image). What
the network is to see is a picture, uint8 as the stored ones are. (The release's second view is one too; its first is
normalised before it is cropped, and not rounded after: at most half a grey level beside this one.)
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from picie_core.processes import ranks
from picie_core.settings import Settings
from picie_core.views import geometry, photometry

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

TOGETHER = {"cpu": 2**21, "cuda": 2**24}
"""Pixels of stored images that are transformed together, by device (others as a CPU): transforms take several copies
in float32, which of a large batch of large images would be more than its activations."""


def to_float(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [0, 1]."""
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def normalise(images: Tensor, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> Tensor:
    """By a mean and a standard deviation, ImageNet's: (B, 3, H, W) in [0, 1] -> about -2.1 to 2.6."""
    centre, spread = (torch.tensor(v, dtype=images.dtype, device=images.device)[:, None, None] for v in (mean, std))
    return (images - centre) / spread


def denormalise(images: Tensor) -> Tensor:
    """The inverse of `normalise`: (B, 3, H, W) -> in [0, 1]."""
    mean, std = (torch.tensor(v, dtype=images.dtype, device=images.device)[:, None, None] for v in (MEAN, STD))
    return images * std + mean


def resize(images: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, size, size), bilinear with antialiasing."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def plain(images: Tensor, size: int) -> Tensor:
    """The view without transforms that evaluation uses: uint8 (B, n, n, 3) -> normalised (B, 3, size, size)."""
    return normalise(resize(to_float(images), size))


def to_uint8(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> the nearest uint8, (B, H, W, 3)."""
    return images.mul(255).round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def first(settings: Settings, epoch: int, images: Tensor, indices: np.ndarray) -> Tensor:
    """View 1's picture: P1 at the stored size, then G.

    Args:
        settings: what transforms there are.
        epoch: the epoch whose draws are used.
        images: uint8 (B, base_size, base_size, 3).
        indices: (B,) the images' numbers in the data set.

    Returns:
        uint8 (B, image_size, image_size, 3).
    """
    transformed = _photometric(settings, epoch, 1, images, indices)
    if not settings.geometric:
        return to_uint8(resize(transformed, settings.image_size))
    return to_uint8(geometry.apply(transformed, geometry.draw(settings, epoch, indices), settings.image_size))


def second(settings: Settings, epoch: int, images: Tensor, indices: np.ndarray) -> Tensor:
    """View 2's picture: P2 at the stored size, then an antialiased resize; G comes after the network."""
    return to_uint8(resize(_photometric(settings, epoch, 2, images, indices), settings.image_size))


def picture(settings: Settings, v: int, epoch: int, images: Tensor, indices: np.ndarray) -> Tensor:
    """`first` or `second` (v = 1, 2), made in float32 whatever precision the network has, some images at a time."""
    many = max(1, TOGETHER.get(images.device.type, TOGETHER["cpu"]) // (images.shape[1] * images.shape[2]))
    parts = [slice(start, start + many) for start in range(0, len(images), many)]
    with torch.autocast(images.device.type, enabled=False):
        return torch.cat([_VIEWS[v](settings, epoch, images[part], indices[part]) for part in parts])


def labels(settings: Settings, epoch: int, maps: Tensor, indices: np.ndarray) -> Tensor:
    """Ground truth as view 1 shows it: uint8 (B, base_size, base_size) -> (B, image_size, image_size), nearest."""
    if not settings.geometric:
        return nearest(maps, settings.image_size)
    return geometry.apply_to_labels(maps, geometry.draw(settings, epoch, indices), settings.image_size)


def nearest(maps: Tensor, size: int) -> Tensor:
    """Label maps (B, n, n) resized to (B, size, size) by the nearest pixel."""
    return F.interpolate(maps[:, None].float(), size=(size, size), mode="nearest-exact")[:, 0].to(maps.dtype)


def warp(settings: Settings, epoch: int, maps: Tensor, indices: np.ndarray) -> Tensor:
    """G on view 2's raw feature maps (B, D, h, h); L2 normalisation comes after it."""
    if not settings.geometric:
        return maps
    return geometry.apply(maps, geometry.draw(settings, epoch, indices), maps.shape[-1])


def _photometric(settings: Settings, epoch: int, view: int, images: Tensor, indices: np.ndarray) -> Tensor:
    pixels = to_float(images)
    if not settings.photometric:
        return pixels
    return photometry.apply(pixels, photometry.draw(settings, epoch, view, indices))


class Views:
    """The pictures of both views, epoch after epoch: made once where they can be kept, else whenever asked for.

    The passes of an epoch see the same views, and making one costs more than keeping it. As many are kept, of this
    rank's images those with the lowest numbers, as `views_memory` holds; they lie where the images come from. The rest
    are made again beside other images, which may turn the last bit of a pixel in a million (`photometry.blur`).

    Args:
        settings: `image_size`, `views_memory`, and what `first` and `second` need.
        num_images: of the training split.
    """

    def __init__(self, settings: Settings, num_images: int) -> None:
        self.settings = settings
        side = settings.image_size
        self.own = ranks.own(num_images)
        self.shape = (
            min(len(self.own), settings.views_memory * 2**20 // (len(_VIEWS) * side * side * 3)),
            side,
            side,
            3,
        )
        self.epoch: int | None = None
        self.kept: dict[int, Tensor] = {}
        self.known: dict[int, np.ndarray] = {}

    def get(self, v: int, epoch: int, images: Tensor, indices: np.ndarray) -> Tensor:
        """View `v` (1 or 2) of a batch, uint8 (B, image_size, image_size, 3); for the arguments see `first`."""
        if v not in self.kept:
            self.kept[v] = torch.empty(self.shape, dtype=torch.uint8, device=images.device)
        if epoch != self.epoch:
            self.epoch, self.known = epoch, {view: np.zeros(self.shape[0], dtype=bool) for view in _VIEWS}
        rows = indices - self.own.start
        fits = rows < self.shape[0]
        known = fits.copy()
        known[fits] = self.known[v][rows[fits]]
        have, missing, new = np.flatnonzero(known), np.flatnonzero(~known), np.flatnonzero(fits & ~known)
        found = images.new_empty((len(indices), *self.shape[1:]))
        found[have] = self.kept[v][rows[have]]
        if len(missing):
            found[missing] = picture(self.settings, v, epoch, images[missing], indices[missing])
        self.kept[v][rows[new]] = found[new]
        self.known[v][rows[new]] = True
        return found


_VIEWS = {1: first, 2: second}
