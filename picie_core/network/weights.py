"""Files of weights that a person places: read without running anything, checked by names and shapes, told by digest."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from picie_core.settings.knobs import SettingsError

SHOWN = 3
"""Names of a kind that a message gives before it only counts them."""

_SHOWN_BYTES = 16
_WRAPPINGS = ("net", "state_dict", "model")  # under which training scripts store a state dict beside other things
_PARALLEL = "module."  # before every name that `nn.DataParallel` saved


def placed(place: Path | None, setting: str, expected: str) -> Path:
    """The file that a setting names.

    Args:
        place: the setting's value.
        setting: its name.
        expected: which file it is and where it comes from, for the message.

    Raises:
        SettingsError: the setting is not given, or names no file.
    """
    if place is None:
        raise SettingsError(f"{setting} is not given: it names {expected}")
    file = place.expanduser()
    if not file.is_file():
        raise SettingsError(f"{setting} = {str(place)!r}: there is no such file; expected {expected}")
    return file


def read(file: Path, setting: str, expected: str) -> dict[str, Tensor]:
    """The state dict in a file: safetensors by its ending, else what `torch.save` wrote, read with `weights_only`.

    A state dict that lies under "net", "state_dict" or "model" is taken from there, and a "module." that stands before
    every name (`nn.DataParallel`) is taken off.

    Returns:
        name -> tensor on the CPU.

    Raises:
        SettingsError: the file cannot be read, or holds something else than tensors by name.
    """
    try:
        held: Any = (
            safetensors.torch.load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # the readers raise a dozen types, some of them no relatives; all mean the same here
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "weights_only" in str(error):  # torch's words advise to run what the file holds
            with file.open("rb") as stream:
                begins = stream.read(_SHOWN_BYTES)
            whole = begins.startswith(b"PK")  # the archive that torch.save writes
            reason = "it holds more than tensors, as a full checkpoint does" if whole else f"it begins with {begins!r}"
        raise SettingsError(
            f"{setting}: {file} cannot be read as weights ({reason}); expected {expected}. It may be cut short, or "
            "another file than that: fetch it again"
        ) from error
    for name in _WRAPPINGS:
        if isinstance(held, Mapping) and isinstance(held.get(name), Mapping):
            held = held[name]
    if not (isinstance(held, Mapping) and held and all(isinstance(each, Tensor) for each in held.values())):
        raise SettingsError(f"{setting}: {file} holds {_kind(held)}, not tensors by name; expected {expected}")
    if all(name.startswith(_PARALLEL) for name in held):
        return {name.removeprefix(_PARALLEL): tensor for name, tensor in held.items()}
    return dict(held)


def digits(name: str) -> str:
    """The first digits of a file's SHA-256, which stand at the end of its published name: f37072fd."""
    return name.rpartition("-")[2].removesuffix(".pth")


def known(file: Path, name: str, setting: str, expected: str) -> dict[str, Tensor]:
    """The state dict in a file whose published name ends with the first digits of its SHA-256, as torchvision's do.

    Args:
        file: to read, whatever it is called.
        name: as it was published, such as resnet18-f37072fd.pth.
        setting, expected: see `placed`.

    Raises:
        SettingsError: its digest is another, and it is not read; or see `read`.
    """
    begins = digits(name)
    if not (found := digest(file)).startswith(begins):
        raise SettingsError(
            f"{setting}: the weights in {file}: their sha256 begins with {found[:8]}, that of {expected} with "
            f"{begins}; delete the file and fetch it again, or give pretrained=False (-p pretrained=false)"
        )
    return read(file, setting, expected)


def fill(module: nn.Module, state: Mapping[str, Tensor], file: Path, setting: str, expected: str) -> None:
    """Load a state dict whose names and shapes are those of the module, all of them and no others.

    Raises:
        SettingsError: they are not; the message gives the first names that are missing, unknown or of another shape.
    """
    wanted = module.state_dict()
    faults = [
        _some("lacks", [name for name in wanted if name not in state]),
        _some("has unknown", [name for name in state if name not in wanted]),
        _some(
            "has in another shape",
            [
                f"{name} {tuple(state[name].shape)} for {tuple(tensor.shape)}"
                for name, tensor in wanted.items()
                if name in state and state[name].shape != tensor.shape
            ],
        ),
    ]
    if found := "; ".join(fault for fault in faults if fault):
        raise SettingsError(
            f"{setting}: {file} holds the weights of another model. Expected {expected}, {len(wanted)} tensors from "
            f"{', '.join(list(wanted)[:SHOWN])} on; found {len(state)} from {', '.join(list(state)[:SHOWN])} on: it "
            f"{found}"
        )
    module.load_state_dict(state)


def digest(file: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits; read again only when its size or time of change differs."""
    status = file.stat()
    return _digest(file.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=2**17)  # as many as the masks of the largest data set
def _digest(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _some(what: str, names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{what} {', '.join(names[:SHOWN])}{more}" if names else ""


def _kind(held: Any) -> str:
    if isinstance(held, Mapping):
        return f"a dictionary of {', '.join(map(str, list(held)[:SHOWN]))}" if held else "an empty dictionary"
    return f"a {type(held).__name__}"
