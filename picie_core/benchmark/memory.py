"""The memory that a run takes, in a process of its own."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from picie_core import training
from picie_core.errors import WorkbookError
from picie_core.methods import METHODS
from picie_core.settings import Settings, SettingsError


class MeasureError(WorkbookError, RuntimeError):
    """Something that could not be measured; the message says why."""


def measure(settings: Settings, quick: bool = False) -> dict[str, Any]:
    """Peak resident memory of one epoch and the final clustering, by what the views may keep.

    Args:
        settings: of the run.
        quick: with the settings' `views_memory` alone.

    Returns:
        `peak`: MB by MB that views may keep; `images`, `image_size`; `prepared`: MB of the training split on disk,
        which do not count (on Linux: see `shards`).

    Raises:
        SettingsError: the method has no epochs.
        MeasureError: the run failed.
    """
    if not METHODS[settings.method].learns:
        raise SettingsError(f"method = {settings.method!r} has no epochs whose memory could be measured")
    peaks = {}
    for views in (settings.views_memory,) if quick else (settings.views_memory, 0):
        with tempfile.TemporaryDirectory() as root:
            run = settings.replace(runs_root=Path(root), views_memory=views, epochs=1)
            file = Path(root) / "settings.yaml"
            file.write_text(run.to_yaml(), encoding="utf-8")
            command = [sys.executable, "-m", "picie_core", "train", str(file)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise MeasureError(f"the run whose memory was to be measured failed: {done.stderr.strip()[-500:]}")
            made = training.finished(run)
            peaks[str(views)] = max(made.progress["peak_memory_mb"].tolist())
    train, _ = training.splits(settings)
    size = {"images": len(train), "image_size": settings.image_size}
    return {"peak": peaks} | size | {"prepared": train.images.nbytes / 2**20}


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The measurements as lines of text."""
    side = result["image_size"]
    yield f"{'training split on disk':28} {result['prepared']:8.0f} MB   {result['images']} images at {side} x {side}"
    for views, peak in result["peak"].items():
        yield f"{f'peak, {views} MB of views kept':28} {peak:8.0f} MB"
