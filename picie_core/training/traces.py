"""How a method changes while it trains, step by step: what pictures need and `progress.csv` has no room for.

These functions train the method that they are given, on as many images as it was built for, and record nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor

from picie_core import metrics, views
from picie_core.clustering import assign
from picie_core.datasets import Prepared
from picie_core.losses import mutual_information
from picie_core.methods import Batch, Method
from picie_core.methods.alternating import Alternating
from picie_core.methods.iic import Iic
from picie_core.training import passes
from picie_core.training.feed import Feed


@dataclass(frozen=True)
class Trace:
    """Some epochs of a method that learns its own pseudo-labels.

    Attributes:
        steps: columns epoch, step (both from 0 on; steps are counted through all epochs), loss.
        epochs: columns epoch; `fit before` and `fit after` the epoch's training: percent of the pixels to which the
            classifier gives the epoch's pseudo-label; `changed`: percent of the pixels whose pseudo-label is another
            than in the epoch before, clusters matched one to one (nan in the first). Of images without transforms, all
            in one batch, by its own batch norm as in training.
    """

    steps: pd.DataFrame
    epochs: pd.DataFrame


def follow(method: Alternating, data: Prepared, fabric: Fabric, epochs: int) -> Trace:
    """Train for some epochs and watch view 1's clustering and its classifier.

    Args:
        method: fresh, on the fabric's device; of its clusterings the first is watched.
        data: the training split; its first `method.num_images` images are used, all at once.
        fabric: device and precision.
        epochs: >= 1.
    """
    k, rule = method.sizes[0], method.settings.label_rule
    images, feed = _first(method.num_images, data, fabric), Feed(data, fabric.device)
    steps, rows, previous = [], [], None
    for epoch in range(epochs):
        for pass_ in method.passes(epoch):
            if pass_.name != "train":
                passes.run(pass_, feed, fabric)
                continue
            labels = assign(_features(method, images), method.prototypes(1, k), rule)
            before = _fit(method, images, labels)
            method.train()
            losses = torch.stack(passes.run(pass_, feed, fabric)).tolist()
            steps += [{"epoch": epoch, "step": len(steps) + n, "loss": loss} for n, loss in enumerate(losses)]
            row = {"epoch": epoch, "fit before": before, "fit after": _fit(method, images, labels)}
            current = labels.cpu().numpy()
            kept = np.nan if previous is None else metrics.align(previous, current, k)[1]
            rows.append(row | {"changed": 100 - kept})
            previous = current
    return Trace(pd.DataFrame(steps), pd.DataFrame(rows))


def joints(method: Iic, data: Prepared, fabric: Fabric, epochs: int) -> np.ndarray:
    """Train IIC for some epochs and watch the joint distributions of its main head.

    Args:
        method: fresh, on the fabric's device.
        data: the training split; its first `method.num_images` images are used.
        fabric: device and precision.
        epochs: >= 1.

    Returns:
        `mutual_information.joint` of the first pass' pairs, all in one batch with its own batch norm as in training,
        before training and after each epoch: (epochs + 1, 2T + 1, 2T + 1, K, K).
    """
    images, feed = _first(method.num_images, data, fabric), Feed(data, fabric.device)
    found = [_joint(method, images)]
    for epoch in range(epochs):
        for pass_ in method.passes(epoch):
            passes.run(pass_, feed, fabric)
        found.append(_joint(method, images))
    return np.stack(found)


def _first(count: int, data: Prepared, fabric: Fabric) -> Tensor:
    return torch.from_numpy(data.images[np.arange(count)]).to(fabric.device)


@contextmanager
def _unmoved(method: Method) -> Iterator[None]:
    """Batch norm by the batch's statistics, as in training, which do not move the running ones. (Those lag behind:
    after the ten steps of a small epoch, what looks like forgetting may be theirs.)"""
    kept = {name: value.clone() for name, value in method.named_buffers()}
    method.train()
    try:
        yield
    finally:
        method.load_state_dict(kept, strict=False)


@torch.no_grad()
def _features(method: Alternating, images: Tensor) -> Tensor:
    with _unmoved(method):
        return method.embedding(views.plain(images, method.settings.image_size))


@torch.no_grad()
def _fit(method: Alternating, images: Tensor, labels: Tensor) -> float:
    logits = method.classify(_features(method, images), 1, method.sizes[0])
    return float(100 * (logits.argmax(dim=1) == labels).double().mean())


@torch.no_grad()
def _joint(method: Iic, images: Tensor) -> np.ndarray:
    with _unmoved(method):
        first, second, mask = method.maps(0, Batch(images, np.arange(len(images))), ["main"])
    found = mutual_information.joint(first["main"] * mask, second["main"] * mask, method.settings.iic_displacement)
    return found.cpu().numpy()
