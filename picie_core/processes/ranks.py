"""Several processes that compute one run, each a rank: which images are whose, and sums over all ranks.

A process alone is rank 0 of 1, and every function here gives back what it was given. Among several, whatever a rank
computes of its own images (a loss, counts, a matrix) is its share: the sum over ranks is the whole. Every rank must
call these functions in the same order. The processes find each other in `devices.make_fabric`.
"""

from collections.abc import Iterable

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from picie_core.errors import WorkbookError


class RankError(WorkbookError, RuntimeError):
    """Ranks that cannot work together, or one that died; the message says what to do."""


def count() -> int:
    """How many ranks there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def number() -> int:
    """This process's rank, from 0. Rank 0 alone writes files."""
    return dist.get_rank() if count() > 1 else 0


def own(images: int) -> range:
    """The images of a split that are this rank's: blocks of neighbours, whose sizes differ by at most one.

    Raises:
        RankError: there are fewer images than ranks.
    """
    if count() > 1 and images < count():
        raise RankError(f"{images} images cannot be shared by {count()} devices: give at most {images} devices")
    return range(images * number() // count(), images * (number() + 1) // count())


def batches(order: np.ndarray, batch_size: int, images: int) -> list[np.ndarray]:
    """This rank's part of each batch of a pass.

    Alone: `order` cut every `batch_size` images, so that the last batch may be smaller. Among several: as many batches,
    and every rank cuts its own images, in the order given, into so many nearly equal parts; a batch of the whole is
    what the ranks have at the same time.

    Args:
        order: image numbers, the same on every rank.
        batch_size: images of a batch, of all ranks together.
        images: of the split.

    Raises:
        RankError: a rank has fewer images than there are batches.
    """
    steps = -(-len(order) // batch_size)
    if count() == 1:
        return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    mine = own(images)
    kept = order[(order >= mine.start) & (order < mine.stop)]
    if len(kept) < steps:
        raise RankError(
            f"of {len(order)} images in batches of {batch_size}, device {number()} of {count()} has {len(kept)} for "
            f"{steps} batches: give fewer devices, or a larger batch_size or kmeans_batch_size"
        )
    return np.array_split(kept, steps)


def total(share: Tensor) -> Tensor:
    """The sum over ranks, on each of them. Gradients pass: that of a rank's share is the sum of what all ranks' losses
    have with respect to the total."""
    if count() == 1:
        return share
    if not share.requires_grad:
        found = share.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(found)
        return found
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(share.contiguous())


def part(amount: Tensor) -> Tensor:
    """What share of the total this rank's amount is, 0 to 1: the weight of its mean in the mean of all."""
    return amount / total(amount) if count() > 1 else torch.ones_like(amount)


def gathered(rows: Tensor) -> Tensor:
    """The rows of all ranks, in their order, on rank 0; on the others their own.

    Args:
        rows: (n, D), n of any size.
    """
    if count() == 1:
        return rows
    sizes = total(torch.eye(count(), dtype=torch.int64, device=rows.device)[number()] * len(rows)).tolist()
    padded = rows.new_zeros(max(sizes), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in sizes] if number() == 0 else None
    dist.gather(padded, parts)
    return rows if parts is None else torch.cat([sent[:size] for sent, size in zip(parts, sizes, strict=True)])


def same(tensor: Tensor) -> Tensor:
    """Rank 0's tensor, on every rank; the others give one of its shape and type."""
    if count() > 1:
        tensor = tensor.contiguous()
        dist.broadcast(tensor, 0)
    return tensor


def agreed(answer: bool) -> bool:
    """Rank 0's answer, on every rank."""
    return bool(same(torch.tensor(int(answer))))


def add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Make every parameter's gradient the sum over ranks, in one message. Those without a gradient keep none."""
    if count() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(summed.view_as(gradient))


def level(module: nn.Module) -> None:
    """Make batch norm's running statistics the mean over ranks, which each have seen their own images."""
    if count() == 1:
        return
    for layer in module.modules():
        if not isinstance(layer, nn.modules.batchnorm._BatchNorm) or layer.running_mean is None:
            continue
        if layer.weight is None or layer.weight.requires_grad:  # those of a frozen one stay as they are, to the bit
            for running in (layer.running_mean, layer.running_var):
                running.copy_(total(running) / count())  # type: ignore[union-attr, arg-type]
