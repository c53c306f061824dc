"""A split's images on their way to the device: kept there where they fit, else read ahead while it computes."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from picie_core import devices
from picie_core.datasets import Prepared
from picie_core.datasets.shards import ShardedArray
from picie_core.methods import Batch
from picie_core.processes import ranks

AHEAD = 2
"""Batches that are read while one is computed on."""

PART = 1024
"""Images that are read at a time where all are kept."""

Read = tuple[Tensor, Tensor | None]
"""Images and labels of a batch."""


class Feed:
    """The batches of a prepared split, as the device takes them.

    On a GPU: this rank's images and labels lie in its memory as uint8 where they take no more than half of what is
    free; else a thread reads the next batches into pinned memory while the GPU works, and the copies wait in its queue.
    On a CPU: memory maps, batch by batch.

    Args:
        data: a prepared split.
        device: where batches are to be.
        labels: whether batches have the ground truth, where there is one.
        memory: bytes of the device's memory that images and labels may take; None: as said above.
        ahead: whether a thread reads ahead; None: on a GPU.

    Attributes:
        data: see above.
        resident: whether everything is kept on the device.
    """

    def __init__(
        self,
        data: Prepared,
        device: torch.device,
        labels: bool = True,
        memory: int | None = None,
        ahead: bool | None = None,
    ) -> None:
        self.data, self.device = data, device
        self.labels = data.labels if labels else None
        self.pinned = device.type == "cuda"
        self.ahead = self.pinned if ahead is None else ahead
        if memory is None:
            memory = devices.free_memory(device) // 2 if device.type == "cuda" else 0
        self.mine = ranks.own(len(data))
        parts = [part for part in (data.images, self.labels) if part is not None]
        self.resident = sum(part.nbytes for part in parts) * len(self.mine) <= memory * len(data)
        self._kept: Read | None = self._whole() if self.resident else None

    def __len__(self) -> int:
        return len(self.data)

    def batches(self, parts: Sequence[np.ndarray]) -> Iterator[Batch]:
        """Batches of these images' numbers, in order.

        Args:
            parts: numbers of this rank's images (`ranks.own`), an array a batch.
        """
        for indices, (images, labels) in zip(parts, self._found(parts), strict=True):
            yield Batch(images, indices, labels, [self.data.names[i] for i in indices])

    def _found(self, parts: Sequence[np.ndarray]) -> Iterator[Read]:
        if self._kept is not None:
            images, labels = self._kept
            for indices in parts:
                rows = torch.from_numpy(indices - self.mine.start).to(self.device)
                yield images[rows], None if labels is None else labels[rows]
        elif self.ahead:
            yield from self._read_ahead(parts)
        else:
            yield from (self._moved(self._read(indices)) for indices in parts)

    def _whole(self) -> Read:
        """All of this rank's images and labels on the device, brought there some at a time."""
        images = self._empty(self.data.images)
        labels = None if self.labels is None else self._empty(self.labels)
        for start in range(0, len(self.mine), PART):
            some = slice(start, start + PART)
            for whole, part in zip((images, labels), self._read(np.array(self.mine[some])), strict=True):
                if whole is not None and part is not None:
                    whole[some] = part
        return images, labels

    def _empty(self, like: ShardedArray) -> Tensor:
        return torch.empty((len(self.mine), *like.shape[1:]), dtype=torch.uint8, device=self.device)

    def _read_ahead(self, parts: Sequence[np.ndarray]) -> Iterator[Read]:
        left = iter(parts)
        with ThreadPoolExecutor(1) as reader:
            waiting: deque[Future[Read]] = deque(reader.submit(self._read, part) for part in islice(left, AHEAD))
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(reader.submit(self._read, part) for part in islice(left, 1))
                yield self._moved(batch)

    def _read(self, indices: np.ndarray) -> Read:
        images = torch.from_numpy(self.data.images[indices])
        labels = None if self.labels is None else torch.from_numpy(self.labels[indices])
        if self.pinned and not self.resident:
            return images.pin_memory(), None if labels is None else labels.pin_memory()
        return images, labels

    def _moved(self, batch: Read) -> Read:
        images, labels = batch
        moved = images.to(self.device, non_blocking=self.pinned)
        return moved, None if labels is None else labels.to(self.device, non_blocking=self.pinned)
