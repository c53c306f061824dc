"""The two views of an image: photometric and geometric transforms put together (sections 3.3.1 and 3.3.2).

View 1 is f(G(P1(x))): the transformed image is embedded. View 2 is G(f(P2(x))): the embedding is transformed.
Clustering, labelling and training of an epoch see the same views, for they are functions of (seed, epoch, image).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from picie_core import geometry, photometry
from picie_core.settings import Settings

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def to_float(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [0, 1]."""
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def normalise(images: Tensor) -> Tensor:
    """ImageNet's mean and standard deviation: (B, 3, H, W) in [0, 1] -> about -2.1 to 2.6."""
    mean, std = (torch.tensor(v, dtype=images.dtype, device=images.device)[:, None, None] for v in (MEAN, STD))
    return (images - mean) / std


def to_pictures(images: Tensor) -> np.ndarray:
    """What `normalise` made, as pictures again: (B, 3, H, W) -> uint8 (B, H, W, 3)."""
    mean, std = (torch.tensor(v, dtype=images.dtype, device=images.device)[:, None, None] for v in (MEAN, STD))
    pixels = (images * std + mean).clamp(0, 1) * 255
    return pixels.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def resize(images: Tensor, size: int) -> Tensor:
    """(B, 3, n, n) -> (B, 3, size, size), bilinear with antialiasing."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def plain(images: Tensor, size: int) -> Tensor:
    """The view without transforms that evaluation uses: uint8 (B, n, n, 3) -> normalised (B, 3, size, size)."""
    return normalise(resize(to_float(images), size))


def first(settings: Settings, epoch: int, images: Tensor, indices: np.ndarray) -> Tensor:
    """View 1's input of the network: P1 at the stored size, then G.

    Args:
        settings: what transforms there are.
        epoch: the epoch whose draws are used.
        images: uint8 (B, base_size, base_size, 3).
        indices: (B,) the images' numbers in the data set.

    Returns:
        float32 (B, 3, image_size, image_size), normalised.
    """
    transformed = _photometric(settings, epoch, 1, images, indices)
    if not settings.geometric:
        return normalise(resize(transformed, settings.image_size))
    return normalise(geometry.apply(transformed, geometry.draw(settings, epoch, indices), settings.image_size))


def second(settings: Settings, epoch: int, images: Tensor, indices: np.ndarray) -> Tensor:
    """View 2's input of the network: P2 at the stored size, then an antialiased resize; G comes after the network."""
    return normalise(resize(_photometric(settings, epoch, 2, images, indices), settings.image_size))


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
