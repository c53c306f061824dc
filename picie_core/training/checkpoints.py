"""What a method and its optimisers are in the middle of training: as tensors and plain numbers, on disk, and back."""

import logging
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from picie_core.errors import UnreadableError
from picie_core.files import write_json
from picie_core.methods import Method
from picie_core.records import parts

log = logging.getLogger(__name__)


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


def save(folder: Path, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
    """Replace a run's checkpoint by a new one: tensors as safetensors, counters as JSON, both or neither."""
    new, place, old = folder / "checkpoint.new", folder / "checkpoint", folder / "checkpoint.old"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    parts.write_tensors(new / "state.safetensors", tensors)
    write_json(new / "counters.json", counters)
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def find(folder: Path) -> Path | None:
    """The folder of a run's last whole checkpoint, or None. A kill between the two renames leaves it its old name."""
    places = folder / "checkpoint", folder / "checkpoint.old"
    return next((place for place in places if (place / "counters.json").is_file()), None)


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The last whole checkpoint (see `find`), or None, with a warning where there is one that is not whole.

    Raises:
        UnreadableError: its files are not those of a checkpoint; OSError: the system cannot read them now.
    """
    if (place := find(folder)) is None:
        if (folder / "checkpoint").exists():
            log.warning("%s has no counters.json: the run starts anew", folder / "checkpoint")
        return None
    try:
        counters = parts.record(place / "counters.json", "epochs_done", "seconds", "param_groups", "rows")
        return parts.read_tensors(place / "state.safetensors"), counters
    except (FileNotFoundError, ValueError, SafetensorError) as error:
        raise UnreadableError(f"{place} cannot be read: {error}. Delete that folder to train the run anew") from error


def drop(folder: Path) -> None:
    """Remove what a finished run does not need."""
    for name in ("checkpoint", "checkpoint.old", "checkpoint.new"):
        shutil.rmtree(folder / name, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove what a run has left in its folder, its result first."""
    for name in ("result.json", "progress.csv", "confusion.npy", "model.safetensors"):
        (folder / name).unlink(missing_ok=True)
    drop(folder)
