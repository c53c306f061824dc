"""A finished run, loaded for whoever asks for it."""

import json
import logging
import os
from pathlib import Path

from picie_core import files, provenance, records
from picie_core.classes import ClassTable
from picie_core.processes import ranks
from picie_core.records import Run
from picie_core.settings import Settings

log = logging.getLogger(__name__)

ASKED = ("data_root", "train_images", "val_images", "on_bad_image")
"""Settings that say which images a run sees. What counts for its key is the images: others may ask for the same run."""


def load(folder: Path, settings: Settings, classes: ClassTable | None) -> Run:
    """The finished run in `folder`, and what of its record follows from how it is asked for (see `adopt`).

    Args:
        settings: those asked for, of which it is the run.
        classes: of the data now. Ids are part of a run's key; names, kinds and colours are not, and the record takes
            them over.

    Raises:
        FileNotFoundError, ValueError, EOFError: see `records.load`.
    """
    adopt(folder, settings)
    file, meant = folder / "result.json", classes.to_dict() if classes else None
    run = records.load(folder)
    if meant and run.result["classes"] != json.loads(json.dumps(meant)):
        made = file.stat()
        _write(file, json.dumps(dict(run.result) | {"classes": meant}, indent=1) + "\n")
        os.utime(file, ns=(made.st_atime_ns, made.st_mtime_ns))  # tables go by the time at which it was made
        run = records.load(folder)
    made_by, now = run.result.get("commit"), provenance.commit()
    note = "" if made_by == now else f", made by commit {made_by or 'unknown'} (now {now or 'unknown'})"
    log.log(logging.WARNING if note else logging.INFO, "loaded the finished run %s%s", folder, note)
    return run


def adopt(folder: Path, settings: Settings) -> None:
    """Let a finished run go by the settings that it is asked for.

    A folder of images that was moved, or a `train_images` above their number, leaves a run's images and key as they
    are; `records.digest`, by which tables look for it, and the folder to read images from are no longer the same.
    """
    file, asked = folder / "settings.yaml", in_full(settings)
    try:
        made = Settings.from_yaml(file.read_text())
    except (OSError, ValueError):
        return  # `records.load` says what is wrong with it
    if any(getattr(asked, name) != getattr(made, name) for name in ASKED):
        _write(file, asked.to_yaml())


def in_full(settings: Settings) -> Settings:
    """The settings with `data_root` from the root of the file system, to be read from anywhere."""
    root = settings.data_root
    return settings.replace(data_root=root.expanduser().resolve()) if root else settings


def _write(file: Path, text: str) -> None:
    if ranks.number():
        return
    try:
        files.write(file, text)
    except OSError as error:  # runs of somebody else
        log.warning("%s stays as it was, so that tables may not show this run: %s", file, error)
