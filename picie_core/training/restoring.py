"""A finished run's method, to be looked at."""

import weakref
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from picie_core import devices, evaluation, views
from picie_core.datasets import Prepared
from picie_core.methods import METHODS, Method
from picie_core.records import Run

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def restore(run: Run) -> tuple[Method, "Fabric"]:
    """A finished run's method with weights and final prototypes, in evaluation mode, on this machine's device; and its
    fabric. Its `embedding`, `logits` and `predict` compute in the run's precision whoever calls them."""
    # `replace` would resolve the values anew, by tables that may have changed since.
    here = {"pretrained": False, "comus_backbone_place": None, "device": devices.present(run.settings.device)}
    settings = run.settings.model_copy(update=here)
    fabric = devices.make_fabric(settings)
    method = METHODS[settings.method](settings, 0)
    tensors = run.weights()
    prototypes = tensors.pop("final_prototypes", None)
    method.final_prototypes = None if prototypes is None else prototypes.to(fabric.device)
    method.load_state_dict(tensors, strict=True)
    for name in ("embedding", "logits", "predict"):
        setattr(method, name, _in_precision(method, name, fabric))
    return method.to(fabric.device).eval(), fabric


def _in_precision(method: Method, name: str, fabric: "Fabric") -> Callable[..., Any]:
    call, owner = getattr(type(method), name), weakref.ref(method)  # no cycle: a card's memory waits for no collector

    @wraps(call)
    def called(*arguments: Any) -> Any:
        with fabric.autocast():
            return call(owner(), *arguments)

    return called


@torch.no_grad()
def clusters_of(run: Run, data: Prepared, numbers: np.ndarray) -> np.ndarray:
    """The clusters of a run's score, (B, S, S) int64, on the images of a split that have these numbers, (B,)."""
    method, fabric = restore(run)
    images = data.images[numbers]
    pixels = views.plain(torch.from_numpy(images).to(fabric.device), images.shape[1])
    found = method.predict(pixels, [data.names[number] for number in numbers])["final"]
    return evaluation.predict(found.float(), images.shape[1:3]).cpu().numpy()
