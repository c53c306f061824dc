"""Cells of the features' grid: where they are, what they are, and which are drawn.

Cell (y, x) of an (h, h) grid is what evaluation takes it for, which upsamples bilinearly without aligned corners: the
square of s x s pixels, s = S / h, from pixel (s y, s x) on. s is 4 for the features of a network.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from picie_core import draws, views
from picie_core.classes import VOID
from picie_core.datasets import Prepared
from picie_core.methods import Method


@dataclass(frozen=True)
class Cells:
    """Cells of the features' grids of a split.

    Attributes:
        image, y, x: the image's number in the split, the cell's row and column; int64 of one shape, (Q,) for queries,
            (Q, k) for what was found. -1 in all three: no cell.
    """

    image: np.ndarray
    y: np.ndarray
    x: np.ndarray

    def of(self, maps: np.ndarray) -> np.ndarray:
        """What maps (N, h, h) of the whole split hold at these cells (at no cell: some value), of their shape."""
        return maps[self.image, self.y, self.x]


@dataclass(frozen=True)
class Grid:
    """What the cells of a split are.

    Attributes:
        clusters: (N, h, h) int64, by the highest of the final logits.
        labels: uint8 (N, h, h), the class that all pixels of a cell have; 255 where they differ or are void. None in a
            split without labels.
        light: float32 (N, h, h), the mean of a cell's pixels and colours, 0 black to 1 white.
    """

    clusters: np.ndarray
    labels: np.ndarray | None
    light: np.ndarray


def unanimous(labels: np.ndarray, side: int) -> np.ndarray:
    """The label that all pixels of a cell have: (..., S, S), S a multiple of `side` -> (..., side, side), else 255."""
    cells = _blocks(labels, side)
    low, high = cells.min(axis=(-3, -1)), cells.max(axis=(-3, -1))
    return np.where(low == high, low, VOID).astype(labels.dtype)


@torch.no_grad()
def grid(method: Method, data: Prepared, device: torch.device, batch_size: int = 16) -> Grid:
    """The cluster, the label and the light of every cell of a split.

    Args:
        method: trained, with its final prototypes.
        data: a prepared split at the run's image size, (N, S, S, 3).
        device: where the method is.
        batch_size: images at a time.
    """
    clusters, labels, light = [], [], []
    for numbers, images in batches(method, data, device, batch_size):
        clusters.append(method.logits(images)["final"].argmax(dim=1).cpu().numpy())
        side = clusters[-1].shape[-1]
        light.append(_blocks(data.images[numbers].mean(axis=-1, dtype=np.float32) / 255, side).mean(axis=(-3, -1)))
        if data.labels is not None:
            labels.append(unanimous(data.labels[numbers], side))
    return Grid(np.concatenate(clusters), np.concatenate(labels) if labels else None, np.concatenate(light))


def kinds(grid: Grid, classes: np.ndarray | None) -> dict[str, np.ndarray]:
    """Cells to draw queries from, for `draw`: of those of one class `right`, whose cluster was matched with it, and
    `wrong`, the others, both spread over classes; without labels `any`, spread over clusters.

    Args:
        grid: of the split.
        classes: (K,) the class each cluster was matched with, -1 for none; None without labels.

    Returns:
        By name (N, h, h) integers; a kind without cells is left out.
    """
    if grid.labels is None or classes is None:
        return {"any": grid.clusters}
    own = np.where(grid.labels == VOID, -1, grid.labels.astype(np.int64))
    right = classes[grid.clusters] == own
    found = {"right": np.where(right, own, -1), "wrong": np.where(right, -1, own)}
    return {name: groups for name, groups in found.items() if (groups >= 0).any()}


def draw(groups: np.ndarray, count: int, key: draws.Key, per_image: int = 1) -> Cells:
    """Cells drawn at random, spread over groups: each group in turn gives one, from an image that may still give one.

    Args:
        groups: (N, h, h) integers, what the cells are spread over, such as their class; negative: not to be drawn.
        count: how many; fewer are drawn where there are no more.
        key: of the draw, a function of it and of `groups` alone.
        per_image: at most so many of one image.

    Returns:
        Cells of shape (count,) or less, in the order of the draw.
    """
    flat, cells = groups.ravel(), groups[0].size
    order = np.flatnonzero(flat >= 0)
    order = order[draws.permutation(len(order), key)]
    names = np.unique(flat[order])
    names = names[draws.permutation(len(names), (*key, "groups"))]
    queues = deque(iter(order[flat[order] == name].tolist()) for name in names)
    given, found = np.zeros(len(groups), dtype=np.int64), []
    while queues and len(found) < count:
        queue = queues.popleft()
        cell = next((c for c in queue if given[c // cells] < per_image), None)
        if cell is not None:
            given[cell // cells] += 1
            found.append(cell)
            queues.append(queue)
    return Cells(*np.unravel_index(np.array(found, dtype=np.int64), groups.shape))


def batches(
    method: Method, data: Prepared, device: torch.device, batch_size: int, chosen: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """The numbers, (B,), and the normalised images, (B, 3, S, S), of a whole split, or of the chosen ones."""
    method.eval()
    chosen = np.arange(len(data)) if chosen is None else chosen
    for start in range(0, len(chosen), batch_size):
        numbers = chosen[start : start + batch_size]
        images = torch.from_numpy(data.images[numbers]).to(device)
        yield numbers, views.plain(images, images.shape[1])


def _blocks(maps: np.ndarray, side: int) -> np.ndarray:
    """The pixels of every cell: (..., S, S) -> (..., side, s, side, s), s = S / side."""
    s = maps.shape[-1] // side
    return maps.reshape(*maps.shape[:-2], side, s, side, s)
