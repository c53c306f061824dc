"""One pass of a method over a split: batch by batch, each step with its backward and its optimisers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from picie_core.methods import Batch, Pass
from picie_core.processes import ranks
from picie_core.settings import SettingsError
from picie_core.training.feed import Feed

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def run(pass_: Pass, feed: Feed, fabric: "Fabric", tick: Callable[[int], None] = lambda images: None) -> list[Tensor]:
    """Run one pass of a method over a split: every step, and its backward and optimisers where it learns.

    Args:
        pass_: of a method on `fabric.device`.
        feed: of the training split.
        fabric: device and precision.
        tick: called with the number of images after each step.

    Returns:
        The losses, one scalar a step, this rank's shares; empty where nothing is learned.

    Raises:
        SettingsError: the last batch is one image too small for batch norm.
    """
    losses: list[Tensor] = []
    for batch in feed.batches(ranks.batches(pass_.order, pass_.batch_size, len(feed))):
        for optimizer in pass_.optimizers:
            optimizer.zero_grad(set_to_none=True)
        parts = []
        for part in _parts(pass_, batch, fabric):
            fabric.backward(part)
            parts.append(part.detach())
        if parts:
            ranks.add_gradients(p for o in pass_.optimizers for group in o.param_groups for p in group["params"])
            for optimizer in pass_.optimizers:
                optimizer.step()
            losses.append(torch.stack(parts).sum())
        tick(len(batch.indices))
    return losses


def _parts(pass_: Pass, batch: Batch, fabric: "Fabric") -> Iterator[Tensor]:
    """The parts of a step's loss, each computed when it is asked for."""
    with _forward(pass_, fabric):
        parts = pass_.step(batch) or iter(())
    while True:
        with _forward(pass_, fabric):
            part = next(parts, None)
        if part is None:
            return
        yield part


@contextmanager
def _forward(pass_: Pass, fabric: "Fabric") -> Iterator[None]:
    """Gradients where something is learned, the fabric's precision, and advice on a batch that batch norm refuses."""
    try:
        with torch.set_grad_enabled(bool(pass_.optimizers)), fabric.autocast():
            yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise SettingsError(
            f"batch norm needs more than one value a channel, and the last of {len(pass_.order)} images by batches "
            f"of {pass_.batch_size} ({pass_.name}) is alone, with one cell at the coarsest level: "
            "give another batch_size or kmeans_batch_size, more images, or a larger image_size (which is of no use to "
            "comus_network = 'deeplabv3': it pools to one cell at every size)"
        ) from error
