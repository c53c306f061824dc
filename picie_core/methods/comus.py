"""Self-training on pseudo-masks, then on a trained network's own predictions (COMUS, Algorithm 2)."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from picie_core import discovery, views
from picie_core.discovery import proposals
from picie_core.methods.method import Batch
from picie_core.methods.supervised import Supervised
from picie_core.network import deeplab
from picie_core.processes import ranks
from picie_core.settings import Settings


class Comus(Supervised):
    """A fresh network taught, by cross-entropy, what the run before says is where.

    The first iteration learns the pseudo-masks of the training images that have a proposal, but for the share
    `comus_filtered` of each cluster that is farthest from its centre; background is a class. Each later one learns
    what the network of the iteration before predicts, of all images of `comus_later_split`. Images are cropped and
    flipped (`crop_min_side`), and the pseudo-masks with them.

    DeepLabv3 pools each image to one cell, whatever its size, which batch norm cannot take of one image alone; and how
    many images are kept, nobody knows before. Where an epoch's last batch would be one image, that epoch leaves it out.
    Each epoch has an order of its own, and so leaves out another. (Among several processes one may still be left
    with a single image, which stops the run: give a larger `batch_size`.)

    Where the release differs: its crops vary in shape (3 : 4 to 4 : 3) and uniformly in area, where these are square
    and uniform in side; it squeezes the whole image into a square, where these are the centre of it (`framing`), and
    scores at the label's own size; it scales saliency over 5 (VOC) or 10 images, where these are `batch_size`.
    What comes from the run before is not part of this run's weights and checkpoints: `start_from` takes it again.
    """

    rate_setting = "comus_learning_rate"

    def __init__(self, settings: Settings, num_images: int) -> None:
        super().__init__(settings, num_images)
        self._teacher: tuple[Comus, ...] = ()  # in a tuple: not a part of this module
        self._masks, self._clusters = torch.empty(0), torch.empty(0)

    def make(self, settings: Settings) -> nn.Module:
        """The network that is taught: DeepLabv3, or the workbook's."""
        return deeplab.build(settings) if settings.comus_network == "deeplabv3" else super().make(settings)

    @classmethod
    def starts_pretrained(cls, settings: Settings) -> bool:
        """The workbook's network may; DeepLabv3 has weights of its own."""
        return settings.comus_network == "fpn" and super().starts_pretrained(settings)

    @classmethod
    def inputs(cls, settings: Settings) -> str:
        """Digest of the weights that the network starts from."""
        return deeplab.fingerprint(settings) if settings.comus_network == "deeplabv3" else super().inputs(settings)

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take the pseudo-masks, or the network of the iteration before, from the weights of that run."""
        s = self.settings
        if s.comus_iterations > 1 and s.previous is not None:
            teacher = Comus(s.previous.model_copy(update={"pretrained": False, "comus_backbone_place": None}), 0)
            teacher.load_state_dict(dict(weights))
            self._teacher = (teacher.eval().requires_grad_(False),)
            return
        self._masks, self._clusters = weights["masks"], weights["clusters_of"]
        proposed = np.flatnonzero(self._clusters.numpy())
        clusters, distances = (weights[name].numpy()[proposed] for name in ("clusters_of", "distances"))
        self.shown = proposed[discovery.kept(clusters, distances, s.comus_filtered)]

    def order(self, epoch: int) -> np.ndarray:
        """As `Supervised`; of DeepLabv3 without the last image where it would be a batch of its own (see above)."""
        order, size = super().order(epoch), self.settings.batch_size
        alone = ranks.count() == 1 and len(order) % size == 1 and len(order) > size
        return order[:-1] if alone and self.settings.comus_network == "deeplabv3" else order

    @torch.no_grad()
    def truth(self, batch: Batch) -> Tensor:
        """The pseudo-masks of a batch, uint8 (B, base_size, base_size), 0 the background."""
        images, size = batch.images, batch.images.shape[1]
        if self._teacher:
            teacher = self._teacher[0].to(images.device)
            logits = teacher.classify(views.plain(images, self.settings.image_size))
            each = (  # an image at a time: a batch's logits at this size can be gigabytes
                F.interpolate(one.float(), size=(size, size), mode="bilinear", align_corners=False).argmax(dim=1)
                for one in logits.split(1)
            )
            return torch.cat(list(each)).to(torch.uint8)
        masks, clusters = (part[batch.indices].to(images.device) for part in (self._masks, self._clusters))
        return views.nearest((proposals.unpack(masks) * clusters[:, None, None]).to(torch.uint8), size)
