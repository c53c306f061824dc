"""What has become of a grid's jobs, read off their run folders: no other book could disagree with them."""

import json
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from picie_core import places, records
from picie_core.errors import UnreadableError
from picie_core.grid.job import FAILURE, NOTEBOOK
from picie_core.grid.plan import Grid, Job
from picie_core.processes import lock
from picie_core.records import parts
from picie_core.settings import Settings, text
from picie_core.settings.recipes import of_method
from picie_core.training import checkpoints, run_folder, splits

STATES = ("done", "running", "failed", "waiting")


@dataclass(frozen=True)
class Entry:
    """A job and its state.

    Attributes:
        job, folder: which, and where its run lies.
        state: `done`: its run is finished; `running`: a process holds the run's lock; `failed`: the last attempt
            failed, or what it left cannot be read; `waiting`: neither.
        share: of its epochs, how many are done: 0 to 1.
        seconds: that the run took, or has taken so far.
        reason: why it failed.
    """

    job: Job
    folder: Path
    state: str
    share: float
    seconds: float
    reason: str = ""

    @property
    def evidence(self) -> Path:
        """Of a failed job, what to open: the executed notebook, or all that was said where none was kept; the folder
        where neither was."""
        files = self.folder / f"{NOTEBOOK}.failed.ipynb", self.folder / FAILURE
        return next((file for file in files if file.is_file()), self.folder)


def entries(folders: Mapping[Job, Path]) -> list[Entry]:
    """The state of every job, in their order."""
    return [_entry(job, folder) for job, folder in folders.items()]


def missing(folders: Mapping[Job, Path]) -> dict[Job, Path]:
    """The jobs that are not done, in the order in which they are to be started: last those that somebody is running,
    and before them those that start from a run that an earlier job is to make, for which they would wait."""
    left = {job: folder for job, folder in folders.items() if _entry(job, folder).state != "done"}
    first = {job: {f for f in runs if not records.is_done(f)} for job, runs in before(left).items()}
    made = set(left.values())
    waits = {}
    for job in left:
        waits[job] = bool(made & first.get(job, set()))
        made |= first.get(job, set())
    return dict(sorted(left.items(), key=lambda item: (lock.held(item[1]), waits[item[0]])))


def before(jobs: Iterable[Job]) -> dict[Job, dict[Path, Job]]:
    """Of those jobs that start from other runs: those runs, the nearest first, by folder, as jobs.

    Args:
        jobs: whose data are prepared (`plan.prepare`).
    """
    found: dict[Job, dict[Path, Job]] = {}
    for job in jobs:
        for settings in job.settings.earlier:
            folder = run_folder(settings, *splits(settings))
            found.setdefault(job, {})[folder] = Job(f"what {job.row} starts from", settings)
    return found


def seconds_left(found: Iterable[Entry], workers: int) -> float | None:
    """About how long the jobs that are not done will take so many workers, with the runs that they start from, from
    those of the same method that are done (or have begun); None: nothing is known yet of some method."""
    jobs = {entry.folder: entry for entry in found}
    first = before(entry.job for entry in jobs.values())
    every = {folder: _entry(job, folder) for runs in first.values() for folder, job in runs.items()} | jobs
    waiting = [entry for entry in jobs.values() if entry.state != "done"]
    needed = {entry.folder for entry in waiting} | {folder for e in waiting for folder in first.get(e.job, ())}
    known: dict[str, list[float]] = {}
    for entry in every.values():
        if entry.share > 0:
            known.setdefault(records.method_name(entry.job.settings), []).append(entry.seconds / entry.share)
    left = 0.0
    for folder, entry in every.items():
        if folder in needed and entry.state != "done":
            whole = known.get(records.method_name(entry.job.settings))
            if whole is None:
                return None
            left += (1 - entry.share) * sum(whole) / len(whole)
    return left / max(1, min(workers, len(waiting)))


def report(found: Iterable[Entry], workers: int) -> str:
    """For `--status`: every job that is not done, the counts, and the time left."""
    found = list(found)
    lines = []
    for entry in found:
        if entry.state == "failed":
            lines.append(f"failed   {entry.job}: {entry.reason}\n         open {entry.evidence}")
        elif entry.state == "running":
            lines.append(f"running  {entry.job}: {entry.share:.0%} of its epochs, {entry.seconds:.0f} s")
        elif entry.state == "waiting":
            lines.append(f"waiting  {entry.job}" + (f": {entry.share:.0%} done before" if entry.share else ""))
    counts = Counter(entry.state for entry in found)
    lines.append(", ".join(f"{counts[state]} {state}" for state in STATES))
    left = seconds_left(found, workers)
    if counts["done"] < len(found):
        with_ = "1 worker" if workers == 1 else f"{workers} workers"
        lines.append(f"time left: {f'about {duration(left)}' if left is not None else 'not known yet'} with {with_}")
    return "\n".join(lines)


