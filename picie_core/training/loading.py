"""A finished run, loaded for whoever asks for it."""

import dataclasses
import json
import logging
import os
from pathlib import Path

import yaml

from picie_core import files, provenance, records
from picie_core.classes import ClassTable
from picie_core.processes import ranks
from picie_core.records import Run
from picie_core.settings import Settings

log = logging.getLogger(__name__)

ASKED = {
    "data_root", "train_images", "val_images", "on_bad_image", "comus_saliency_place", "comus_dino_place",
}  # fmt: skip
"""Settings that say where a run finds what it sees. Its key has what lies there, so that others may ask for it."""


def load(folder: Path, settings: Settings, classes: ClassTable | None) -> Run:
    """The finished run in `folder`, and what of its record follows from how it is asked for (see `adopt`).

    Args:
        settings: those asked for, of which it is the run.
        classes: of the data now. Ids are part of a run's key; names, kinds and colours are not, and the record takes
            them over.

    Raises:
        FileNotFoundError, UnreadableError: see `records.load`.
    """
    adopt(folder, settings)
    run = records.load(folder)
    meant = json.loads(json.dumps(classes.to_dict())) if classes else None
    if meant and run.result["classes"] != meant:
        run = dataclasses.replace(run, result={**run.result, "classes": meant})
        _write(folder / "result.json", json.dumps(run.result, indent=1) + "\n", "its classes keep their older names")
    made_by, now = run.result.get("commit"), provenance.commit()
    note = "" if made_by == now else f", made by commit {made_by or 'unknown'} (now {now or 'unknown'})"
    log.log(logging.WARNING if note else logging.INFO, "loaded the finished run %s%s", folder, note)
    return run


def adopt(folder: Path, settings: Settings) -> None:
    """Let a finished run go by the settings that it is asked for.

    A folder of images that was moved, or a `train_images` above their number, leaves a run's images and key as they
    are; `records.digest`, by which tables look for it, and the place to read from are no longer the same. Nothing is
    written where the record cannot be read (`records.load` says why), nor where only others may write.
    """
    file, asked = folder / "settings.yaml", yaml.safe_load(in_full(settings).to_yaml())
    try:
        text = file.read_text()
        before = records.digest(Settings.from_yaml(text))
    except (OSError, ValueError):
        return
    made = yaml.safe_load(text)
    changed = [name for name in ASKED if made["settings"].get(name) != asked["settings"][name]]
    if changed:
        for part in ("settings", "sources"):
            made[part] |= {name: asked[part][name] for name in changed}
        missed = "tables do not show it for these settings" if records.digest(settings) != before else ""
        _write(file, yaml.safe_dump(made, sort_keys=False), missed)


def in_full(settings: Settings) -> Settings:
    """The settings with the places of `ASKED` from the root of the file system, to be read from anywhere."""
    places = {name: place for name in ASKED if isinstance(place := getattr(settings, name), Path)}
    return settings.replace(**{name: place.expanduser().resolve() for name, place in places.items()})


def _write(file: Path, text: str, missed: str) -> None:
    """Write a part of a finished run's record, with the time at which it was made: tables show the latest.

    Args:
        missed: what is so where only others may write there; empty: nothing that matters.
    """
    if ranks.number():
        return
    made = file.stat()
    try:
        with files.whole(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
            os.utime(temporary, ns=(made.st_atime_ns, made.st_mtime_ns))
    except OSError as error:
        if missed:
            log.warning("%s cannot be written (%s): %s", file, error.strerror, missed)
