"""One run of a grid as a process of its own, started and watched."""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picie_core import files, places, records
from picie_core.grid import leash
from picie_core.grid.leash import DONE, FAILED, NOTEBOOK
from picie_core.grid.plan import Job

log = logging.getLogger(__name__)

COMMAND = [sys.executable, "-m", leash.__name__]

RUNS_AT_MOST = 3
"""How often a job is started whose process or kernel died. It goes on from its last checkpoint."""

GRACE_SECONDS = 10.0
"""How long a process that is to end may take to end its kernel and itself."""

FAILURE = "failure.json"
"""In a run's folder: why the last attempt failed. Removed when a run is done."""


@dataclass(frozen=True)
class Failure:
    """Why a job is not done.

    Attributes:
        reason: the error's last line, for a list.
        message: all that was said, with the notebook to open.
        final: whether trying again would fail again.
    """

    reason: str
    message: str
    final: bool = True


@dataclass(frozen=True)
class Order:
    """A job as its process needs it, with every place named in full: what carries it out may be another machine, with
    another working directory and environment.

    Attributes:
        job, folder: which, and its run's folder.
        given: what notebook 00 is given: the job's explicit settings, and none of the small run's own.
        places: environment variables that say where runs, prepared data and the workbook lie.
    """

    job: Job
    folder: Path
    given: Mapping[str, Any]
    places: Mapping[str, str]


def order(job: Job, folder: Path) -> Order:
    """The order for a job, from where the grid was started."""
    explicit = {name: getattr(job.settings, name) for name in job.settings.explicit}
    full = {name: str(v.expanduser().resolve()) if isinstance(v, Path) else v for name, v in explicit.items()}
    return Order(job, folder, {"overrides": {}} | full, places.as_environment())


class Process:
    """A job that is going on: `python -m picie_core.grid.leash`.

    Args:
        order: what to run.
        gpu: the number of the graphics card it may see; None: whichever there is.
    """

    def __init__(self, order: Order, gpu: str | None = None) -> None:
        self.folder = order.folder
        (self.folder / FAILURE).unlink(missing_ok=True)  # of an earlier attempt
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the process has ended)
        spec = {"given": order.given, "output": str(self.folder / f"{NOTEBOOK}.ipynb")}
        environment = os.environ | dict(order.places) | {"OMP_NUM_THREADS": str(order.job.settings.threads)}
        environment |= {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
        self._process = subprocess.Popen(
            [*COMMAND, json.dumps(spec)],
            stdin=subprocess.PIPE,  # the leash
            stdout=self._said,
            stderr=self._said,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the grid alone, which then lets go of the leash
        )

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def failure(self) -> Failure | None:
        """Of a process that has ended: why it failed; None: its run is done."""
        status = self._process.wait()
        self.release()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        self._said.close()
        if status == DONE and records.is_done(self.folder):
            return None
        if status == DONE:
            reason = f"executed, but there is no finished run in {self.folder}: is it the same folder here?"
            return Failure(reason, f"{reason}\n{said}".strip())
        if status == FAILED:
            lines = [line for line in said.splitlines() if not line.startswith("Open ")]
            return Failure(lines[-1] if lines else "no message", said)
        ended = f"signal {-status}" if status < 0 else f"exit status {status}"
        last = said.splitlines()[-1] if said else "it said nothing"
        return Failure(f"its process died ({ended}): {last}", said, final=False)

    def release(self) -> None:
        """Let go of the leash: it ends its kernel and itself."""
        if self._process.stdin:
            self._process.stdin.close()

    def stop(self) -> None:
        """End it, and its kernel, and wait until it has. What its last checkpoint holds stays."""
        self.release()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()


def note(folder: Path, failure: Failure) -> None:
    """Leave in a run's folder why it failed, for `--status`."""
    try:
        files.write_json(folder / FAILURE, {"reason": failure.reason, "message": failure.message})
    except OSError as error:  # a full disk: the other jobs, and what is said at the end, are worth more than the note
        log.warning("no note of the failure could be left in %s: %s", folder, error)
