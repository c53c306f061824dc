"""Every numbered notebook, executed with its own parameters: what `picie demo` does."""

import os
import sys
import time
from pathlib import Path

from picie_core import execution, places
from picie_core.grid import pool
from picie_core.grid.job import Execution, Failure
from picie_core.processes import cores

OVERVIEW = "04_main_results"
"""Shows the runs that others make, so that it is executed when they are there."""

MAIN = "03_picie"
"""Whose runs are shown in the end."""

LONGEST = ("07_representation", "09_comus")
"""Start first, so that in the end no core waits for them."""

AT_A_TIME = 2

SHARING = {"OMP_WAIT_POLICY": "passive"}
"""A thread that waits lets others go on. Else a run beside another, on too few cores for both, takes several times as
long."""

SIGN_OF_LIFE = 30.0
"""Seconds after which what runs is told anew."""


class Lines(pool.Watch[Path]):
    """A line on standard error for each notebook that starts or ends, and for those that run now and then; the first
    failure ends all.

    Args:
        notebooks: how many there are.
    """

    def __init__(self, notebooks: int) -> None:
        self._all, self._done = notebooks, 0
        self._began: dict[Path, float] = {}
        self._told = time.monotonic()

    def started(self, task: Path) -> None:
        """See `Watch`."""
        self._say(f"{task.stem}: its process died; once more" if task in self._began else f"{task.stem} ...")
        self._began[task] = time.monotonic()

    def ended(self, task: Path, failure: Failure | None) -> None:
        """See `Watch`.

        Raises:
            NotebookError: it failed.
        """
        if failure:
            self._say(f"{task.stem} failed: {failure.reason}")
            said = failure.message if failure.final else f"{failure.reason}\nWith less memory: picie demo --workers 1"
            raise execution.NotebookError(f"{task.name}: {said}")
        self._done += 1
        self._say(f"{task.stem}: {self._seconds(task)}, {self._done} of {self._all} done")
        del self._began[task]

    def waiting(self) -> None:
        """See `Watch`."""
        if time.monotonic() - self._told > SIGN_OF_LIFE:
            self._say("running: " + ", ".join(f"{task.stem} ({self._seconds(task)})" for task in self._began))

    def stopping(self) -> None:
        """See `Watch`."""
        self._say("stopping: each run keeps what its last epoch made; the same command goes on")

    def _seconds(self, task: Path) -> str:
        return f"{time.monotonic() - self._began[task]:.0f} s"

    def _say(self, line: str) -> None:
        self._told = time.monotonic()
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def order() -> list[Path]:
    """Every numbered notebook, in the order in which they are started beside each other."""
    return sorted(execution.numbered(), key=lambda file: (file.stem == OVERVIEW, file.stem not in LONGEST, file))


def execute(workers: int | None = None) -> dict[str, Path]:
    """Execute every numbered notebook with its own parameters, some at a time, and say so on standard error.

    Args:
        workers: notebooks at a time; None: two, or one where there is one core.

    Returns:
        The folder with the outputs, by data set.

    Raises:
        NotebookError: one failed; what was running is ended, and another call goes on from its checkpoints.
        OSError: a process cannot be started.
    """
    of = {file: execution.folder_of(file, {}) for file in order()}
    made = {file: folder / "notebooks" / file.name for file, folder in of.items()}
    shown = {file: made.pop(file) for file in list(made) if file.stem == OVERVIEW}
    slots = [None] * (workers or min(AT_A_TIME, cores()))
    environment = {name: v for name, v in SHARING.items() if len(slots) > 1 and name not in os.environ}

    def start(notebook: Path, output: Path, _: str | None) -> Execution:
        return Execution(str(notebook), {}, output, environment)

    lines = Lines(len(of))
    sys.stderr.write(
        f"{len(of)} notebooks, {len(slots)} at a time, the longest first: 6 to 22 minutes on two cores\n"
        f"what they make: {places.reports_folder() / 'local'}\n"
    )
    pool.work(made, slots, lines, start)
    pool.work(shown, slots, lines, start)
    return {folder.name: folder for folder in of.values()}
