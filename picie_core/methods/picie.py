"""PiCIE and PiCIE+H (section 3): cluster two views, then teach each view its own and the other's labels."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from picie_core import losses
from picie_core.clustering import scores
from picie_core.methods.alternating import Alternating, Clustering
from picie_core.methods.method import Batch
from picie_core.settings import Settings


class Picie(Alternating):
    """An epoch: k-means on each view's features, a pseudo-label for each pixel of each view, one pass of training.

    loss = sum over K of lambda_K [ (CE(z1, y1, mu1) + CE(z2, y2, mu2)) / 2
                                  + (CE(z1, y2, mu2) + CE(z2, y1, mu1)) / 2 ] / 2
    (eq. 10, 11, 14 with the release's scale). With `num_overclusters` it is PiCIE+H (section 4.1), four clusterings.

    Beyond the paper: with `training_clusters` each view is clustered into so many while the network learns, and into
    `num_clusters` by the final clustering alone, whose prototypes are scored. (PiCIE+H learns both at a time.) Epochs
    have no score then: one to one with the classes, most of their prototypes would be without any.

    Ablations are settings: `photometric`, `geometric`, `classifier`, `balance`, `clusterings`, `mse`,
    `num_overclusters`. With `clusterings = "one"` view 1's labels and prototypes serve view 2 as well: both feature
    maps lie in G's frame.
    """

    results_version = 2  # views are uint8 pictures

    def __init__(self, settings: Settings, num_images: int) -> None:
        sizes = (settings.learned_clusters, *([settings.num_overclusters] if settings.num_overclusters else []))
        super().__init__(settings, num_images, (1, 2) if settings.clusterings == "two" else (1,), sizes)

    def shares(self, epoch: int, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """The terms of the training loss on one batch, view by view, scalars: for each number of clusters K `within_K`
        (eq. 10: under the view's own labels) and `cross_K` (eq. 11: under the other's), of both views sums of two
        cross-entropies; `mse`, which needs both views at a time, where it is used."""
        labels = {(v, k): self.targets(v, k, batch) for v in self.views for k in self.sizes}
        if self.settings.mse == "none":
            for z in (1, 2):
                yield self._of_view(z, self.view(z, epoch, batch), labels)
            return
        features = {z: self.view(z, epoch, batch) for z in (1, 2)}
        first, second = (self._of_view(z, features[z], labels) for z in (1, 2))
        both = {name: first[name] + second[name] for name in first}
        yield both | {"mse": losses.view_difference(features[1], features[2])}

    def _of_view(self, z: int, features: Tensor, labels: Mapping[Clustering, Tensor]) -> dict[str, Tensor]:
        own, other = (z, 3 - z) if len(self.views) == 2 else (1, 1)
        found = {}
        for k in self.sizes:
            ce = {
                v: losses.clustering_loss(self.classify(features, v, k), labels[v, k], self.weights[v, k])
                for v in self.views
            }
            found |= {f"within_{k}": ce[own], f"cross_{k}": ce[other]}
        return found

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The loss to descend, of its terms or a view's share of them: a scalar."""
        s = self.settings
        lambdas = losses.overcluster_weights(*self.sizes, s.overcluster_weights) if len(self.sizes) == 2 else (1.0,)
        # "instead": the difference stands where the mean of the two cross-view losses stood
        cross = {k: 2 * terms["mse"] if s.mse == "instead" else terms[f"cross_{k}"] for k in self.sizes}
        parts = [
            share * losses.two_view_loss(terms[f"within_{k}"], cross[k])
            for k, share in zip(self.sizes, lambdas, strict=True)
        ]
        total = torch.stack(parts).sum()
        return (total + terms["mse"]) / 2 if s.mse == "added" else total

    def logits(self, images: Tensor) -> Mapping[str, Tensor]:
        """Scores under each view's K1 prototypes while training, none with `training_clusters`; under the fresh ones
        at the end."""
        k = self.sizes[0]
        if self.final_prototypes is not None or k != self.settings.num_clusters:
            return super().logits(images)
        features = self.embedding(images)
        return {f"view{v}": scores(features, self.prototypes(v, k), self.settings.logit_rule) for v in self.views}
