"""The photometric transform P as data: colour jitter, greyscale and blur for each image.

Order and definitions are torchvision's and the release's: brightness, contrast, saturation, hue (each gated apart),
greyscale, Gaussian blur.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from picie_core import draws
from picie_core.settings import Settings

_GREY = (0.2989, 0.587, 0.114)  # ITU-R 601, torchvision's digits


@dataclass(frozen=True)
class Photometry:
    """One set of photometric parameters an image; all (B,) float64.

    Attributes:
        brightness, contrast, saturation: factors >= 0; 1 leaves the image as it is.
        hue: shift in turns of the colour circle; 0 leaves it.
        saturated: 1 keeps colours, 0 turns the image grey.
        sigma: of the Gaussian blur, in pixels of the image it is applied to; 0 is no blur.
    """

    brightness: np.ndarray
    contrast: np.ndarray
    saturation: np.ndarray
    hue: np.ndarray
    saturated: np.ndarray
    sigma: np.ndarray


def draw(settings: Settings, epoch: int, view: int, indices: np.ndarray) -> Photometry:
    """The photometric transforms of the images `indices` in `epoch` for one view (1 or 2)."""
    s = settings
    names = ("brightness", "contrast", "saturation", "hue", "gray", "blur")
    columns = [(s.seed, epoch, f"{name} {part}", view) for part in ("gate", "value") for name in names]
    drawn = draws.uniform(indices, *columns)
    gate: dict[str, np.ndarray] = dict(zip(names, drawn[:6], strict=True))
    value: dict[str, np.ndarray] = dict(zip(names, drawn[6:], strict=True))

    def factor(name: str, spread: float) -> np.ndarray:
        return np.where(gate[name] < s.jitter_probability, 1 + spread * (2 * value[name] - 1), 1.0)

    # Release: sigma reuses the draw that gates it; Pillow takes the magnitude of what comes out negative.
    sigma = np.abs(3.8 * gate["blur"] - 1.8) if s.blur_rule == "tied" else 0.1 + 1.9 * value["blur"]
    return Photometry(
        brightness=factor("brightness", s.brightness),
        contrast=factor("contrast", s.contrast),
        saturation=factor("saturation", s.saturation),
        hue=factor("hue", s.hue) - 1.0,
        saturated=np.where(gate["gray"] < s.grayscale_probability, 0.0, 1.0),
        sigma=np.where(gate["blur"] < s.blur_probability, sigma, 0.0),
    )


def apply(images: Tensor, photometry: Photometry) -> Tensor:
    """P on a batch.

    Args:
        images: (B, 3, H, W), float in [0, 1].
        photometry: of B images.

    Returns:
        A new (B, 3, H, W) tensor in [0, 1].
    """
    p = {
        name: torch.as_tensor(values, dtype=images.dtype, device=images.device)[:, None, None, None]
        for name, values in vars(photometry).items()
    }
    images = (images * p["brightness"]).clamp_(0, 1)
    mean = grey(images.mean(dim=(2, 3), keepdim=True))
    images = images.mul_(p["contrast"]).add_((1 - p["contrast"]) * mean).clamp_(0, 1)
    _change(photometry.saturation != 1, images, lambda some, rows: _mix_with_grey(some, p["saturation"][rows]))
    _change(photometry.hue != 0, images, lambda some, rows: shift_hue(some, p["hue"][rows]))
    _change(photometry.saturated != 1, images, lambda some, rows: _mix_with_grey(some, p["saturated"][rows]))
    _change(photometry.sigma > 0, images, lambda some, rows: blur(some, p["sigma"][rows].flatten()))
    return images


def grey(images: Tensor) -> Tensor:
    """Luma of (B, 3, H, W) images: (B, 1, H, W)."""
    red, green, blue = images.unbind(1)
    return (_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue)[:, None]


def shift_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of (B, 3, H, W) images in [0, 1] by `shift` turns (B, 1, 1, 1), saturation and value kept (HSV)."""
    value, chroma = images.amax(dim=1), images.amin(dim=1)
    torch.sub(value, chroma, out=chroma)
    red, green, blue = images.unbind(1)
    # the hue in sixths of a turn, relative to the channel that is largest: red 0, green 2, blue 4
    sextant = torch.where(value == green, (blue - red).add_(chroma, alpha=2), (red - green).add_(chroma, alpha=4))
    sextant = torch.where(value == red, green - blue, sextant)
    sextant.div_(torch.where(chroma > 0, chroma, 1.0)).add_(6 * shift[:, 0])
    turned = torch.empty_like(images)
    for channel, offset in zip(turned.unbind(1), (5, 3, 1), strict=True):
        k = torch.remainder(sextant + offset, 6)
        # a channel lacks the whole chroma in the sixths 1 to 3, and less and less of it towards 0 and 4
        lack = k.sub_(2).abs_().neg_().add_(2).clamp_(0, 1)
        torch.addcmul(value, lack, chroma, value=-1, out=channel)
    return turned


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with a sigma of its own for each image, reflected at the border.

    Args:
        images: (B, C, H, W).
        sigma: pixels, (B,), > 0. An image's kernel reaches 3 of its own sigma (less in an image too small for it), so
            that the result depends on the batch by rounding alone (3e-7: the sums are of as many terms as the widest
            kernel has).
    """
    b, c, h, w = images.shape
    radius = min(int(torch.ceil(3 * sigma.max())), h - 1, w - 1)
    steps = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (steps / sigma[:, None]) ** 2) * (steps.abs() <= (3 * sigma[:, None]).ceil())
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(c, dim=0)[:, None]  # B*C, 1, taps
    flat = images.reshape(1, b * c, h, w)
    flat = F.conv2d(F.pad(flat, (radius, radius, 0, 0), mode="reflect"), kernel[:, :, None, :], groups=b * c)
    flat = F.conv2d(F.pad(flat, (0, 0, radius, radius), mode="reflect"), kernel[:, :, :, None], groups=b * c)
    return flat.reshape(b, c, h, w).clamp_(0, 1)


def _mix_with_grey(images: Tensor, share: Tensor) -> Tensor:
    return (images * share).add_((1 - share) * grey(images)).clamp_(0, 1)


def _change(gate: np.ndarray, images: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> None:
    """`change` the images where the gate is open, in place; the rest are not computed at all."""
    rows = torch.as_tensor(np.flatnonzero(gate), device=images.device)
    if len(rows):
        images[rows] = change(images[rows], rows)
