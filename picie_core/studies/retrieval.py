"""Exact nearest neighbours of pixels over a whole split (Figure 4), and the most central pixels of every cluster.

Pixels are cells of the features' grid (see `cells`).

Differences from the release's `retrieval.py`: it looks for two stored vectors, keeps the best pixel of each batch of
128 images (17 for COCO's 2,175) and shows them unsorted, with the query's own image among them; its branch for
exchanging a kept one for a better has the sign reversed. Here the k best images of the split are exact, sorted, and
without the query's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from picie_core import metrics
from picie_core.classes import VOID
from picie_core.datasets import Prepared
from picie_core.methods import Method
from picie_core.studies.cells import Cells, Grid, batches


@dataclass(frozen=True)
class Hits(Cells):
    """What was found, (Q, k), the most similar first; of equal ones the lower image number first.

    Attributes:
        similarity: float32; nan where there is no cell, which then is behind all others.
    """

    similarity: np.ndarray


@torch.no_grad()
def neighbours(
    method: Method, data: Prepared, queries: Cells, k: int, device: torch.device, batch_size: int = 16
) -> Hits:
    """For each query the k images of a split with the most similar cell, one of each, the query's own left out.

    Similar is the inner product of unit features, <z_q, z_p>. Exact, but for the rounding of float32. The features are
    made anew, batch by batch, and never kept: memory is O(B h^2 Q).

    Args:
        method, data, device, batch_size: see `cells.grid`; of a method with unit features (`rgb` has others).
        queries: cells of images of `data`, (Q,).
        k: 1 or more, and less than there are images.

    Raises:
        ValueError: `k` is out of range.
    """
    if not 0 < k < len(data):
        raise ValueError(
            f"{k} neighbours, one an image, were asked for; besides the query's there are {len(data) - 1} images"
        )
    if not len(queries.image):
        return _best((), 0, k)
    own, vectors = np.unique(queries.image), {}
    for numbers, images in batches(method, data, device, batch_size, own):
        features = method.embedding(images)
        for q in np.flatnonzero(np.isin(queries.image, numbers)):
            at = int(np.searchsorted(numbers, queries.image[q]))
            vectors[q] = features[at, :, queries.y[q], queries.x[q]].clone()  # a view would keep the whole map
    maps = ((numbers, method.embedding(images)) for numbers, images in batches(method, data, device, batch_size))
    return search(torch.stack([vectors[q] for q in range(len(vectors))]), maps, k, queries.image)


def search(
    queries: Tensor, maps: Iterable[tuple[np.ndarray, Tensor]], k: int, leave_out: np.ndarray | None = None
) -> Hits:
    """The k images with the highest inner product with each query, each by its best cell.

    Args:
        queries: (Q, D).
        maps: batches of images' numbers, (B,), and their features, (B, D, h, h); each image once, in any order.
        k: hits for each query; where there are fewer images the rest is no cell.
        leave_out: (Q,) for each query the number of an image that is passed over; None: none is.

    Returns:
        Hits of shape (Q, k). Of equal cells of an image the first in raster order counts.
    """

    def scored() -> Iterator[tuple[np.ndarray, Tensor]]:
        for numbers, features in maps:
            products = torch.matmul(queries, features.flatten(2)).unflatten(2, features.shape[2:])
            if leave_out is not None:
                products[torch.from_numpy(numbers[:, None] == leave_out)] = -torch.inf
            yield numbers, products

    return _best(scored(), len(queries), k)


@torch.no_grad()
def central(method: Method, data: Prepared, k: int, device: torch.device, batch_size: int = 16) -> Hits:
    """The most central cells of every cluster, one an image: those of its own with its highest logits.

    The logits are the run's (`logit_rule`, or its classifier). Only cells that are of the cluster count, for the one
    most similar to its prototype may be still more similar to another.

    Args:
        method, data, device, batch_size: see `cells.grid`.
        k: images for each cluster; a cluster that is in fewer has no cell behind them.

    Returns:
        Hits of shape (K, k); `similarity` is the logit.
    """

    def own() -> Iterator[tuple[np.ndarray, Tensor]]:
        for numbers, images in batches(method, data, device, batch_size):
            logits = method.logits(images)["final"].float()
            mine = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, logits.argmax(dim=1, keepdim=True), True)
            yield numbers, logits.masked_fill(~mine, -torch.inf)

    return _best(own(), method.clusters("final"), k)


def likeness(grid: Grid, queries: Cells, hits: Hits, classes: np.ndarray | None = None) -> dict[str, float]:
    """How like their queries the hits are, beside what chance gives; means over the queries, in percent.

    Args:
        grid: of the split.
        queries: (Q,), each of a class where there are classes.
        hits: (Q, k), found in other images.
        classes: (K,) the class that each cluster was matched with; None without labels.

    Returns:
        `own class`: hits of the query's class, among those whose cell is of one class. `predicted class`: of the class
        that the query's cluster was matched with. Beside them what any cell of the other images gives for the own
        class (`own class, any place`), and the cell at the query's own place (`own class, same place`), in which no
        feature has a part. `up or down` and `across`: how far the hits' places lie from the query's, in percent of the
        image's side; and how far a random place does (`..., chance`). Without labels only these four.
    """
    side, rows = grid.clusters.shape[1], np.arange(len(queries.image))
    found: dict[str, float] = {}
    if grid.labels is not None and classes is not None:
        own, seen = queries.of(grid.labels), hits.of(grid.labels)
        there = grid.labels[:, queries.y, queries.x]
        there[queries.image, rows] = VOID
        counts = np.stack([np.bincount(image.ravel(), minlength=VOID + 1) for image in grid.labels])[:, :VOID]
        others = counts.sum(axis=0) - counts[queries.image]
        found = {
            "own class": _share(seen, own[:, None]),
            "predicted class": _share(seen, classes[queries.of(grid.clusters)][:, None]),
            "own class, same place": _share(there.T, own[:, None]),
            "own class, any place": metrics.mean(100 * others[rows, own] / others.sum(axis=1)),
        }
    for name, here, place in (("up or down", queries.y, hits.y), ("across", queries.x, hits.x)):
        found[name] = float(100 * np.abs(place - here[:, None]).mean() / side)
        found[f"{name}, chance"] = float(100 * np.abs(np.arange(side) - here[:, None]).mean() / side)
    return found


def _share(labels: np.ndarray, wanted: np.ndarray) -> float:
    """Share of labels (Q, n) that are the wanted ones (Q, 1), void left out; the mean over rows that have any."""
    known = labels != VOID
    hits, of = (labels == wanted).sum(axis=1), known.sum(axis=1)
    return metrics.mean(100 * np.divide(hits, of, out=np.full(len(of), np.nan), where=of > 0))


def _best(maps: Iterable[tuple[np.ndarray, Tensor]], queries: int, k: int) -> Hits:
    """The k images with the highest score of a cell, for each of Q maps.

    Args:
        maps: batches of images' numbers, (B,), and scores, (B, Q, h, w); -inf: not to be found.
        queries, k: Q, and the hits for each.
    """
    found: np.ndarray = np.full((3, queries, k), -1)  # image, y, x
    score: np.ndarray = np.full((queries, k), -np.inf, dtype=np.float32)
    for numbers, scores in maps:
        highest, cell = scores.float().flatten(2).max(dim=2)  # (B, Q); of equal cells the first
        new, at = highest.T.cpu().numpy(), cell.T.cpu().numpy()
        places = np.stack([np.broadcast_to(numbers, new.shape), at // scores.shape[3], at % scores.shape[3]])
        score = np.concatenate([score, new], axis=1)
        found = np.concatenate([found, np.where(np.isfinite(new), places, -1)], axis=2)
        order: np.ndarray = np.lexsort((found[0], -score))[:, :k]
        score, found = np.take_along_axis(score, order, axis=1), np.take_along_axis(found, order[None], axis=2)
    return Hits(found[0], found[1], found[2], np.where(found[0] < 0, np.nan, score))
