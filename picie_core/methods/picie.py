"""PiCIE and PiCIE+H (section 3): cluster two views, then teach each view its own and the other's labels."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from picie_core import draws, losses, network, views
from picie_core.clustering import assign, check_in_use, flatten, label_dtype, scores
from picie_core.methods.method import Batch, Method, Pass
from picie_core.settings import Settings

Clustering = tuple[int, int]
"""Which clustering: (view 1 or 2, number of clusters)."""


class Picie(Method):
    """An epoch: k-means on each view's features, a pseudo-label for each pixel of each view, one pass of training.

    loss = sum over K of lambda_K [ (CE(z1, y1, mu1) + CE(z2, y2, mu2)) / 2
                                  + (CE(z1, y2, mu2) + CE(z2, y1, mu1)) / 2 ] / 2
    (eq. 10, 11, 14 with the release's scale). With `num_overclusters` it is PiCIE+H (section 4.1), four clusterings.

    Ablations are settings: `photometric`, `geometric`, `classifier`, `balance`, `clusterings`, `mse`,
    `num_overclusters`. With `clusterings = "one"` view 1's labels and prototypes serve view 2 as well: both feature
    maps lie in G's frame.
    """

    results_version = 2  # views are uint8 pictures
    learns = True

    def __init__(self, settings: Settings, num_images: int) -> None:
        super().__init__(settings, num_images)
        self.network = network.build(settings)
        self.optimizers["network"] = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        self.sizes = (settings.num_clusters, *([settings.num_overclusters] if settings.num_overclusters else []))
        self.views = (1, 2) if settings.clusterings == "two" else (1,)
        self.passes_an_epoch = len(self.views) + 2
        self.pictures = views.Views(settings, num_images)
        side = math.ceil(settings.image_size / 4)
        self.labels: dict[Clustering, Tensor] = {}
        self.weights: dict[Clustering, Tensor] = {}
        self.heads: dict[int, nn.Conv2d] = {}
        for v in self.views:
            for k in self.sizes:
                self.register_buffer(f"prototypes_{v}_{k}", torch.zeros(k, settings.feature_dim))
                self.labels[v, k] = torch.zeros(num_images, side, side, dtype=label_dtype(k))

    def embedding(self, images: Tensor) -> Tensor:
        """Unit features of normalised images: (B, 3, S, S) -> (B, D, S/4, S/4)."""
        return network.embed(self.network(images))

    def view(self, v: int, epoch: int, batch: Batch) -> Tensor:
        """Unit features of view `v` in `epoch`, (B, D, h, h): f(G(P1(x))) or G(f(P2(x))); normalised after G."""
        s = self.settings
        pictures = self.pictures.get(v, epoch, batch.images, batch.indices)
        raw = self.network(views.plain(pictures, s.image_size))
        return network.embed(raw if v == 1 else views.warp(s, epoch, raw, batch.indices))

    def prototypes(self, v: int, k: int) -> Tensor:
        """mu of view `v`, (k, D)."""
        return self.get_buffer(f"prototypes_{v}_{k}")

    def passes(self, epoch: int) -> Iterator[Pass]:
        """Cluster view 1, cluster view 2, label both, train."""
        s, self.record = self.settings, {}
        for v in self.views:
            kmeans = {k: self.kmeans(k, epoch, v) for k in self.sizes}

            def cluster(batch: Batch, v: int = v, kmeans: dict = kmeans) -> None:
                points = flatten(self.view(v, epoch, batch))
                for clustering in kmeans.values():
                    clustering.add(points)

            self.clustering_mode()
            yield self.clustering_pass("cluster", cluster, epoch, v)
            for k in self.sizes:
                found, self.record[f"inertia_{v}_{k}"] = kmeans[k].finish()
                self.prototypes(v, k).copy_(found)

        def label(batch: Batch) -> None:
            for v in self.views:
                features = self.view(v, epoch, batch)
                for k in self.sizes:
                    self.labels[v, k][batch.indices] = assign(features, self.prototypes(v, k), s.label_rule).to(
                        device="cpu", dtype=self.labels[v, k].dtype
                    )

        self.eval()
        yield self.clustering_pass("label", label, epoch, "label")
        for (v, k), labels in self.labels.items():
            counts = torch.bincount(labels.flatten().long(), minlength=k)
            check_in_use(counts, epoch)
            self.weights[v, k] = losses.balance_weights(counts, s.balance).to(self.prototypes(v, k).device)
            self.record[f"cluster_sizes_{v}_{k}"] = counts.tolist()
        optimizers = [self.optimizers["network"]]
        if s.classifier == "parametric":
            optimizers.append(self._new_heads(epoch))
        self.train()
        order = draws.permutation(self.num_images, (s.seed, "training order", epoch))
        sums: dict[str, Tensor] = {}

        def learn(batch: Batch) -> Tensor:
            terms = self.terms(epoch, batch)
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + len(batch.indices) * term.detach()
            return self.total(terms)

        yield Pass("train", order, s.batch_size, learn, tuple(optimizers))
        self.record |= {f"loss_{name}": float(value) / self.num_images for name, value in sums.items()}

    def terms(self, epoch: int, batch: Batch) -> dict[str, Tensor]:
        """The parts of the training loss on one batch, scalars: for each number of clusters K `within_K` (eq. 10: the
        views' own labels) and `cross_K` (eq. 11: each other's), sums of two cross-entropies; `mse` where it is used."""
        features = {v: self.view(v, epoch, batch) for v in (1, 2)}
        first, second = self.views if len(self.views) == 2 else (1, 1)
        found = {}
        for k in self.sizes:
            y = {v: self.labels[v, k][batch.indices].to(batch.images.device) for v in self.views}
            ce = {
                (z, v): losses.clustering_loss(self._logits(features[z], v, k), y[v], self.weights[v, k])
                for z in (1, 2)
                for v in self.views
            }
            found[f"within_{k}"] = ce[1, first] + ce[2, second]
            found[f"cross_{k}"] = ce[1, second] + ce[2, first]
        if self.settings.mse != "none":
            found["mse"] = losses.view_difference(features[1], features[2])
        return found

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The loss to descend, of its parts: a scalar."""
        s = self.settings
        shares = losses.overcluster_weights(*self.sizes, s.overcluster_weights) if len(self.sizes) == 2 else (1.0,)
        # "instead": the difference stands where the mean of the two cross-view losses stood
        cross = {k: 2 * terms["mse"] if s.mse == "instead" else terms[f"cross_{k}"] for k in self.sizes}
        parts = [
            share * losses.two_view_loss(terms[f"within_{k}"], cross[k])
            for k, share in zip(self.sizes, shares, strict=True)
        ]
        total = torch.stack(parts).sum()
        return (total + terms["mse"]) / 2 if s.mse == "added" else total

    def loss(self, epoch: int, batch: Batch) -> Tensor:
        """The training loss of one batch, a scalar."""
        return self.total(self.terms(epoch, batch))

    def logits(self, images: Tensor) -> Mapping[str, Tensor]:
        """Scores under each view's K1 prototypes while training; under the fresh ones at the end."""
        if self.final_prototypes is not None:
            return super().logits(images)
        features, k = self.embedding(images), self.sizes[0]
        return {f"view{v}": scores(features, self.prototypes(v, k), self.settings.logit_rule) for v in self.views}

    def _logits(self, features: Tensor, v: int, k: int) -> Tensor:
        if self.heads:
            return self.heads[v](features)
        return scores(features, self.prototypes(v, k), self.settings.logit_rule) / self.settings.temperature

    def _new_heads(self, epoch: int) -> torch.optim.Optimizer:
        """Linear classifiers made anew each epoch, N(0, 0.01), bias 0, with an Adam of their own (Table 5, row 1)."""
        s, device = self.settings, next(self.network.parameters()).device
        for v in self.views:
            head = nn.Conv2d(s.feature_dim, s.num_clusters, kernel_size=1, device="meta").to_empty(device=device)
            values = draws.generator((s.seed, "head", epoch, v)).normal(0, 0.01, head.weight.shape)
            head.load_state_dict({"weight": torch.from_numpy(values), "bias": torch.zeros(s.num_clusters)})
            self.heads[v] = head
        return torch.optim.Adam([p for head in self.heads.values() for p in head.parameters()], lr=s.learning_rate)
