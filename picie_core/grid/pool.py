"""A grid's jobs, or the demo's notebooks, on this machine: so many processes at a time."""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from picie_core.grid.job import RUNS_AT_MOST, Execution, Failure, Process, order
from picie_core.grid.plan import GridError, Job
from picie_core.processes import cores, lock

POLL_SECONDS = 0.2

Task = TypeVar("Task")
"""A job, or a notebook."""


class Watch(Generic[Task]):
    """Is told what becomes of tasks; this one does nothing about it."""

    def started(self, task: Task) -> None:
        """Its process is there; again, when it died and is started anew."""

    def ended(self, task: Task, failure: Failure | None) -> None:
        """A task is over: why it failed, or None when it is done. What this raises ends all that runs."""

    def waiting(self) -> None:
        """Is called a few times a second while something runs."""

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


def start_job(job: Job, folder: Path, slot: str | None) -> Process:
    """Start a job of a grid."""
    return Process(order(job, folder), slot)


def work(
    tasks: Mapping[Task, Path],
    slots: Sequence[str | None],
    watch: Watch[Task],
    start: Callable[[Task, Path, str | None], Execution],
) -> None:
    """Run the tasks, one in each slot at a time, until all are over.

    A task whose process died is started again, at most `RUNS_AT_MOST` times in all; a task that failed is not, and the
    others go on. A run that another process holds or has claimed by then is left for last. When this function is
    left early (Ctrl-C, an error, one that `watch` raises) every process is ended; what the last checkpoints of runs
    hold stays.

    Args:
        tasks: jobs and their run folders, or notebooks and their outputs, in the order in which they are started.
        slots: a slot for each worker: the graphics card it uses, or None.
        watch: is told of them.
        start: starts a task in a slot: `start_job` that of a grid.
    """
    waiting = list(tasks)
    starts = dict.fromkeys(tasks, 0)
    free, running = list(slots), {}
    try:
        while waiting or running:
            while waiting and free:
                nobodys = (n for n, task in enumerate(waiting) if not lock.claimed(tasks[task]))
                task, slot = waiting.pop(next(nobodys, 0)), free.pop(0)
                starts[task] += 1
                running[task] = (start(task, tasks[task], slot), slot)
                watch.started(task)
            time.sleep(POLL_SECONDS)
            watch.waiting()
            for task, (process, slot) in list(running.items()):
                if process.running():
                    continue
                del running[task]
                free.append(slot)
                failure = process.failure()
                if failure and not failure.final and starts[task] < RUNS_AT_MOST:
                    waiting.insert(0, task)
                    continue
                if failure:
                    process.give_up(failure)
                watch.ended(task, failure)
    finally:
        if running:
            watch.stopping()
        for process, _ in running.values():
            process.release()  # all of them at once
        for process, _ in running.values():
            process.stop()
