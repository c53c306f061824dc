"""A notebook, or one run of a grid, as a process of its own, started and watched."""

import json
import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picie_core import files, places, records
from picie_core.grid import leash
from picie_core.grid.leash import DONE, FAILED
from picie_core.grid.plan import Job
from picie_core.processes import lock
from picie_core.processes.tether import Tethered

log = logging.getLogger(__name__)

COMMAND = [sys.executable, "-m", leash.__name__]

RUNS_AT_MOST = 3
"""How often a job, or a notebook, is started whose process or kernel died. A run goes on from its last checkpoint."""

NOTEBOOK = "00_run"
"""What makes a run."""

FAILURE = "failure.json"
"""In a run's folder: why the last attempt failed. Removed when a run is done."""


@dataclass(frozen=True)
class Failure:
    """Why a job, or a notebook, is not done.

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


class Execution(Tethered):
    """A notebook that is being executed: `python -m picie_core.grid.leash`.

    Args:
        notebook: its path, or its name, for `execution.find`.
        given: its parameters.
        output: the executed notebook's file.
        environment: of the process, on top of this one's own.
    """

    def __init__(self, notebook: str, given: Mapping[str, Any], output: Path, environment: Mapping[str, str]) -> None:
        self.output = output
        spec = {"notebook": notebook, "given": given, "output": str(output)}
        super().__init__([*COMMAND, json.dumps(spec)], environment)

    def failure(self) -> Failure | None:
        """Of a process that has ended: why it failed; None: the notebook is executed."""
        status, said = self.end()
        if status == DONE:
            return self.missing(said)
        lines = [line for line in said.splitlines() if not line.startswith("Open ")]
        if status == FAILED:
            return Failure(lines[-1] if lines else "no message", said)
        ended = f"signal {-status}" if status < 0 else f"exit status {status}"
        return Failure(f"its process died ({ended}): {lines[-1] if lines else 'it said nothing'}", said, final=False)

    def missing(self, said: str) -> Failure | None:
        """What is not there although the notebook was executed; None: all is."""
        return None

    def give_up(self, failure: Failure) -> None:
        """Called of one that failed and is not started again."""

    def stop(self) -> None:
        """See `Tethered`; the attempt that papermill was writing goes too."""
        super().stop()
        for attempt in self.output.parent.glob(f".{self.output.stem}.*.ipynb"):
            attempt.unlink(missing_ok=True)


class Process(Execution):
    """A job that is going on: notebook 00, executed in its run's folder.

    Args:
        order: what to run.
        gpu: the number of the graphics card it may see; None: whichever there is.
    """

    def __init__(self, order: Order, gpu: str | None = None) -> None:
        self.folder = order.folder
        (self.folder / FAILURE).unlink(missing_ok=True)  # of an earlier attempt
        self.claim = lock.claim(self.folder)
        with suppress(
            OSError
        ):  # another grid has claimed the run (`Timeout`), or the claim, which saves time alone, may not be made
            self.claim.acquire()
        environment = dict(order.places) | {"OMP_NUM_THREADS": str(order.job.settings.threads)}
        environment |= {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
        super().__init__(NOTEBOOK, order.given, self.folder / f"{NOTEBOOK}.ipynb", environment)

    def release(self) -> None:
        """See `Tethered`; and of the claim to the run."""
        super().release()
        self.claim.release()

    def missing(self, said: str) -> Failure | None:
        """See `Execution`: the run."""
        if records.is_done(self.folder):
            return None
        reason = f"executed, but there is no finished run in {self.folder}: is it the same folder here?"
        return Failure(reason, f"{reason}\n{said}".strip())

    def give_up(self, failure: Failure) -> None:
        """See `Execution`: noted in the run's folder, for `--status`."""
        note(self.folder, failure)


def note(folder: Path, failure: Failure) -> None:
    """Leave in a run's folder why it failed, for `--status`."""
    try:
        files.write_json(folder / FAILURE, {"reason": failure.reason, "message": failure.message})
    except OSError as error:  # a full disk: the other jobs, and what is said at the end, are worth more than the note
        log.warning("no note of the failure could be left in %s: %s", folder, error)
