"""What PiCIE and modified DeepCluster share: cluster the pixels of each view, label them, learn the labels."""

import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from picie_core import devices, draws, losses, network, views
from picie_core.clustering import assign, check_in_use, flatten, label_dtype, scores
from picie_core.methods.method import Batch, Means, Method, Pass
from picie_core.processes import ranks
from picie_core.settings import Settings

Clustering = tuple[int, int]
"""Which clustering: (view 1 or 2, number of clusters)."""


class Alternating(Method):
    """An epoch: k-means on each view's features, a pseudo-label for each pixel of each view, one pass of training.

    A subclass says which views are clustered, into how many clusters, and what the loss is (`shares`, `total`).

    Args:
        settings: of the run.
        num_images: of the training split.
        clustered: the views that are clustered, (1,) or (1, 2).
        sizes: numbers of clusters; each view is clustered into each of them.
    """

    learns = True

    def __init__(self, settings: Settings, num_images: int, clustered: tuple[int, ...], sizes: tuple[int, ...]) -> None:
        super().__init__(settings, num_images)
        self.network = network.build(settings)
        self.optimizers["network"] = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        self.sizes = sizes
        self.views = clustered
        self.passes_an_epoch = len(self.views) + 2
        self.pictures = views.Views(settings, num_images)
        self.mine = ranks.own(num_images)
        side = math.ceil(settings.image_size / 4)
        self.labels: dict[Clustering, Tensor] = {}
        self.weights: dict[Clustering, Tensor] = {}
        self.heads: dict[int, nn.Conv2d] = {}
        for v, k in self._clusterings:
            self.register_buffer(f"prototypes_{v}_{k}", torch.zeros(k, self.network.channels))
            self.labels[v, k] = torch.zeros(len(self.mine), side, side, dtype=label_dtype(k))

    def embedding(self, images: Tensor) -> Tensor:
        """Unit features of normalised images: (B, 3, S, S) -> (B, D, S/4, S/4)."""
        return network.embed(self.network(images))

    def view(self, v: int, epoch: int, batch: Batch) -> Tensor:
        """Unit features of view `v` in `epoch`, (B, D, h, h): f(G(P1(x))) or G(f(P2(x))); normalised after G."""
        s = self.settings
        pictures = self.pictures.get(v, epoch, batch.images, batch.indices)
        raw = self.network(views.plain(pictures, s.image_size))
        return network.embed(raw if v == 1 else views.warp(s, epoch, raw, batch.indices))

    def clusters(self, name: str) -> int:
        """`num_clusters` of `final`; of the sets that are learned as many as these have."""
        return super().clusters(name) if name == "final" else self.sizes[0]

    def prototypes(self, v: int, k: int) -> Tensor:
        """mu of view `v`, (k, D)."""
        return self.get_buffer(f"prototypes_{v}_{k}")

    def passes(self, epoch: int) -> Iterator[Pass]:
        """Cluster view 1, cluster view 2, label both, train."""
        self.record = {}
        for v in self.views:
            yield from self._cluster(epoch, v)
        yield from self._label(epoch)
        yield from self._learn(epoch)

    def _cluster(self, epoch: int, v: int) -> Iterator[Pass]:
        """K-means on the features of view `v`, into each number of clusters: the prototypes."""
        kmeans = {k: self.kmeans(k, epoch, v, together=len(self.sizes)) for k in self.sizes}

        def cluster(batch: Batch) -> None:
            points = flatten(self.view(v, epoch, batch))
            for clustering in kmeans.values():
                clustering.add(points)

        self.clustering_mode()
        yield self.clustering_pass("cluster", cluster, epoch, v)
        for k in self.sizes:
            found, self.record[f"inertia_{v}_{k}"] = kmeans[k].finish()
            self.prototypes(v, k).copy_(found)

    def _label(self, epoch: int) -> Iterator[Pass]:
        """The pseudo-label of every pixel of every view, and the weights that balance the clusters."""
        sizes = {key: torch.zeros(key[1], dtype=torch.int64, device=self._device) for key in self._clusterings}
        place = self._place_of_labels()
        self.labels = {key: labels.to(place) for key, labels in self.labels.items()}

        def label(batch: Batch) -> None:
            rows = batch.indices - self.mine.start
            for v in self.views:
                features = self.view(v, epoch, batch)
                for k in self.sizes:
                    labels = self.labels[v, k]
                    found = assign(features, self.prototypes(v, k), self.settings.label_rule)
                    labels[rows] = found.to(labels)
                    sizes[v, k] += torch.bincount(found.flatten(), minlength=k)

        self.eval()
        yield self.clustering_pass("label", label, epoch, "label")
        for (v, k), own in sizes.items():
            counts = ranks.total(own).cpu()
            check_in_use(counts, epoch)
            self.weights[v, k] = losses.balance_weights(counts, self.settings.balance).to(self.prototypes(v, k).device)
            self.record[f"cluster_sizes_{v}_{k}"] = counts.tolist()

    def _place_of_labels(self) -> torch.device:
        """With the network, unless that is a GPU of whose free memory they would take more than a quarter."""
        size = sum(labels.nbytes for labels in self.labels.values() if labels.device != self._device)
        fits = self._device.type != "cuda" or size <= devices.free_memory(self._device) // 4
        return self._device if fits else torch.device("cpu")

    @property
    def _clusterings(self) -> list[Clustering]:
        return [(v, k) for v in self.views for k in self.sizes]

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _learn(self, epoch: int) -> Iterator[Pass]:
        """One pass of training on the pseudo-labels."""
        s, means = self.settings, Means()
        optimizers = [self.optimizers["network"]]
        if s.classifier == "parametric":
            optimizers.append(self._new_heads(epoch))

        def learn(batch: Batch) -> Iterator[Tensor]:
            seen = []
            for share in self.shares(epoch, batch):
                yield self.total(share)
                seen.append({name: value.detach() for name, value in share.items()})
            means.add(_sum(seen), len(batch.indices))

        self.train()
        order = draws.permutation(self.num_images, (s.seed, "training order", epoch))
        yield Pass("train", order, s.batch_size, learn, tuple(optimizers))
        self.record |= {f"loss_{name}": value for name, value in means.values().items()}

    def shares(self, epoch: int, batch: Batch) -> Iterator[dict[str, Tensor]]:
        """The terms of the training loss on one batch, scalars by name, in shares that add up to them and can be
        descended one after the other: each is computed when it is asked for."""
        raise NotImplementedError

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The loss to descend, of its terms or a share of them: a scalar, linear in them."""
        raise NotImplementedError

    def terms(self, epoch: int, batch: Batch) -> dict[str, Tensor]:
        """The terms of the training loss on one batch, scalars by name: the sums of `shares`."""
        return _sum(self.shares(epoch, batch))

    def loss(self, epoch: int, batch: Batch) -> Tensor:
        """The training loss of one batch, a scalar."""
        return self.total(self.terms(epoch, batch))

    def targets(self, v: int, k: int, batch: Batch) -> Tensor:
        """The pseudo-labels of a batch under the clustering (v, k), (B, h, w), on the batch's device."""
        return self.labels[v, k][batch.indices - self.mine.start].to(batch.images.device)

    def classify(self, features: Tensor, v: int, k: int) -> Tensor:
        """Logits of unit features (B, D, h, w) under the classifier of the clustering (v, k): (B, k, h, w)."""
        if self.heads:
            return self.heads[v](features)
        return scores(features, self.prototypes(v, k), self.settings.logit_rule) / self.settings.temperature

    def _new_heads(self, epoch: int) -> torch.optim.Optimizer:
        """Linear classifiers made anew each epoch, with an Adam of their own (Table 5, row 1)."""
        s = self.settings
        for v in self.views:
            if v not in self.heads:
                self.heads[v] = network.classifier(self.network.channels, self.sizes[0], self._device)
            network.draw_classifier(self.heads[v], (s.seed, "head", epoch, v))
        return torch.optim.Adam([p for head in self.heads.values() for p in head.parameters()], lr=s.learning_rate)


def _sum(shares: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for share in shares:
        for name, value in share.items():
            found[name] = found[name] + value if name in found else value
    return found
