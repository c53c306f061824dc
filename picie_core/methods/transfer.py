"""What the features of a trained network are good for: a linear probe (Table 7) and supervised re-training (Table 8).

Both start from the network of a finished run, that of the method `pretext` under otherwise the same settings
(`Settings.previous`); `training.run` makes that run first where it is not there.
"""

from collections.abc import Iterator, Mapping
from typing import Self

import torch
from torch import Tensor

from picie_core import network, views
from picie_core.clustering import scores
from picie_core.methods.method import Batch
from picie_core.methods.supervised import Supervised
from picie_core.settings import Settings


class Transfer(Supervised):
    """Supervised training, plain as `Supervised` is, on the network of another run.

    `transfer_epochs` with Adam at `transfer_learning_rate` (supplement S1: 10 and 1e-3). The classifier sees raw
    features, or unit ones with `transfer_normalized` (the tables' `Normalization`, as we read it). The release has no
    code for it.
    """

    rate_setting = "transfer_learning_rate"

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take the network, batch norm statistics among it, from the weights of a run (`records.Run.weights`)."""
        self.network.load_state_dict(network.part(weights))

    def classify(self, images: Tensor) -> Tensor:
        """Logits of the classes for normalised images, (B, K, h, w)."""
        features = self.network(images)
        return self.classifier(network.embed(features) if self.settings.transfer_normalized else features)


class Probe(Transfer):
    """A linear classifier of the pixels of a frozen network (Table 7).

    The network stays as its run left it, with that run's batch norm statistics. The paper says neither that it is
    frozen ("on top of") nor whether images are augmented: here it is, and they are not.
    """

    def __init__(self, settings: Settings, num_images: int) -> None:
        super().__init__(settings, num_images)
        self.network.requires_grad_(False)

    def learned(self) -> Iterator[torch.nn.Parameter]:
        """What the labels teach: the classifier alone."""
        return self.classifier.parameters()

    def train(self, mode: bool = True) -> Self:
        """The classifier's mode; the network stays in evaluation mode."""
        super().train(mode)
        self.network.eval()
        return self

    def lesson(self, epoch: int, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is shown of a batch: the images as they are, and their labels, at the image size."""
        size = self.settings.image_size
        return views.plain(batch.images, size), views.nearest(self.truth(batch), size)


class Retraining(Transfer):
    """The whole network trained on with view 1, and a new classifier (Table 8).

    View 1 is transformed as the recipe says, the same for every `pretext`, whatever that method has of its own.

    Scored twice: `final`, by its classifier, and `clustered` (the table's C-Acc and C-mIoU): by k-means on the unit
    features that supervised training has made, matched like any clustering. The clustering sees running batch norm
    statistics whatever `kmeans_batchnorm` says: it would else move those that the classifier is scored with.
    """

    passes_at_the_end = 1

    def clustering_mode(self) -> None:
        """Evaluation mode."""
        self.eval()

    def logits(self, images: Tensor) -> Mapping[str, Tensor]:
        """Scores of the classes, and at the end beside them those of the fresh prototypes: (B, K, h, w)."""
        found = {"final": self.classify(images)}
        if self.final_prototypes is not None:
            found["clustered"] = scores(self.embedding(images), self.final_prototypes, self.settings.logit_rule)
        return found
