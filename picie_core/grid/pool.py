"""A grid's jobs on this machine: so many processes at a time."""

import os
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from picie_core.grid.job import RUNS_AT_MOST, Failure, Process, note, order
from picie_core.grid.plan import GridError, Job
from picie_core.processes import cores

POLL_SECONDS = 0.2


class Watch:
    """Is told what becomes of jobs; this one does nothing about it."""

    def started(self, job: Job) -> None:
        """Its process is there; again, when it died and is started anew."""

    def ended(self, job: Job, failure: Failure | None) -> None:
        """A job is over: why it failed, or None when it is done."""

    def stopping(self) -> None:
        """What runs is about to be ended, which takes seconds, for Ctrl-C or an error."""


def slots(jobs: Collection[Job], workers: int | None, gpus: str | None) -> list[str | None]:
    """A slot for each worker: the graphics card it uses, or None.

    Without a number of workers: one for each card, or one where jobs have several devices, else as many as the cores
    allow at the jobs' `threads`. (How many there are changes no result: `threads` is a setting of the run.)

    Args:
        jobs: of the grid.
        workers: how many.
        gpus: numbers of graphics cards, `0,1`.

    Raises:
        GridError: cards that are no numbers, or jobs of several devices.
    """
    several = max((job.settings.devices for job in jobs), default=1)
    if several > 1 and gpus is not None:
        raise GridError(f"--gpus {gpus}: each job gets one card, and devices = {several}; leave --gpus out")
    cards = _cards() if several == 1 and all(job.settings.device in ("auto", "cuda") for job in jobs) else []
    if gpus is not None:
        cards = [card.strip() for card in gpus.split(",")]
        if not all(card.isdecimal() for card in cards):
            raise GridError(f"--gpus {gpus}: expected the numbers of graphics cards, such as 0,1")
    if cards:
        return [cards[i % len(cards)] for i in range(workers or len(cards))]
    threads = max((job.settings.threads for job in jobs), default=1)
    return [None] * (workers or (1 if several > 1 else max(1, cores() // threads)))


def _cards() -> list[str]:
    """The graphics cards that this process sees, by the names that CUDA_VISIBLE_DEVICES has for them."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    numbers = range(torch.cuda.device_count())
    return [str(n) for n in numbers] if visible is None else [visible.split(",")[n].strip() for n in numbers]


def crowded(jobs: Collection[Job], slots: Sequence[str | None]) -> str:
    """What to say where more threads would run than there are cores, which slows every run several times; else ""."""
    threads, have = max((job.settings.threads for job in jobs), default=1), cores()
    busy = min(len(slots), len(jobs))
    if any(slots) or busy < 2 or threads * busy <= have:
        return ""
    fits = have // busy
    return (
        f"{busy} workers with {threads} threads each on {have} cores get into each other's way: "
        f"give --workers {max(1, have // threads)}"
        + (f", or -p threads={fits}, which is a setting of the runs" if fits else "")
    )


def work(jobs: Mapping[Job, Path], slots: Sequence[str | None], watch: Watch) -> None:
    """Run the jobs, one in each slot at a time, until all are over.

    A job whose process died is started again, at most `RUNS_AT_MOST` times in all; a job that failed is not, and the
    others go on. When this function is left early (Ctrl-C, an error) every process is ended; what their last
    checkpoints hold stays.

    Args:
        jobs: the jobs and their run folders, in the order in which they are started.
        slots: a slot for each worker: the graphics card it uses, or None.
        watch: is told of them.
    """
    waiting = list(jobs.items())
    starts = dict.fromkeys(jobs, 0)
    free, running = list(slots), {}
    try:
        while waiting or running:
            while waiting and free:
                job, folder = waiting.pop(0)
                slot = free.pop(0)
                starts[job] += 1
                running[job] = (Process(order(job, folder), slot), slot)
                watch.started(job)
            time.sleep(POLL_SECONDS)
            for job, (process, slot) in list(running.items()):
                if process.running():
                    continue
                del running[job]
                free.append(slot)
                failure = process.failure()
                if failure and not failure.final and starts[job] < RUNS_AT_MOST:
                    waiting.insert(0, (job, jobs[job]))
                    continue
                if failure:
                    note(jobs[job], failure)
                watch.ended(job, failure)
    finally:
        if running:
            watch.stopping()
        for process, _ in running.values():
            process.release()  # all of them at once
        for process, _ in running.values():
            process.stop()
