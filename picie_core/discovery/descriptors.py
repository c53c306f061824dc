"""What describes an object proposal: a unit feature of the picture in its box.

Three kinds: DINO's CLS token (COMUS), the mean feature of the network of any run of this workbook, and histograms of
oriented gradients, which need no weights and see shape, not colour.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from picie_core import network, views
from picie_core.network import dino
from picie_core.settings import Settings


class Descriptor(nn.Module):
    """Unit features of crops.

    Attributes:
        width: D, of a feature.
    """

    width: int

    def forward(self, crops: Tensor) -> Tensor:
        """Normalised crops (B, 3, C, C) -> float32 (B, D), unit vectors."""
        raise NotImplementedError

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take what is needed from the weights of the run before; only `Pooled` has one."""


class Hog(Descriptor):
    """Histograms of oriented gradients (Dalal and Triggs, CVPR 2005): scikit-image's, 9 orientations, 8 x 8 cells,
    blocks of 2 x 2, of the channel with the largest gradient."""

    cells, block, orientations = 8, 2, 9
    width = (cells - block + 1) ** 2 * block**2 * orientations

    def forward(self, crops: Tensor) -> Tensor:
        """See `Descriptor`. A crop of one colour has no gradient; its feature is zero."""
        from skimage.feature import hog

        side = crops.shape[-1] // self.cells
        pictures = views.denormalise(crops).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
        found = [
            hog(p, self.orientations, (side, side), (self.block, self.block), block_norm="L2-Hys", channel_axis=-1)
            for p in pictures
        ]
        return F.normalize(torch.from_numpy(np.stack(found)).float().to(crops.device), dim=1)


class Cls(Descriptor):
    """The CLS token of DINO's ViT-S/8."""

    width = 384

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.network = dino.load(settings)

    def forward(self, crops: Tensor) -> Tensor:
        """See `Descriptor`."""
        return F.normalize(dino.cls_tokens(self.network, crops), dim=1)


class Pooled(Descriptor):
    """The mean over a crop of the unit features of a run's network; `start_from` gives it its weights.

    Args:
        settings: of that run.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.network = network.build(settings.model_copy(update={"pretrained": False}))
        self.width = self.network.channels

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take the network from the weights of a run."""
        self.network.load_state_dict(network.part(weights))

    def forward(self, crops: Tensor) -> Tensor:
        """See `Descriptor`."""
        return F.normalize(network.embed(self.network(crops)).mean(dim=(2, 3)), dim=1)


def build(settings: Settings) -> Descriptor:
    """The descriptor that `pretext` names."""
    if settings.previous is not None:
        return Pooled(settings.previous)
    return Hog() if settings.pretext == "hog" else Cls(settings)
