"""Every numbered notebook, executed with its own parameters: what `picie demo` does."""

import os
import sys
import time
from pathlib import Path

from picie_core import execution
from picie_core.grid import pool
from picie_core.grid.job import Execution, Failure
from picie_core.processes import cores
from picie_core.settings import Settings

OVERVIEW = "04_main_results"
"""Shows the runs that others make, so that it is executed when they are there."""

LONGEST = ("07_representation", "09_comus")
"""Start first, so that in the end no core waits for them."""

AT_A_TIME = 2

SHARING = {"OMP_WAIT_POLICY": "passive"}
"""Where there are more threads than cores, one that waits lets others go on; else a run takes several times as long."""


class Lines(pool.Watch[Path]):
    """A line on standard error for each notebook that starts or ends; the first failure ends all.

    Args:
        notebooks: how many there are.
    """

    def __init__(self, notebooks: int) -> None:
        self._left = notebooks
        self._began: dict[Path, float] = {}

    def started(self, task: Path) -> None:
        """See `Watch`."""
        self._began[task] = time.monotonic()
        self._say(f"{task.stem} ...")

    def ended(self, task: Path, failure: Failure | None) -> None:
        """See `Watch`.

        Raises:
            NotebookError: it failed.
        """
        if failure:
            raise execution.NotebookError(failure.message or f"{task.name}: {failure.reason}")
        self._left -= 1
        left = f"; {self._left} to go" if self._left else ""
        self._say(f"{task.stem}: {time.monotonic() - self._began[task]:.0f} s{left}")

    def stopping(self) -> None:
        """See `Watch`."""
        self._say("stopping: each run keeps what its last epoch made; the same command goes on")

    def _say(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def execute(workers: int | None = None) -> dict[str, Path]:
    """Execute every numbered notebook with its own parameters, some at a time, and say so on standard error.

    Args:
        workers: notebooks at a time; None: two, or one where there is one core.

    Returns:
        The folder with the outputs, by data set.

    Raises:
        NotebookError: one failed; what was running is ended, and another call goes on from its checkpoints.
    """
    of = {file: execution.folder_of(file, {}) for file in execution.numbered()}
    made = {file: folder / "notebooks" / file.name for file, folder in of.items()}
    shown = {file: made.pop(file) for file in list(made) if file.stem == OVERVIEW}
    order = sorted(made, key=lambda file: (file.stem not in LONGEST, file))
    slots = [None] * (workers or min(AT_A_TIME, cores()))
    environment = {} if len(slots) * Settings().threads <= cores() else SHARING | os.environ

    def start(notebook: Path, output: Path, _: str | None) -> Execution:
        return Execution(notebook.stem, {}, output, environment)

    lines = Lines(len(of))
    pool.work({file: made[file] for file in order}, slots, lines, start)
    pool.work(shown, slots, lines, start)
    return {folder.name: folder for folder in of.values()}
