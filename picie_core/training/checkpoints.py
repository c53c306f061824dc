"""What a method and its optimisers are in the middle of training, as tensors and plain numbers, and back."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from picie_core import records
from picie_core.methods import Method


def state(method: Method) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A method between two epochs.

    Returns:
        Tensors by name: of its modules `method.*`, of each optimiser `optimizer.NAME.PARAMETER.KEY`; and the
        optimisers' groups of parameters, by the optimiser's name, as JSON knows them.
    """
    tensors = {f"method.{name}": tensor for name, tensor in method.state_dict().items()}
    groups = {}
    for name, optimizer in method.optimizers.items():
        found = optimizer.state_dict()
        groups[name] = found["param_groups"]
        for number, entries in found["state"].items():
            tensors |= {f"optimizer.{name}.{number}.{key}": torch.as_tensor(t) for key, t in entries.items()}
    return tensors, groups


def restore(method: Method, tensors: Mapping[str, Tensor], groups: Mapping[str, Any]) -> None:
    """Put what `state` gave back in place, in a method of the same settings."""
    states: dict[str, dict[int, dict[str, Tensor]]] = defaultdict(lambda: defaultdict(dict))
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, optimizer, number, key = name.split(".")
            states[optimizer][int(number)][key] = tensor
    weights = {name.removeprefix("method."): t for name, t in tensors.items() if name.startswith("method.")}
    method.load_state_dict(weights, strict=True)
    for name, saved in groups.items():
        method.optimizers[name].load_state_dict({"state": dict(states[name]), "param_groups": saved})


def discard(folder: Path) -> None:
    """Remove what a run has left in its folder, its result first."""
    for name in ("result.json", "progress.csv", "confusion.npy", "model.safetensors"):
        (folder / name).unlink(missing_ok=True)
    records.drop_checkpoint(folder)
