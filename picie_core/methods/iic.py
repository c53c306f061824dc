"""IIC for segmentation (the paper's baseline): clusters that two pictures of an image share, by mutual information."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from picie_core import draws, network, views
from picie_core.classes import VOID
from picie_core.devices.precision import raised
from picie_core.losses import mutual_information
from picie_core.methods.method import Batch, Means, Method, Pass
from picie_core.settings import Settings, SettingsError
from picie_core.views import affine


class Iic(Method):
    """An epoch: for each head a pass over pairs of pictures, of which one is jittered, flipped and perhaps warped.

    loss = -I(Phi(x), g^-1 Phi(g x)), the mean over displacements or of their joint distribution (`iic_collapsed`; see
    `mutual_information`). Two heads share the trunk: `main` predicts, with `num_clusters`; `auxiliary` overclusters.
    They learn in turn, a pass each, or together (`iic_heads`).

    The maps are compared on the features' grid, or at `iic_loss_size`, to which the probabilities are upsampled. Only
    pixels that both pictures show count. `iic_mask = "release"` also leaves out pixels without a label, as IIC's code
    does: IT LEAKS LABELS, for where "stuff" is labelled the network learns from the labels what stuff is.

    Differences from IIC's code: the whole picture at the evaluation's size instead of a crop of 128 pixels of a third
    of it; the jitters in one order, on ImageNet's normalisation; heads without padding, which there makes a border of
    uniform probabilities; a head that does not learn in a pass does not move by Adam's momentum; logits are
    upsampled to predict, there probabilities. The default loss size is a quarter of IIC's, so that a displacement of T
    cells is 4 T pixels.
    """

    learns = True
    passes_at_the_end = 0

    def __init__(self, settings: Settings, num_images: int) -> None:
        super().__init__(settings, num_images)
        s = settings
        self.network = network.build(s)
        sizes = {"auxiliary": s.iic_auxiliary_clusters, "main": s.num_clusters}
        self.heads = nn.ModuleDict({name: self._head(name, k) for name, k in sizes.items() if k})
        parameters = [*self.network.parameters(), *self.heads.parameters()]
        self.optimizers["network"] = torch.optim.Adam(parameters, lr=s.learning_rate)
        self.turns = [[name] for name in self.heads] if s.iic_heads == "alternating" else [list(self.heads)]
        self.passes_an_epoch = len(self.turns)

    def _head(self, name: str, k: int) -> nn.Conv2d:
        """A 1x1 convolution without bias, He initialisation over its inputs, as IIC."""
        head = network.classifier(self.network.channels, k, bias=False)
        std = math.sqrt(2 / self.network.channels)
        return network.draw_classifier(head, (self.settings.seed, "head", name), std)

    def embedding(self, images: Tensor) -> Tensor:
        """Unit features of normalised images: (B, 3, S, S) -> (B, D, S/4, S/4)."""
        return network.embed(self.network(images))

    @classmethod
    def sees_labels(cls, settings: Settings) -> bool:
        """Where IIC's own code does, which leaves pixels without a label out (`iic_mask`)."""
        return settings.iic_mask == "release"

    def passes(self, epoch: int) -> Iterator[Pass]:
        """A pass for each head, the auxiliary first, or one for both; each with pairs and an order of its own."""
        s, means = self.settings, Means()
        self.train()
        for turn, names in enumerate(self.turns):
            number = len(self.turns) * epoch + turn

            def learn(batch: Batch, number: int = number, names: list[str] = names) -> Iterator[Tensor]:
                terms = self.terms(number, batch, names)
                means.add(terms, len(batch.indices))
                yield torch.stack(list(terms.values())).sum()

            order = draws.permutation(self.num_images, (s.seed, "training order", number))
            yield Pass("train", order, s.batch_size, learn, (self.optimizers["network"],))
        self.record = {f"loss_{name}": value for name, value in means.values().items()}

    def terms(self, number: int, batch: Batch, names: list[str]) -> dict[str, Tensor]:
        """The losses of some heads on the pairs of pass `number`, scalars by name."""
        s = self.settings
        first, second, mask = self.maps(number, batch, names)
        rule = (s.iic_displacement, s.iic_lambda, s.iic_collapsed)
        return {name: mutual_information.iic_loss(first[name], second[name], mask, *rule) for name in names}

    def maps(self, number: int, batch: Batch, names: list[str]) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Probabilities of clusters of both pictures of each pair, in the first picture's frame.

        Args:
            number: of the pass, whose draws are used.
            batch: B images.
            names: of the heads.

        Returns:
            By head: (B, K, h, h) of the first picture and of the second; which pixels count, (B, 1, h, h) float.

        Raises:
            SettingsError: `iic_mask = "release"` on a set without labels.
        """
        s = self.settings
        pictures, matrices = self.pair(number, batch.images, batch.indices)
        first, second = (self._probabilities(images, names) for images in pictures)
        back = {name: affine.undo(maps, matrices) for name, maps in second.items()}
        mask = back[names[0]][1]
        if s.iic_mask == "release":
            if batch.labels is None:
                raise SettingsError("iic_mask = 'release' needs labels, which this data set has not: give 'warp'")
            mask = mask & (views.nearest(batch.labels, mask.shape[-1]) != VOID)[:, None]
        return first, {name: moved for name, (moved, _) in back.items()}, mask.float()

    def pair(self, number: int, images: Tensor, indices: np.ndarray) -> tuple[tuple[Tensor, Tensor], np.ndarray]:
        """A pair of each image, normalised (B, 3, S, S) twice: as it is; with P, then `affine`. And the transforms."""
        s = self.settings
        matrices = affine.draw(s, number, indices)
        with torch.autocast(images.device.type, enabled=False):
            colored = views.to_float(views.picture(s, 2, number, images, indices))
            second = views.normalise(affine.apply(colored, matrices))
            return (views.plain(images, s.image_size), second), matrices

    def logits(self, images: Tensor) -> Mapping[str, Tensor]:
        """Scores of the main head, (B, K, h, w): in every epoch and at the end; there is no clustering."""
        return {"final": self.heads["main"](self.network(images))}

    def _probabilities(self, images: Tensor, names: list[str]) -> dict[str, Tensor]:
        features, size = self.network(images), self.settings.iic_loss_size
        found = {name: raised(self.heads[name](features)).softmax(dim=1) for name in names}
        if size is None:
            return found
        return {
            name: F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)
            for name, maps in found.items()
        }
