"""LOST (Siméoni et al., BMVC 2021, arXiv 2109.14279, section 3.2): an object grown from a seed over DINO's keys."""

import torch
from scipy import ndimage
from torch import Tensor

from picie_core.network import dino
from picie_core.saliency.interface import OfPatches

CANDIDATES = 100
"""k: patches of the lowest degree among which the seed is expanded. The paper's, for images of some 300 to 500 pixels;
of a scene of 96 x 96 it is most of the 144 patches."""


class Lost(OfPatches):
    """1 on the patches of the object that LOST finds, 0 elsewhere; at most one object an image.

    LOST draws a box around the patches; COMUS scores the patches (Table 6), and so does this.
    """

    def patches(self, images: Tensor) -> Tensor:
        """See `OfPatches`."""
        return torch.stack([grown(one) for one in dino.keys(self.network, images)])


def grown(keys: Tensor, k: int = CANDIDATES) -> Tensor:
    """The patches of one object.

    1. Patches p and q are neighbours if f_p . f_q > 0; the seed is the patch of the fewest neighbours: objects cover
       less of an image than their surroundings, and patches of either look like their own.
    2. S is the seed's neighbours among the k patches of the lowest degrees, itself included.
    3. The object is the patches q with f_q . sum_{s in S} f_s > 0, of these the connected part (by edges) that holds
       the seed.

    Among equal degrees the patch that comes first by rows is lower (the release leaves it to the sort).

    Args:
        keys: f, (D, h, w).
        k: how many patches the seed can be expanded to.

    Returns:
        bool (h, w), on the keys' device; empty only if the seed's key is 0.
    """
    features = keys.flatten(1).T.float()  # (hw, D)
    similar = features @ features.T
    degrees = (similar > 0).sum(dim=1)
    order = degrees.argsort(stable=True)
    seed, candidates = order[0], order[:k]
    chosen = candidates[similar[seed, candidates] > 0]
    mask = similar[chosen].sum(dim=0) > 0
    parts = torch.as_tensor(ndimage.label(mask.view(keys.shape[1:]).cpu().numpy())[0], device=keys.device)  # type: ignore[index]
    part = parts.flatten()[seed]
    return (parts == part) & (part > 0)
