"""What a person sees of a grid that runs: a bar in a terminal, lines in a log, and what becomes of it at Ctrl-C."""

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tqdm import tqdm

from picie_core.grid import ledger
from picie_core.grid.job import Failure
from picie_core.grid.plan import Job
from picie_core.grid.pool import Watch
from picie_core.processes import lock

BAR_SECONDS = 2.0
LOG_SECONDS = 60.0
"""How often what is running is told anew, in a terminal and in a log."""


class Display(Watch[Job]):
    """Tells on standard error what runs, with how many of its epochs are done, what is done, and what failed.

    Args:
        folders: every job of the grid, and its run's folder.
        done: how many of them are done.

    Attributes:
        failed: the jobs that failed, and why.
    """

    def __init__(self, folders: Mapping[Job, Path], done: int) -> None:
        self.failed: dict[Job, Failure] = {}
        self._folders, self._done = folders, done
        self._running: dict[Job, None] = {}  # in the order in which they were started
        self._log = not sys.stderr.isatty()
        self._bar = tqdm(
            total=len(folders), initial=done, desc="grid", unit="run", dynamic_ncols=True, disable=self._log
        )
        self._telling = threading.Lock()  # or what has ended is told by the thread, which looked before
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_telling, daemon=True)

    def started(self, task: Job) -> None:
        """See `Watch`."""
        with self._telling:
            self._running[task] = None
            if lock.held(self._folders[task]):
                self._say(f"waiting for another process: {task}")
            elif self._log:
                self._say(f"started: {task}")
            if not self._log:
                self._show()

    def ended(self, task: Job, failure: Failure | None) -> None:
        """See `Watch`."""
        with self._telling:
            self._running.pop(task, None)
            if failure:
                self.failed[task] = failure
                self._say(f"failed: {task}: {failure.reason}")
            else:
                self._done += 1
                self._bar.update()
                if self._log:
                    self._say(f"done: {task} ({self._done} of {len(self._folders)} runs)")
            if not self._log:
                self._show()

    def stopping(self) -> None:
        """See `Watch`."""
        self._say("stopping: each run keeps what its last epoch made; the same command goes on")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._bar.close()

    def _keep_telling(self) -> None:
        while not self._over.wait(LOG_SECONDS if self._log else BAR_SECONDS):
            with self._telling:
                self._show()

    def _show(self) -> None:
        now = "; ".join(f"{job}{self._epochs(job)}" for job in self._running)
        if not self._log:
            self._bar.set_postfix_str(now)
        elif now:
            self._say(f"running: {now}")

    def _epochs(self, job: Job) -> str:
        rows = len(ledger.progress_so_far(self._folders[job]))
        return f", {rows} of {job.settings.own_epochs} epochs" if rows else ""

    def _say(self, line: str) -> None:
        self._bar.write(line, file=sys.stderr)
