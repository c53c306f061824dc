"""DINOSeg: the patches that hold most of DINO's attention (Caron et al., ICCV 2021, figure 4 and appendix)."""

from torch import Tensor

from picie_core.network import dino
from picie_core.saliency.interface import OfPatches

MASS = 0.6
"""The share of the attention that the mask keeps, DINO's."""


class Attention(OfPatches):
    """1 on the patches that hold 60 % of the CLS token's attention in the last block, 0 elsewhere.

    DINO makes such a mask of each head and takes, image by image, the head that fits the labels best; LOST's code,
    which COMUS cites beside it (Table 6), takes one fixed head and the largest connected part. Here no label chooses:
    the heads' attention is averaged first, and every part is kept.
    """

    def patches(self, images: Tensor) -> Tensor:
        """See `OfPatches`."""
        return kept(dino.attention(self.network, images).mean(1))


def kept(maps: Tensor, mass: float = MASS) -> Tensor:
    """The fewest pixels, the greatest first, that together hold at least a share `mass` of a map's sum.

    Args:
        maps: (B, h, w), none below 0.
        mass: 0 to 1.

    Returns:
        bool (B, h, w). Pixels equal to the last one that is needed are kept too.
    """
    flat = maps.flatten(1).double()
    values = flat.sort(dim=1, descending=True).values
    before = values.cumsum(dim=1) - values  # what those ahead of a pixel hold
    needed = (before < mass * flat.sum(dim=1, keepdim=True)).sum(dim=1, keepdim=True).clamp(min=1)
    return (flat >= values.gather(1, needed - 1)).view(maps.shape)
