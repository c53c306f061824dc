"""A method over a labelled split: confusion matrices of classes and clusters."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from picie_core import views
from picie_core.classes import VOID
from picie_core.datasets import Prepared
from picie_core.methods import Method
from picie_core.processes import ranks

_LOGITS = 2**28
"""So many upsampled logits are held at a time: of thousands of clusters a batch's would be a hundred gigabytes."""


def predict(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Cluster of each pixel: argmax of logits (B, K, h, w) upsampled bilinearly (align_corners=False) to `size`."""
    if logits.shape[-2:] == size:
        return logits.argmax(dim=1)
    some = max(1, _LOGITS // (logits.shape[1] * size[0] * size[1]))
    upsampled = (F.interpolate(p, size=size, mode="bilinear", align_corners=False) for p in logits.split(some))
    return torch.cat([part.argmax(dim=1) for part in upsampled])


def predictions(
    method: Method, data: Prepared, batch_size: int, device: torch.device
) -> Iterator[tuple[np.ndarray, Mapping[str, np.ndarray]]]:
    """Clusters of a whole split, batch by batch; of this rank's part of it, where there are several (`ranks`).

    Args:
        method: in evaluation mode from here on.
        data: a prepared split at the run's image size, (N, S, S, 3).
        batch_size: images at a time.
        device: where the method is.

    Yields:
        The images' numbers, (B,), and for each set of prototypes the method predicts with: (B, S, S) int64 clusters.
    """
    for indices, found in _clusters(method, data, batch_size, device):
        yield indices, {name: clusters.cpu().numpy() for name, clusters in found.items()}


@torch.no_grad()
def _clusters(
    method: Method, data: Prepared, batch_size: int, device: torch.device
) -> Iterator[tuple[np.ndarray, Mapping[str, Tensor]]]:
    """`predictions`, on the device."""
    method.eval()
    own = ranks.own(len(data))
    for start in range(own.start, own.stop, batch_size):
        indices = np.arange(start, min(start + batch_size, own.stop))
        images = torch.from_numpy(data.images[indices]).to(device)
        size = (images.shape[1], images.shape[2])
        found = method.predict(views.plain(images, size[0]), data.names[indices[0] : indices[-1] + 1])
        yield indices, {name: predict(logits.float(), size) for name, logits in found.items()}


def confusions(
    method: Method,
    data: Prepared,
    batch_size: int,
    device: torch.device,
    tick: Callable[[int], None] = lambda images: None,
) -> dict[str, np.ndarray]:
    """Confusion matrices (num_classes, num_clusters) int64 over a labelled split, one for each set of prototypes;
    the sums over ranks, where there are several.

    Args:
        method, data, batch_size, device: see `predictions`.
        tick: called with the number of images after each batch.

    Raises:
        Unlabelled: the split has no labels.
    """
    truth, table = data.need_labels()
    matrices: dict[str, Tensor] = {}
    classes = len(table.names)
    for indices, found in _clusters(method, data, batch_size, device):
        labels = torch.from_numpy(truth[indices]).to(device)
        for name, clusters in found.items():
            counts = counted(labels, clusters, classes, method.clusters(name))
            matrices[name] = matrices[name] + counts if name in matrices else counts
        tick(len(indices))
    return {name: ranks.total(matrix).cpu().numpy() for name, matrix in matrices.items()}


def counted(labels: Tensor, clusters: Tensor, num_classes: int, num_clusters: int) -> Tensor:
    """`metrics.confusion` where the pixels are, on a GPU too: of labels (uint8, 255 void) and clusters of one shape
    (num_classes, num_clusters) int64.

    Raises:
        ValueError: a label or a cluster lies outside its range.
    """
    valid = labels != VOID
    labels, clusters = labels[valid].long(), clusters[valid].long()
    for name, values, count in (("label", labels, num_classes), ("cluster", clusters, num_clusters)):
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) < count:
            raise ValueError(f"{name}s {values.min()} to {values.max()} where 0 to {count - 1} were expected")
    flat = torch.bincount(labels * num_clusters + clusters, minlength=num_classes * num_clusters)
    return flat.reshape(num_classes, num_clusters)
