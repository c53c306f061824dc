"""Chance levels: what a clustering scores that looks at colour alone, at position alone, or at nothing."""

from collections.abc import Mapping

import torch
from torch import Tensor

from picie_core import draws
from picie_core.clustering import scores
from picie_core.methods.method import Method
from picie_core.processes import ranks
from picie_core.settings import Settings


class Rgb(Method):
    """k-means on the colour of each pixel (normalised RGB), at the image's own size."""

    coarsest = 1

    @classmethod
    def starts_pretrained(cls, settings: Settings) -> bool:
        """Never: there is no network."""
        return False

    def embedding(self, images: Tensor) -> Tensor:
        """The images themselves: (B, 3, S, S)."""
        return images

    def logits(self, images: Tensor) -> Mapping[str, Tensor]:
        """Minus the squared distance to each centroid, (B, K, S, S): nearest centroid, whatever `logit_rule` says, for
        these features are not unit vectors."""
        if self.final_prototypes is None:
            return {}
        return {"final": scores(self.embedding(images), self.final_prototypes, "euclidean")}


class Position(Rgb):
    """k-means on the place of each pixel, (x, y) in [0, 1]: every image gets the same partition."""

    def embedding(self, images: Tensor) -> Tensor:
        """(B, 2, S, S): x and y of each pixel."""
        b, _, height, width = images.shape
        y, x = ((torch.arange(n, device=images.device) + 0.5) / n for n in (height, width))
        return torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)])[None].expand(b, -1, -1, -1)


class Random(Method):
    """A cluster drawn uniformly for each pixel."""

    coarsest = 1
    passes_at_the_end = 0

    @classmethod
    def starts_pretrained(cls, settings: Settings) -> bool:
        """Never: there is no network."""
        return False

    def __init__(self, settings: Settings, num_images: int) -> None:
        super().__init__(settings, num_images)
        key = (settings.seed, "random partition", *([ranks.number()] if ranks.count() > 1 else []))
        self._generator = torch.Generator().manual_seed(draws.seed(key))

    def logits(self, images: Tensor) -> Mapping[str, Tensor]:
        """Uniform scores, (B, K, S, S), drawn batch after batch from the run's seed."""
        shape = (len(images), self.settings.num_clusters, *images.shape[-2:])
        return {"final": torch.rand(shape, generator=self._generator).to(images.device)}