def preview(grid: Grid, found: Iterable[Entry]) -> str:
    """For `--dry-run`: what the grid is about, then every job with its state, its explicit settings, its run's folder,
    and, with its first seed, what its row is about."""
    about = {row.name: row.about for row in grid.rows}
    lines = [*_wrapped(grid.about, "")]
    for entry in found:
        values = entry.job.settings.values()
        said = " ".join(f"{name}={values[name]}" for name in entry.job.settings.explicit)
        lines += [f"{entry.state:8} {entry.job}: {said}", *_wrapped(about.pop(entry.job.row, ""), f"{'':9}")]
        lines.append(f"{'':9}{entry.folder}")
    return "\n".join(lines)


def replaced(grid: Grid, given: Mapping[str, Any]) -> str:
    """What settings given for all rows take the place of where a row's method has its own value, in words; empty where
    they take no such place."""
    lines = []
    for name, value in given.items():
        rows = []
        for row in grid.rows:
            settings = Settings(**row.settings)
            own = of_method(settings.method, settings.dataset).get(name, value)
            rows += [f"{row.name!r} ({text(own)})"] if own != value else []
        if rows:
            lines.append(f"-p {name}={text(value)} takes the place of the method's own value in {', '.join(rows)}")
    return "\n".join(lines)


def halt(found: Iterable[Entry]) -> str:
    """What to say when a grid was stopped: how many runs are done, how many part-way."""
    found = list(found)
    part = sum(entry.state != "done" and entry.share > 0 for entry in found)
    done = sum(entry.state == "done" for entry in found)
    return f"stopped: {done} of {len(found)} runs are done, {part} part-way; the same command goes on"


def query(folders: Mapping[Job, Path]) -> str:
    """The command that shows what jobs scored: `picie results` with the data set, the recipe, and whatever else was
    given that all of them share, but for their seeds and the places of this machine; with `PICIE_RUNS` where all
    their run folders lie elsewhere than it says."""
    first, *others = [job.settings for job in folders]
    names = {"dataset", "recipe", *first.explicit} - records.MACHINE - {"seed"}
    values = {name: getattr(first, name) for name in Settings.model_fields if name in names}
    shared = {name: v for name, v in values.items() if all(getattr(other, name) == v for other in others)}
    command = shlex.join(["picie", "results", *(w for n, v in shared.items() for w in ("-p", f"{n}={text(v)}"))])
    root, *more = {folder.parent.resolve() for folder in folders.values()}
    elsewhere = not more and root != places.runs_root().resolve()
    return f"PICIE_RUNS={shlex.quote(str(root))} {command}" if elsewhere else command


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _wrapped(about: str, indent: str) -> list[str]:
    return textwrap.wrap(about, 110, initial_indent=indent, subsequent_indent=indent)


def progress_so_far(folder: Path) -> pd.DataFrame:
    """`parts.read_progress` of a run that is not done; empty where it cannot be read, until its next epoch, and where
    there is no checkpoint to go on from."""
    if checkpoints.find(folder) is None:
        return pd.DataFrame()
    try:
        return parts.read_progress(folder).astype({"seconds": float})
    except (ValueError, KeyError):  # KeyError: it has no seconds
        return pd.DataFrame()


def _entry(job: Job, folder: Path) -> Entry:
    if records.is_done(folder):
        try:
            return Entry(job, folder, "done", 1.0, records.load(folder).result["seconds"])
        except UnreadableError as error:
            return Entry(job, folder, "failed", 0.0, 0.0, str(error))
    progress = progress_so_far(folder)
    share = min(len(progress) / job.settings.own_epochs, 1) if job.settings.own_epochs else 0.0
    seconds = sum(progress["seconds"].tolist()) if len(progress) else 0.0
    if folder.is_dir() and lock.held(folder):
        return Entry(job, folder, "running", share, seconds)
    if (folder / FAILURE).is_file():
        return Entry(job, folder, "failed", share, seconds, _reason(folder / FAILURE))
    return Entry(job, folder, "waiting", share, seconds)


def _reason(failure: Path) -> str:
    try:
        return json.loads(failure.read_text())["reason"]
    except (ValueError, KeyError, TypeError) as error:
        return f"{failure} cannot be read: {error}"
