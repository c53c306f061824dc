"""The runs that a report knows: one entry each, with what it scored and how it is made again."""

import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pandas as pd

from picie_core import places
from picie_core.report.outputs import RUNS

if TYPE_CHECKING:
    from picie_core.records import Run

log = logging.getLogger(__name__)

COLUMNS = {
    "dataset": "data set", "method": "method", "recipe": "recipe", "seed": "seed", "scored": "scored split",
    "accuracy": "accuracy", "mIoU": "mIoU", "seconds": "seconds", "commit": "commit", "digest": "digest",
    "versions": "versions", "device": "device", "folder": "run folder", "command": "made again by",
}  # fmt: skip
"""Of `lists.every_run` -> what the page calls it."""

EVIDENCE = ("settings.yaml", "result.json", "progress.csv", "environment.json", "*.ipynb")
"""What is worth opening in a run folder."""

Key = tuple[str, int]
"""What tables tell a run by: the digest of its settings, and its seed (see `provenance`)."""


@dataclass(frozen=True)
class Entry:
    """A run as the page shows it.

    Attributes:
        values: of `COLUMNS`, as text; `not recorded` where a row does not say.
        files: name -> address, relative to the page, of what lies in its folder; empty where that is elsewhere.
    """

    values: Mapping[str, str]
    files: Mapping[str, str]

    @property
    def name(self) -> str:
        """What links to it say."""
        return f"{self.values['method']}, seed {self.values['seed']}"


def anchor(key: Key) -> str:
    """The `id` of a run on the page."""
    return f"run-{quote(key[0], safe='')}-{key[1]}"


def local(dataset: str, wanted: Collection[Key], page: Path) -> dict[Key, Entry]:
    """The finished runs below the runs' root that are of a data set, or that a table names.

    Of runs that differ in nothing but their key the last counts, as in tables; the folders of the others are named.

    Args:
        dataset: by `places.data_name`.
        wanted: the runs that tables name.
        page: the folder of the page, from which files are linked.
    """
    from picie_core import records
    from picie_core.tables import lists  # they bring torch, which the report of committed outputs does without

    every: dict[Key, list[Run]] = {}
    for run in records.finished(places.runs_root()):
        every.setdefault((records.digest(run.settings), run.settings.seed), []).append(run)
    chosen = {key: runs for key, runs in every.items() if runs[-1].data_name == dataset or key in wanted}
    rows = _rows(lists.every_run(runs[-1] for runs in chosen.values()).astype({"digest": str}))
    found = {}
    for key, values in rows.items():
        *earlier, last = (run.folder for run in chosen[key])
        if earlier:  # a table that was made before the last run is of one of these
            names = ", ".join(folder.name for folder in earlier)
            values["folder"] = f"{last.name}; earlier, with other threads, code or data: {names}"
        found[key] = Entry(values, _evidence(last, page))
    return found


def committed() -> tuple[dict[Key, Entry], dict[str, str]]:
    """The runs whose scores are committed: `reports/tables/<dataset>-runs.csv` first, then what it does not have.

    Returns:
        The runs, and the lists that cannot be read: file name -> why. They are named in a warning too.
    """
    files = sorted((places.reports_folder() / "tables").glob(f"*-{RUNS}"), key=lambda file: file.name.count("-"))
    found: dict[Key, Entry] = {}
    faults: dict[str, str] = {}
    for file in files:
        try:
            rows = _rows(pd.read_csv(file, dtype=str, keep_default_na=False))
        except (OSError, ValueError) as error:  # ValueError: pandas' and UTF-8's too
            log.warning("left out %s, which is no list of runs: %s", file, error)
            faults[file.name] = str(error)
            continue
        for key, values in rows.items():
            found.setdefault(key, Entry(values, {}))
    return found, faults


def _rows(table: pd.DataFrame) -> dict[Key, dict[str, str]]:
    if missing := {"digest", "seed"} - set(table):
        raise ValueError(f"it has no column {', '.join(sorted(missing))}")
    records_ = table.reindex(columns=list(COLUMNS)).astype(object).where(lambda cells: cells.notna(), "")
    rows = [{name: str(value) or "not recorded" for name, value in row.items()} for row in records_.to_dict("records")]
    return {(row["digest"], int(row["seed"])): row for row in rows}


def _evidence(folder: Path, page: Path) -> dict[str, str]:
    files = [file for pattern in EVIDENCE for file in sorted(folder.glob(pattern)) if not file.name.startswith(".")]
    return {file.name: address(file, page) for file in files}


def address(file: Path, page: Path) -> str:
    """A file's address seen from the folder of a page, to be put into a link."""
    try:
        return quote(Path(os.path.relpath(file, page)).as_posix())
    except ValueError:  # on another drive
        return file.resolve().as_uri()
