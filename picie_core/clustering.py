"""Mini-batch k-means over pixel features, the prototypes it ends with, and the labels they give."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import faiss
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from picie_core import draws
from picie_core.devices.precision import raised
from picie_core.errors import WorkbookError
from picie_core.processes import ranks

_DISTANCES = 2**24
"""So many distances of points to centroids are held at a time."""


class ClusteringError(WorkbookError, RuntimeError):
    """A clustering that cannot be used; the message says what to try."""


def scores(features: Tensor, prototypes: Tensor, rule: str) -> Tensor:
    """How near each pixel is to each prototype; the argmax over prototypes is the pixel's cluster.

    Args:
        features: unit vectors z, (B, D, h, w). (Vectors of other lengths change `euclidean` by a constant a pixel.)
        prototypes: mu, (K, D); means of unit vectors, so shorter than 1 unless re-normalised.
        rule: `inner` <z, mu> (the release's logits); `cosine` <z, mu / |mu|> (eq. 5 up to a constant, d = 1 - cos);
            `euclidean` -|z - mu|^2 (eq. 1, the rule of k-means and of pseudo-labels).

    Returns:
        (B, K, h, w) float32, under autocast too: bfloat16 would make ties of near prototypes.
    """
    if rule == "cosine":
        prototypes = F.normalize(prototypes, dim=1)
    with torch.autocast(features.device.type, enabled=False):
        features = raised(features)
        prototypes = prototypes.to(features.dtype)
        if features.is_cuda:  # where a convolution would be in TF32
            inner = torch.einsum("bdhw,kd->bkhw", features, prototypes)
        else:
            inner = F.conv2d(features, prototypes[:, :, None, None])
    if rule != "euclidean":
        return inner
    return 2 * inner - 1 - prototypes.square().sum(dim=1)[:, None, None]


def assign(features: Tensor, prototypes: Tensor, rule: str = "euclidean") -> Tensor:
    """The cluster of every pixel: (B, D, h, w) unit features -> (B, h, w) int64; the lowest index wins a tie."""
    some = max(1, _DISTANCES // (len(prototypes) * features.shape[-2] * features.shape[-1]))
    return torch.cat([scores(part, prototypes, rule).argmax(dim=1) for part in features.split(some)])


def label_dtype(k: int) -> torch.dtype:
    """The smallest integer type that holds labels 0..k-1."""
    return torch.uint8 if k <= 2**8 else torch.int16 if k <= 2**15 else torch.int32


def flatten(features: Tensor) -> Tensor:
    """Feature maps (B, D, h, w) -> points (B * h * w, D) float32."""
    return raised(features.permute(0, 2, 3, 1).reshape(-1, features.shape[1]))


def nearest(points: Tensor, centroids: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Squared distance to, and number of, the nearest centroid of each point, in parts in the points' order.

    No copy of the points is made, and of their distances to every centroid no more than 64 MB at a time: at full size
    they are many gigabytes.

    Args:
        points: (n, D) float32.
        centroids: (k, D) float32.

    Yields:
        Of up to 2^24 / k points, |x - mu|^2, (m,) float32, at least 0, and the numbers 0..k-1, (m,) int64.
    """
    for some in points.split(max(1, _DISTANCES // len(centroids))):
        inner = torch.addmm(centroids.square().sum(dim=1), some, centroids.T, alpha=-2)
        squared, numbers = inner.min(dim=1)
        squared += torch.linalg.vector_norm(some, dim=1).square()
        yield squared.clamp(min=0), numbers


@dataclass
class MiniBatchKMeans:
    """Mini-batch k-means (Sculley 2010) as the release runs it: k-means on the first batches, then running means.

    Feed batches of features with `add`, then call `finish`. The first `init_batches` batches give the first centroids
    by k-means (faiss) on all of their pixels, or on a random sample of each batch's, of `sample` pixels and as many as
    `memory` allows; every further group of `update_batches` batches is assigned to the nearest centroid and moves it:
    count_k += n_k, mu_k <- (1 - n_k / count_k) mu_k + (n_k / count_k) mean_k.
    Centroids are not re-normalised. With fewer batches than `init_batches` it is plain k-means on everything.

    Among several ranks (`ranks`) each adds its part of every batch; the first k-means is rank 0's, on all their pixels,
    which lie in another order than one process has them in: where it starts, and so where it ends, may be another.

    Difference from the release: an incomplete last group is used, not dropped; the release has no sample, and keeps
    every pixel of the first batches (16.8 GB on COCO).

    Attributes:
        k: number of clusters.
        init_batches, update_batches, iterations: see above and `Settings`.
        seed: of the first centroids and of the sample.
        sample: pixels of each of the first batches that are kept; None: all.
        memory: bytes that the pixels of the first batches may take, one copy of them included; None: as many as needed.
        centroids: (k, D) float32 once the first k-means has run.
        counts: pixels behind each centroid, (k,) float64.
    """

    k: int
    init_batches: int
    update_batches: int
    iterations: int
    seed: int
    sample: int | None = None
    memory: int | None = None
    centroids: Tensor | None = None
    counts: Tensor | None = None
    _first_points: list[Tensor] = field(default_factory=list)
    _group: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    _squared: float | Tensor = 0.0
    _seen: int = 0
    _offered: int = 0

    def add(self, points: Tensor) -> None:
        """Take a batch of points, (n, D) float32: the pixels of a batch of images (`flatten`)."""
        if self.centroids is None:
            self._offered += len(points)
            self._first_points.append(self._sampled(points))
            if len(self._first_points) == self.init_batches:
                self._begin()
            return
        with torch.autocast(points.device.type, enabled=False):  # sums of millions of points need float32
            numbers = self._count(points, self.centroids)
            sums = points.new_zeros(self.k, points.shape[1])
            for part, own in zip(*(x.split(max(1, _DISTANCES // self.k)) for x in (points, numbers)), strict=True):
                sums += part.new_zeros(len(part), self.k).scatter_(1, own[:, None], 1.0).T @ part
            self._group.append((torch.bincount(numbers, minlength=self.k).double(), sums))
        if len(self._group) == self.update_batches:
            self._move()

    def finish(self) -> tuple[Tensor, float]:
        """The prototypes (k, D) float32 and the inertia: mean squared distance of the pixels when each was used.

        Raises:
            ClusteringError: features are not finite, or there are fewer of them than clusters.
        """
        if self._first_points:
            self._begin()
        if self._group:
            self._move()
        if self.centroids is None:
            raise ClusteringError("k-means was given no features: the data set's training split is empty")
        sums = ranks.total(torch.tensor([float(self._squared), self._seen], dtype=torch.float64))
        return self.centroids, float(sums[0] / sums[1])

    def _begin(self) -> None:
        """The first centroids, of all that was kept, and the pixels behind each."""
        everywhere = torch.cat([ranks.gathered(batch) for batch in self._first_points])  # batch by batch, rank by rank
        points = everywhere if ranks.count() == 1 else torch.cat(self._first_points)
        self._first_points = []
        _check_finite(points)
        with torch.autocast(points.device.type, enabled=False):
            if ranks.number() == 0:
                found = first_centroids(everywhere, self.k, self.iterations, self.seed)
            else:
                found = points.new_empty(self.k, points.shape[1])
            del everywhere
            self.centroids = ranks.same(found)
            counts = torch.bincount(self._count(points, self.centroids), minlength=self.k).double()
        self.counts = ranks.total(counts * (self._offered / len(points)))  # a sampled pixel stands for the others

    def _move(self) -> None:
        """Move the centroids by the sums of a group of batches."""
        assert self.centroids is not None
        assert self.counts is not None
        n, sums = (ranks.total(torch.stack(parts).sum(dim=0)) for parts in zip(*self._group, strict=True))
        self._group = []
        _check_finite(sums)
        self.counts += n
        rate = (n / self.counts.clamp(min=1)).to(sums.dtype)[:, None]
        self.centroids = (1 - rate) * self.centroids + rate * (sums / n.clamp(min=1).to(sums.dtype)[:, None])

    def _sampled(self, points: Tensor) -> Tensor:
        """Of one of the first batches this rank's part of the pixels to keep; the points themselves if it is all."""
        limits = [self.sample] if self.sample is not None else []
        if self.memory is not None:
            limits.append(max(1, self.memory // (2 * points[0].nbytes * self.init_batches)))
        keep = -(-min(limits) // ranks.count()) if limits else len(points)
        if keep >= len(points):
            return points
        key = (self.seed, len(self._first_points), *([ranks.number()] if ranks.count() > 1 else []))
        rows = draws.generator(key).choice(len(points), keep, replace=False)
        return points[torch.from_numpy(rows).to(points.device)]

    def _count(self, points: Tensor, centroids: Tensor) -> Tensor:
        """Nearest centroid of each point, (n,); the distances are added to the inertia."""
        found = []
        for squared, numbers in nearest(points, centroids):
            self._squared = self._squared + squared.sum().double()  # on its device: nobody waits
            found.append(numbers)
        self._seen += len(points)
        return torch.cat(found)


def _check_finite(values: Tensor) -> None:
    if not all(bool(torch.isfinite(some).all()) for some in values.split(2**20)):  # a copy of all would be gigabytes
        raise ClusteringError(
            "features are not finite: the run has diverged. Try a lower learning_rate, or precision = '32'"
        )


def first_centroids(points: Tensor, k: int, iterations: int, seed: int) -> Tensor:
    """Lloyd's k-means on all the points, by faiss, on the GPU where there is a GPU build and a GPU.

    Args:
        points: (n, D) float32, finite.
        k: number of centroids, <= n.
        iterations: of Lloyd's algorithm.
        seed: of faiss's first pick of points.

    Returns:
        (k, D) float32 on the device of `points`. Empty clusters are split off large ones by faiss.

    Raises:
        ClusteringError: fewer points than clusters.
    """
    n = len(points)
    if n < k:
        raise ClusteringError(
            f"{n} pixel features cannot make {k} clusters: give at most {n} (num_clusters, num_overclusters, "
            "training_clusters), or more pixels (image_size, train_images, or kmeans_batch_size times "
            "kmeans_init_batches, whose pixels the first centroids are made of; kmeans_points and kmeans_memory may "
            "keep only a sample of them)"
        )
    kmeans = faiss.Kmeans(
        points.shape[1],
        k,
        niter=iterations,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=n,  # faiss would silently take 256 points a cluster
    )
    if points.is_cuda and faiss.get_num_gpus() > 0:  # `gpu=True` would take every card
        resources = faiss.StandardGpuResources()
        kmeans.index = faiss.index_cpu_to_gpu(resources, points.device.index or 0, kmeans.index)
    kmeans.train(np.ascontiguousarray(points.float().cpu().numpy()))
    return torch.from_numpy(kmeans.centroids).to(points.device, points.dtype)


def check_in_use(counts: Tensor, epoch: int) -> None:
    """Refuse a collapsed clustering.

    Args:
        counts: pixels in each cluster, (K,).
        epoch: for the message.

    Raises:
        ClusteringError: fewer than 2 clusters have pixels.
    """
    used = int((counts > 0).sum())
    if used < 2:
        raise ClusteringError(
            f"the clustering of epoch {epoch} has collapsed: {used} of {len(counts)} clusters is in use. "
            "Try a lower learning_rate, balance = 'inverse', or a larger temperature"
        )
