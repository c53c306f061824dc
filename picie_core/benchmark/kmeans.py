"""The first k-means: what computes it fastest, and what a smaller sample of pixels costs it."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from picie_core import clustering, devices, training, views
from picie_core.clustering import MiniBatchKMeans
from picie_core.methods import METHODS, Method
from picie_core.settings import Settings


def measure(settings: Settings, quick: bool = False) -> dict[str, Any]:
    """Cluster the pixels of untrained features of the settings' training images.

    Args:
        settings: images, sizes, `num_clusters`, `kmeans_iterations`.
        quick: 32 images at most.

    Returns:
        `points`, `channels`, `clusters`; `seconds` of the first k-means by faiss and by torch, of the same number of
        iterations; `budgets`: by MB that the pixels may take, the inertia of all pixels under the centroids (its
        share of the one of all pixels' centroids), and seconds.
    """
    fabric = devices.make_fabric(settings)
    train, _ = training.splits(settings)
    method = METHODS["untrained"](settings.replace(method="untrained"), len(train)).to(fabric.device).eval()
    numbers = range(min(len(train), 32) if quick else len(train))
    batches = [numbers[start : start + settings.batch_size] for start in range(0, len(numbers), settings.batch_size)]
    features = [_points(method, train.images[list(batch)], settings, fabric.device) for batch in batches]
    points, k = torch.cat(features), settings.num_clusters
    seconds, inertia = {}, {}
    for name, find in {"faiss": clustering.first_centroids, "torch": _lloyd}.items():
        began = time.perf_counter()
        centroids = find(points, k, settings.kmeans_iterations, settings.seed)
        _wait(fabric.device)
        seconds[name], inertia[name] = time.perf_counter() - began, _inertia(points, centroids)
    whole = 2 * points.nbytes / 2**20
    budgets = {}
    for memory in (whole, whole / 4, whole / 16, whole / 64):
        began = time.perf_counter()
        kmeans = MiniBatchKMeans(
            k, len(features), 1, settings.kmeans_iterations, settings.seed, memory=round(memory * 2**20)
        )
        for batch in features:
            kmeans.add(batch)
        centroids, _ = kmeans.finish()
        _wait(fabric.device)
        took = time.perf_counter() - began
        budgets[f"{memory:.5g}"] = {"inertia": _inertia(points, centroids), "seconds": took}
    first = next(iter(budgets.values()))["inertia"]
    for row in budgets.values():
        row["share"] = row["inertia"] / first
    size = {"points": len(points), "channels": points.shape[1], "clusters": k, "iterations": settings.kmeans_iterations}
    return size | {"seconds": seconds, "inertia": inertia, "budgets": budgets}


@torch.no_grad()
def _points(method: Method, images: np.ndarray, settings: Settings, device: torch.device) -> Tensor:
    batch = torch.from_numpy(images).to(device)
    return clustering.flatten(method.embedding(views.plain(batch, settings.image_size)))


def _lloyd(points: Tensor, k: int, iterations: int, seed: int) -> Tensor:
    """Lloyd's algorithm by matrix products; an empty cluster keeps its centroid."""
    generator = torch.Generator().manual_seed(seed)
    centroids = points[torch.randperm(len(points), generator=generator)[:k].to(points.device)]
    for _ in range(iterations):
        numbers = torch.cat([some for _, some in clustering.nearest(points, centroids)])
        sums = torch.zeros_like(centroids).index_add_(0, numbers, points)
        n = torch.bincount(numbers, minlength=k)[:, None]
        centroids = torch.where(n > 0, sums / n.clamp(min=1), centroids)
    return centroids


def _inertia(points: Tensor, centroids: Tensor) -> float:
    """Mean squared distance of the points to their nearest centroid."""
    return sum(float(squared.sum()) for squared, _ in clustering.nearest(points, centroids)) / len(points)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The measurements as lines of text."""
    what = f"{result['points']} points of {result['channels']}, {result['clusters']} clusters"
    for name, seconds in result["seconds"].items():
        yield f"{f'first k-means, {name}':28} {seconds:8.1f} s   inertia {result['inertia'][name]:.4f}   {what}"
    for memory, row in result["budgets"].items():
        yield f"{f'a sample of {float(memory):.3g} MB':28} {row['seconds']:8.1f} s   inertia x {row['share']:.4f}"
