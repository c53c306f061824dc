"""No training: k-means on the features of a network as it was initialised ("No Train, Prototype" of Table 1)."""

from torch import Tensor

from picie_core import network
from picie_core.methods.method import Method
from picie_core.settings import Settings


class Untrained(Method):
    """The network of the run's seed, never trained; the final clustering is all there is.

    With `kmeans_batchnorm = "batch"` the clustering pass moves the running statistics, so that evaluation does not use
    those of initialisation (mean 0, variance 1).
    """

    def __init__(self, settings: Settings, num_images: int) -> None:
        super().__init__(settings, num_images)
        self.network = network.build(settings)

    def embedding(self, images: Tensor) -> Tensor:
        """Unit features of normalised images: (B, 3, S, S) -> (B, D, S/4, S/4)."""
        return network.embed(self.network(images))
