"""`grid.display`: what a person sees of a grid that runs, in a log and in a terminal."""

import io
import sys
import threading
import time

import pytest
from children import wait_for
from filelock import FileLock
from grid_stubs import begin

from picie_core.grid import display, plan
from picie_core.grid.display import Display
from picie_core.grid.job import Failure


@pytest.fixture
def folders(grid_file, tmp_path, monkeypatch):
    """Three jobs of three epochs."""
    monkeypatch.setenv("PICIE_RUNS", str(tmp_path / "runs"))
    return plan.prepare(plan.read(grid_file({"a": {}}, (1, 2, 3))))


@pytest.fixture
def shown(monkeypatch):
    """Standard error as a terminal or a log; what has been written to it."""

    def make(terminal):
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
        monkeypatch.setattr(sys, "stderr", stream)
        return stream.getvalue

    return make


def test_a_log_has_a_line_for_each_start_and_end_and_now_and_then_what_runs(folders, shown, monkeypatch):
    said = shown(terminal=False)
    monkeypatch.setattr(display, "LOG_SECONDS", 0.05)
    first, second, third = folders
    with Display(folders, 0) as seen:
        seen.started(first)
        begin(folders[first], 1.0, 1.0)
        seen.started(second)
        wait_for(lambda: "running: a, seed 1, 2 of 3 epochs; a, seed 2\n" in said(), 10)
        seen.ended(first, None)
        wait_for(lambda: "running: a, seed 2\n" in said(), 10)
        seen.ended(second, Failure("ValueError: no", "all of it"))
        seen.started(third)
        seen.stopping()
    lines = [line for line in said().splitlines() if not line.startswith("running")]
    assert lines == [
        "started: a, seed 1",
        "started: a, seed 2",
        "done: a, seed 1 (1 of 3 runs)",
        "failed: a, seed 2: ValueError: no",
        "started: a, seed 3",
        "stopping: each run keeps what its last epoch made; the same command goes on",
    ]
    assert {job: failure.reason for job, failure in seen.failed.items()} == {second: "ValueError: no"}


@pytest.mark.parametrize("terminal", [True, False])
def test_a_run_that_another_process_has_is_said_to_be_waited_for(folders, shown, terminal):
    said = shown(terminal)
    first, second, _ = folders
    folders[first].mkdir(parents=True)
    with FileLock(folders[first] / "lock"), Display(folders, 0) as seen:
        seen.started(first)
        seen.started(second)
    assert "waiting for another process: a, seed 1\n" in said()
    assert "process: a, seed 2" not in said()


def test_a_terminal_has_a_bar_that_names_what_runs(folders, shown, monkeypatch):
    said = shown(terminal=True)
    monkeypatch.setattr(display, "BAR_SECONDS", 0.05)
    first, second, _ = folders
    with Display(folders, 1) as seen:
        seen.started(first)
        assert "1/3" in said()
        assert said().rstrip(" \r").endswith(", a, seed 1]")  # at once
        begin(folders[first], 1.0)
        wait_for(lambda: "a, seed 1, 1 of 3 epochs]" in said(), 10)
        seen.ended(first, None)
        seen.started(second)
        wait_for(lambda: "2/3" in said() and "a, seed 2]" in said(), 10)
        seen.ended(second, Failure("ValueError: no", "all of it"))
    assert "failed: a, seed 2: ValueError: no\n" in said()
    assert "seed" not in said().split("\r")[-1]
    assert "started: " not in said()


def test_what_has_ended_is_not_told_by_who_looked_before(folders, shown, monkeypatch):
    said, looking = shown(terminal=True), threading.Event()

    def slowly(_folder):
        if threading.current_thread() is not threading.main_thread():
            looking.set()
            time.sleep(0.3)  # in which the run ends
        return []

    monkeypatch.setattr(display, "BAR_SECONDS", 0.01)
    monkeypatch.setattr(display.ledger, "progress_so_far", slowly)
    with Display(folders, 1) as seen:
        seen.started(next(iter(folders)))
        assert looking.wait(10)
        seen.ended(next(iter(folders)), None)
    assert "seed" not in said().split("\r")[-1]
