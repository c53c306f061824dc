"""Run folders: what a run leaves on disk, written so that nothing half-written is ever taken for whole.

settings.yaml      the settings and where each came from
progress.csv       a row per epoch
confusion.npy      the final confusion matrix (classes, clusters)
model.safetensors  weights and prototypes
environment.json   versions, commit, device
result.json        scores; written last: a run is done when it is there
checkpoint/        while the run is going on
"""

import io
import json
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
import yaml
from torch import Tensor

from picie_core.classes import ClassTable
from picie_core.metrics import Scores, score
from picie_core.settings import Settings

log = logging.getLogger(__name__)

TIDY = ["method", "dataset", "recipe", "seed", "key", "seconds", "explicit", "metric", "value"]
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pandas", "safetensors", "pillow")


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        settings: as resolved.
        scores: of the validation split with fresh prototypes, in percent; None in a set without labels.
        confusion: (classes, clusters) int64 behind the scores; None likewise.
        progress: a row per epoch: losses, inertia, cluster sizes, scores, seconds of each phase.
        folder: the run's folder.
        result: `result.json`: scores, seconds, class names, the data's fingerprint, the run's key.
    """

    settings: Settings
    scores: Scores | None
    confusion: np.ndarray | None
    progress: pd.DataFrame
    folder: Path
    result: Mapping[str, Any]

    def weights(self) -> dict[str, Tensor]:
        """`model.safetensors`: network, prototypes, by name."""
        return safetensors.torch.load_file(self.folder / "model.safetensors")

    @property
    def classes(self) -> ClassTable | None:
        """The data set's classes; None in a set without."""
        record = self.result["classes"]
        return ClassTable.from_dict(record) if record else None


def is_done(folder: Path) -> bool:
    """Whether the folder holds a finished run."""
    return (folder / "result.json").is_file()


def load(folder: Path) -> Run:
    """The finished run in `folder`.

    Raises:
        FileNotFoundError: there is no finished run there.
    """
    if not is_done(folder):
        state = "an unfinished run: run the same settings again to go on" if folder.is_dir() else "no such folder"
        raise FileNotFoundError(f"no finished run in {folder} ({state})")
    result = json.loads((folder / "result.json").read_text())
    matrix = np.load(folder / "confusion.npy", allow_pickle=False) if (folder / "confusion.npy").is_file() else None
    return Run(
        settings=Settings.from_yaml((folder / "settings.yaml").read_text()),
        scores=None if matrix is None else score(matrix),
        confusion=matrix,
        progress=read_progress(folder),
        folder=folder,
        result=result,
    )


def finished(root: Path) -> list[Run]:
    """Every finished run under a runs' root, oldest first; one that cannot be read is named in a warning."""
    found = []
    for file in sorted(root.glob("*/result.json"), key=lambda file: file.stat().st_mtime):
        try:
            found.append(load(file.parent))
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            log.warning("left out %s, which cannot be read: %s. Delete the folder to have it made again", file, error)
    return found


def tidy(runs: Iterable[Run]) -> pd.DataFrame:
    """One row a run and metric: method, dataset, recipe, seed, key, metric, value (percent), seconds, and the explicit
    settings as JSON, so that a table or a figure is a query."""
    rows = []
    for run in runs:
        s = run.settings
        explicit = {name: s.values()[name] for name in s.explicit}
        common = {
            "method": method_name(s),
            "dataset": s.dataset,
            "recipe": s.recipe,
            "seed": s.seed,
            "key": run.result["key"],
            "seconds": run.result["seconds"],
            "explicit": json.dumps(explicit, sort_keys=True),
        }
        values = {} if run.scores is None else {"accuracy": run.scores.accuracy, "mean_iou": run.scores.mean_iou}
        rows += [common | {"metric": metric, "value": value} for metric, value in values.items()]
    return pd.DataFrame(rows, columns=TIDY)


def method_name(settings: Settings) -> str:
    """What tables tell methods apart by: the method, with `+H` where it overclusters, `-linear` where an untrained
    classifier predicts, `-res12` for IIC's shallow trunks."""
    s = settings
    linear = s.method == "untrained" and s.classifier == "parametric"
    return s.method + "+H" * bool(s.num_overclusters) + "-linear" * linear + f"-{s.trunk}" * (s.trunk != "fpn")


def write(file: Path, content: str | bytes) -> None:
    """Write a file at once: under a temporary name, flushed to disk, then renamed.

    Raises:
        OSError: the disk is full or the folder cannot be written; the file keeps what it held before.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(file: Path, values: Mapping[str, Any]) -> None:
    """Write readable JSON at once."""
    write(file, json.dumps(values, indent=1) + "\n")


def write_array(file: Path, array: np.ndarray) -> None:
    """Write an .npy file at once."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    write(file, stream.getvalue())


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file at once."""
    write(file, safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}))


def write_progress(folder: Path, rows: list[dict[str, Any]]) -> None:
    """`progress.csv` of the epochs so far; lists stand in it as JSON."""
    flat = [{name: json.dumps(v) if isinstance(v, list) else v for name, v in row.items()} for row in rows]
    write(folder / "progress.csv", pd.DataFrame(flat).to_csv(index=False))


def read_progress(folder: Path) -> pd.DataFrame:
    """`progress.csv` with its lists; empty when no epoch was trained."""
    file = folder / "progress.csv"
    if not file.is_file() or not file.read_text().strip():
        return pd.DataFrame()
    table = pd.read_csv(file)
    for name in table.columns:
        if name.startswith("cluster_sizes"):
            table[name] = table[name].map(json.loads)
    return table


def save_checkpoint(folder: Path, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
    """Replace the checkpoint by a new one: tensors as safetensors, counters as JSON, both or neither."""
    new, place, old = folder / "checkpoint.new", folder / "checkpoint", folder / "checkpoint.old"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    write_tensors(new / "state.safetensors", tensors)
    write_json(new / "counters.json", counters)
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The last whole checkpoint, or None. A kill between the two renames leaves it under its old name."""
    for place in (folder / "checkpoint", folder / "checkpoint.old"):
        if (place / "counters.json").is_file():
            tensors = safetensors.torch.load_file(place / "state.safetensors")
            return tensors, json.loads((place / "counters.json").read_text())
    return None


def drop_checkpoint(folder: Path) -> None:
    """Remove what a finished run does not need."""
    for name in ("checkpoint", "checkpoint.old", "checkpoint.new"):
        shutil.rmtree(folder / name, ignore_errors=True)


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, commit and device of this process."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": str(device),
        "gpu": gpu,
        "commit": commit(),
    }


def commit() -> str | None:
    """The commit of the source tree, with `+` when it has changes; None outside of a repository."""
    here = Path(__file__).resolve().parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        changes = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")
