"""The files of a run folder, one at a time: written at once, and read as what was written."""

import io
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from picie_core.files import whole, write


def write_array(file: Path, array: np.ndarray) -> None:
    """Write an .npy file at once."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    write(file, stream.getvalue())


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file at once.

    Raises:
        OSError: see `files.write`.
    """
    with whole(file) as temporary:
        try:  # straight from the tensors' memory: `save`, which returns bytes, copies them three times
            safetensors.torch.save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, temporary)
        except SafetensorError as error:
            # the library's own words for what the system said; before 0.5 others
            number = re.search(r"(?:\(os error |Os \{ code: )(\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def read_tensors(file: Path) -> dict[str, Tensor]:
    """A safetensors file's tensors, by name.

    Raises:
        SafetensorError, FileNotFoundError: it is damaged or not there; OSError: the system cannot read it now.
    """
    with file.open("rb"):  # for the system's own error: to the library all that it cannot open is not there
        return safetensors.torch.load_file(file)


def check_tensors(file: Path) -> None:
    """Raise what `read_tensors` would for a safetensors file that is not whole, by its header and size alone."""
    with file.open("rb"), safe_open(file, "np"):
        pass


def record(file: Path, *names: str) -> dict[str, Any]:
    """A JSON file of a run. Raises ValueError where it is none, or lacks one of these names."""
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file.name} is no JSON ({error})") from error
    if lacks := ([name for name in names if name not in found] if isinstance(found, dict) else names):
        raise ValueError(f"{file.name} is not that of a run: it lacks {', '.join(lacks)}")
    return found


def write_progress(folder: Path, rows: list[dict[str, Any]]) -> None:
    """`progress.csv` of the epochs so far; lists stand in it as JSON."""
    flat = [{name: json.dumps(v) if isinstance(v, list) else v for name, v in row.items()} for row in rows]
    write(folder / "progress.csv", pd.DataFrame(flat).to_csv(index=False))


def read_progress(folder: Path) -> pd.DataFrame:
    """`progress.csv` with its lists; empty when no epoch was trained. Raises ValueError where it is damaged."""
    file = folder / "progress.csv"
    try:
        if not file.is_file() or not (text := file.read_text()).strip():
            return pd.DataFrame()
        if not text.endswith("\n"):
            raise ValueError("its last line is cut off")
        table = pd.read_csv(io.StringIO(text))
        for name in table.columns:
            if name.startswith("cluster_sizes"):
                table[name] = table[name].map(json.loads)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file.name} is not that of a run ({error})") from error
    return table
