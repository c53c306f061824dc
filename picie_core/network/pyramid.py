"""The simplified pyramid that sums 1x1-convolved levels of a backbone at a quarter of the image's size."""

import math
from collections.abc import Iterable, Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from picie_core import views
from picie_core.settings import Settings
from picie_core.views import photometry


class Network(nn.Module):
    """Backbone + feature pyramid -> raw (not normalised) features.

    The pyramid has one 1x1 convolution with bias a level and no smoothing (supplement S1). `direct`: every level is
    upsampled straight to 1/4 of the input and all are summed, as the supplement says; `cascade`: from the coarsest,
    upsample to the next level's size and add, as the release does. The two differ by about 10 % of the output's norm.
    Any other trunk than `fpn` has no pyramid: its features are those of the last of its levels.

    A subclass says what the levels of its backbone are.

    Args:
        backbone: what the levels are of.
        widths: channels of the levels, the finest first.
        strides: of the levels, in pixels of the image.
        settings: `trunk`, `fpn`, `feature_dim`, `sobel`, `frozen`.

    Attributes:
        channels: of the features: `feature_dim`, or the last level's.
        widths, strides: as given.
    """

    def __init__(self, backbone: nn.Module, widths: Sequence[int], strides: Sequence[int], settings: Settings) -> None:
        super().__init__()
        self.backbone, self.widths, self.strides = backbone, list(widths), list(strides)
        self.fpn, self.sobel, self.frozen = settings.fpn, settings.sobel, settings.frozen
        pyramid = settings.trunk == "fpn"
        self.lateral = nn.ModuleList(nn.Conv2d(c, settings.feature_dim, kernel_size=1) for c in widths if pyramid)
        self.channels = settings.feature_dim if pyramid else widths[-1]
        if self.frozen:
            self.backbone.requires_grad_(False)

    def levels(self, images: Tensor) -> Iterable[Tensor]:
        """What the backbone sees in images (B, 3 or 5, H, W), the finest level first: each (B, width, h, w)."""
        raise NotImplementedError

    def normalised(self, images: Tensor) -> Tensor:
        """Images by ImageNet's mean and deviation as the backbone was trained to see them: by these."""
        return images

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) -> raw features (B, channels, ceil(H / 4), ceil(W / 4))."""
        seen = self.normalised(images)
        if self.sobel:
            seen = torch.cat([seen, gradients(images)], dim=1)
        seen = seen.to(next(self.backbone.parameters()).dtype)
        levels = self.levels(seen.contiguous(memory_format=torch.channels_last))  # 1.7 times as fast on a CPU
        size = [math.ceil(side / 4) for side in images.shape[-2:]]
        if not self.lateral:
            *_, last = levels
            return _resized(last, size)
        # Each as it comes: the order of the operations decides the last bits of gradients.
        levels = [lateral(level) for lateral, level in zip(self.lateral, levels, strict=True)]
        if self.fpn == "direct":
            return sum((_resized(level, size) for level in levels[1:]), start=_resized(levels[0], size))
        top = levels.pop()
        while levels:
            finer = levels.pop()
            top = finer + _resized(top, finer.shape[-2:])
        return _resized(top, size)

    def train(self, mode: bool = True) -> Self:
        """The mode of what is trained; a frozen backbone stays in evaluation mode, its batch norm as it was."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self


def gradients(images: Tensor) -> Tensor:
    """Image gradients dx and dy: Sobel's filter (left minus right, above minus below) on the grey picture in [0, 1],
    zeros around it, as IIC: normalised images (B, 3, H, W) -> (B, 2, H, W), -4 to 4."""
    grey = photometry.grey(views.denormalise(images))
    dx = grey.new_tensor([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    return F.conv2d(grey, torch.stack([dx, dx.T])[:, None], padding=1)


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
