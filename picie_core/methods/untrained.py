"""No training: what a network as it was initialised gives ("No Train" of Table 1, both rows)."""

from collections.abc import Mapping

from torch import Tensor

from picie_core import network
from picie_core.methods.method import Method
from picie_core.settings import Settings


class Untrained(Method):
    """The network of the run's seed, never trained.

    `classifier = "prototype"`: the final clustering is all there is. With `kmeans_batchnorm = "batch"` its pass moves
    the running statistics, so that evaluation does not use those of initialisation (mean 0, variance 1).

    `classifier = "parametric"` ("Linear"): a linear layer N(0, 0.01) on unit features, nothing clustered, and the batch
    norm of initialisation (ImageNet's statistics where it is pretrained), as the release evaluates before training.
    Partitions of two seeds differ much, and Table 1 (17.45 / 3.70) does not say of how many it is: average over seeds.
    """

    def __init__(self, settings: Settings, num_images: int) -> None:
        super().__init__(settings, num_images)
        self.network = network.build(settings)
        self.linear = settings.classifier == "parametric"
        self.passes_at_the_end = int(not self.linear)
        if self.linear:
            head = network.classifier(self.network.channels, settings.num_clusters)
            self.head = network.draw_classifier(head, (settings.seed, "head", "untrained"))

    def embedding(self, images: Tensor) -> Tensor:
        """Unit features of normalised images: (B, 3, S, S) -> (B, D, S/4, S/4)."""
        return network.embed(self.network(images))

    def logits(self, images: Tensor) -> Mapping[str, Tensor]:
        """Scores under the fresh prototypes, or of the linear layer: (B, K, h, w)."""
        return {"final": self.head(self.embedding(images))} if self.linear else super().logits(images)
