"""A grid's jobs on a cluster, by dask.distributed: a scheduler that is there, or one on Slurm (extra `cluster`)."""

import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import yaml

from picie_core.grid.job import RUNS_AT_MOST, Failure, Order, Process, note, order
from picie_core.grid.plan import GridError, Job
from picie_core.grid.pool import POLL_SECONDS, Watch
from picie_core.settings import document

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

CONNECT_SECONDS = 15.0

LOST_AT_MOST = 100
"""How many workers a job may lose, as it runs or waits on them, before dask gives it up, on a scheduler of ours."""


@contextmanager
def connect(scheduler: str) -> Iterator["Client"]:
    """A client of a scheduler that is there.

    Raises:
        GridError: nobody answers at the address, or the extra `cluster` is not installed.
    """
    distributed = _distributed()
    try:
        client = distributed.Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise GridError(
            f"no dask scheduler answers at {scheduler!r} ({error}). Start one with `dask scheduler` and workers with "
            "`dask worker ADDRESS`, and give the address it prints, such as tcp://head:8786"
        ) from error
    with client:
        yield client


@contextmanager
def slurm(file: Path) -> Iterator["Client"]:
    """A client of workers that Slurm starts, as a YAML file says: the arguments of dask_jobqueue.SLURMCluster and
    `jobs`, the number of Slurm jobs. Each is one worker, whose `cores` are its threads.

    A Slurm job that ends, as by its walltime, is followed by another, about 15 seconds later. So a run may last for
    many walltimes, of which each must be long enough for an epoch: it goes on from the last. Since every worker that
    is lost counts against all the jobs that it had, begun or not, dask's own limit of 3 would fail healthy ones, and
    there is `LOST_AT_MOST` (in the file: `scheduler_options: {allowed_failures: N}`), which still ends what brings
    down its workers. A run whose own process dies is given up sooner, see `perform`. A Slurm job that ended before its
    worker came, or that sbatch refused, is not followed by another: dask logs it and waits.

    Raises:
        GridError: the file is not right, this machine has no sbatch, or the extra `cluster` is not installed.
    """
    distributed = _distributed()
    try:
        import dask.config
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError as error:
        raise GridError("grids on Slurm need dask-jobqueue: pip install -e '.[cluster]'") from error
    try:
        given = document.load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise GridError(f"{file} is not YAML: {error}") from error
    if not isinstance(given, Mapping):
        raise GridError(
            f"{file}: expected arguments of dask_jobqueue.SLURMCluster: cores, memory, queue, walltime, ..."
        )
    arguments: dict[str, Any] = {"processes": 1} | {**given}
    if not isinstance(jobs := arguments.pop("jobs", 1), int) or jobs < 1:
        raise GridError(f"{file}: jobs = {jobs!r}: expected how many Slurm jobs are to work, 1 or more")
    if arguments["processes"] != 1:  # https://github.com/dask/distributed/issues/9102
        raise GridError(
            f"{file}: processes = {arguments['processes']}: expected 1, for dask does not replace workers of several "
            "when their Slurm job ends: leave it out, and give cores, as many as a Slurm job is to run jobs at a time"
        )
    if not isinstance(walltime := arguments.get("walltime"), str | None):
        raise GridError(
            f'{file}: walltime = {walltime!r}: expected a text, such as walltime: "12:00:00"; without the quotes YAML '
            "reads a number"
        )
    if not shutil.which("sbatch"):
        raise GridError("this machine has no sbatch: start the grid where `sbatch` submits jobs to Slurm")
    try:
        with dask.config.set({"distributed.scheduler.allowed-failures": LOST_AT_MOST}):
            cluster = SLURMCluster(**arguments)
    except (TypeError, ValueError) as error:
        raise GridError(f"{file}: SLURMCluster refuses it: {error}") from error
    with cluster, distributed.Client(cluster) as client:
        cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)  # not `scale`, which replaces none that is lost
        yield client


def work(client: "Client", jobs: Mapping[Job, Path], watch: Watch[Job]) -> None:
    """Run the jobs on the client's workers until all are over.

    A worker's thread runs one job at a time; give workers as many threads as they are to run jobs, and one graphics
    card each (`CUDA_VISIBLE_DEVICES`). The workers see the same files under the same names as this machine. A job whose
    worker died is run again elsewhere, as often as the scheduler allows (`allowed-failures`: 3, or see `slurm`). When
    this function is left early, the jobs that run are ended; when this process is killed, they run to their end, and
    are found done by the next call.
    """
    from distributed import Event, as_completed

    if not client.scheduler_info()["workers"]:
        log.warning("the scheduler has no workers yet: waiting for some")
    stop = Event(f"picie-grid-{uuid4().hex}", client=client)
    names = {str(folder): job for job, folder in jobs.items()}
    client.subscribe_topic(stop.name, lambda event: watch.started(names[event[1]]))
    futures = {}
    for job, folder in jobs.items():
        key = f"{folder.name}-{stop.name[-8:]}"
        futures[client.submit(perform, order(job, folder), stop.name, key=key, pure=False)] = job
    try:
        for future in as_completed(list(futures)):
            job = futures[future]  # type: ignore[index]  (as_completed is not typed)
            error = future.exception()
            failure = future.result() if error is None else Failure(f"{type(error).__name__}: {error}", str(error))
            if failure:
                note(jobs[job], failure)
            watch.ended(job, failure)
    finally:
        client.unsubscribe_topic(stop.name)
        if left := [future for future in futures if not future.done()]:
            watch.stopping()
            stop.set()
            client.cancel(left)


def perform(order: Order, stop: str) -> Failure | None:
    """On a worker: run a job; why it failed, or None. A process that dies is started again; it ends when `stop`, the
    name of a dask event, is set. Each start is told under the same name as a topic."""
    from distributed import Event, get_worker

    event = Event(stop)
    for _ in range(RUNS_AT_MOST):
        process = Process(order)
        get_worker().log_event(stop, str(order.folder))
        try:
            asked = time.monotonic()
            while process.running():
                time.sleep(POLL_SECONDS)
                if time.monotonic() - asked > 2:
                    if event.is_set():
                        return Failure("the grid was stopped", "the grid was stopped")
                    asked = time.monotonic()
            failure = process.failure()
        finally:
            process.stop()
        if failure is None or failure.final:
            return failure
    return failure


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise GridError(
            "grids on a cluster need dask.distributed: pip install -e '.[cluster]' (or dask, distributed and "
            "dask-jobqueue)"
        ) from error
    return distributed
