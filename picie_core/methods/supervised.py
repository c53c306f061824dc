"""An upper bound: the same network, taught the ground truth."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from picie_core import draws, losses, network, views
from picie_core.devices.precision import raised
from picie_core.methods.method import Batch, Method, Pass
from picie_core.settings import Settings, SettingsError


class Supervised(Method):
    """An epoch: one pass over view 1, with cross-entropy on the labels ("Supervised" of Figure 3).

    A linear classifier on the raw features; its logits are upsampled bilinearly to view 1's labels, as evaluation
    upsamples them to the label's size. Void pixels are left out; classes are not weighted. It predicts by its own
    classifier, whose cluster k is class k: nothing is matched.
    """

    learns = True
    passes_an_epoch = 1
    passes_at_the_end = 0
    results_version = 2

    shown: np.ndarray
    """The numbers of the training images that are learned from; all of them."""

    def __init__(self, settings: Settings, num_images: int) -> None:
        super().__init__(settings, num_images)
        self.network = self.make(settings)
        head = network.classifier(self.network.channels, self.clusters("final"))
        self.classifier = network.draw_classifier(head, (settings.seed, "head", "supervised"))
        self.optimizers["network"] = torch.optim.Adam(self.learned(), lr=getattr(settings, self.rate_setting))
        self.shown = np.arange(num_images)

    def learned(self) -> Iterator[torch.nn.Parameter]:
        """What the labels teach: the network and the classifier."""
        return self.parameters()

    def make(self, settings: Settings) -> network.Network:
        """The network that is taught."""
        return network.build(settings)

    def embedding(self, images: Tensor) -> Tensor:
        """Unit features of normalised images: (B, 3, S, S) -> (B, D, S/4, S/4)."""
        return network.embed(self.network(images))

    def passes(self, epoch: int) -> Iterator[Pass]:
        """One pass over images and labels."""
        s = self.settings
        self.train()

        def learn(batch: Batch) -> Iterator[Tensor]:
            yield self.loss(epoch, batch)

        yield Pass("train", self.order(epoch), s.batch_size, learn, (self.optimizers["network"],))

    def order(self, epoch: int) -> np.ndarray:
        """The numbers of an epoch's images, in the order in which they are learned from, drawn anew for each."""
        return self.shown[draws.permutation(len(self.shown), (self.settings.seed, "training order", epoch))]

    def loss(self, epoch: int, batch: Batch) -> Tensor:
        """The training loss of one batch, a scalar.

        Raises:
            SettingsError: the set has no labels.
        """
        images, labels = self.lesson(epoch, batch)
        logits = raised(self.classify(images))
        logits = F.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
        return losses.supervised_loss(logits, labels)

    def lesson(self, epoch: int, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is shown of a batch: view 1, normalised (B, 3, S, S), and the labels that it shows, (B, S, S)."""
        s = self.settings
        pictures = views.picture(s, 1, epoch, batch.images, batch.indices)
        return views.plain(pictures, s.image_size), views.labels(s, epoch, self.truth(batch), batch.indices)

    def truth(self, batch: Batch) -> Tensor:
        """What is learned of a batch: its ground truth, uint8 (B, base_size, base_size).

        Raises:
            SettingsError: there is none.
        """
        if batch.labels is None:
            raise SettingsError(
                f"method = {self.settings.method!r} needs labels, which this data set has not: choose another method"
            )
        return batch.labels

    def classify(self, images: Tensor) -> Tensor:
        """Logits of the classes for normalised images, (B, K, h, w)."""
        return self.classifier(self.network(images))

    def logits(self, images: Tensor) -> Mapping[str, Tensor]:
        """Scores of the classes, (B, K, h, w): in every epoch and at the end; there is no clustering."""
        return {"final": self.classify(images)}
