"""`grid.pool` and `grid.job`: processes at a time, started again when they die, ended when nobody waits for them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from children import gone, wait_for
from filelock import FileLock
from grid_stubs import Leaves, Noted, starts

from picie_core import files, records
from picie_core.grid import ledger, plan, pool
from picie_core.grid.job import FAILURE, RUNS_AT_MOST, Process, order
from picie_core.grid.plan import GridError
from picie_core.processes import lock, tether

ROOT = Path(__file__).parents[2]


@pytest.fixture
def prepared(grid_file, stub):
    def make(*seeds, **settings):
        return plan.prepare(plan.read(grid_file({"a": settings}, seeds)))

    return make


def work(folders, slots=(None, None)):
    noted = Noted()
    pool.work(folders, slots, noted, pool.start_job)
    assert noted.stopped == 0
    return noted.over


def test_every_job_is_done_with_the_threads_of_its_settings(prepared):
    folders = prepared(1, 2, 3, threads=1)
    assert work(folders) == {1: None, 2: None, 3: None}
    assert all(records.is_done(folder) for folder in folders.values())
    assert [line.split()[1:] for folder in folders.values() for line in starts(folder)] == [["1", "None"]] * 3


def test_each_slot_has_its_graphics_card(prepared):
    folders = prepared(1, 2)
    work(folders, slots=("0", "3"))
    assert sorted(line.split()[2] for folder in folders.values() for line in starts(folder)) == ["0", "3"]


def test_a_job_that_fails_is_noted_and_the_others_go_on(prepared):
    folders = prepared(1, 2, 90)
    told = work(folders, slots=(None,))
    assert (told[1], told[2], told[90].reason) == (None, None, "ValueError: no")
    failed = list(folders.values())[-1]
    assert len(starts(failed)) == 1  # it would fail again
    assert (failed / FAILURE).is_file()
    assert [entry.state for entry in ledger.entries(folders)] == ["done", "done", "failed"]


def test_a_job_that_died_is_started_again(prepared):
    folders = prepared(92)
    assert work(folders) == {92: None}
    assert len(starts(folders.popitem()[1])) == 2


def test_a_job_that_died_comes_before_those_that_wait(prepared):
    noted = Noted()
    pool.work(dict(reversed(prepared(1, 2, 92).items())), (None,), noted, pool.start_job)
    assert noted.began == [92, 92, 2, 1]


@pytest.mark.parametrize("name", ["lock", "claim"])
def test_what_another_grid_has_begun_meanwhile_comes_last(prepared, name):
    folders = prepared(1, 2, 3)
    second = list(folders.values())[1]
    second.mkdir(parents=True)

    class Other(Noted):
        def started(self, job):
            super().started(job)
            if len(self.began) == 1:
                other.acquire()

    other = FileLock(second / name)
    pool.work(folders, (None,), noted := Other(), pool.start_job)
    other.release()
    assert noted.began == [1, 3, 2]
    assert set(noted.over.values()) == {None}


def test_a_job_is_claimed_from_its_start_to_its_end(prepared):
    """Its kernel holds the run's lock seconds later: until then a second grid would start the same one."""
    ((job, folder),) = prepared(93).items()
    assert not lock.claimed(folder)
    first, second = Process(order(job, folder)), Process(order(job, folder))
    assert lock.claimed(folder)
    second.stop()
    assert lock.claimed(folder)
    first.stop()
    assert not lock.claimed(folder)


def test_a_claim_that_may_not_be_made_stops_nobody(prepared, monkeypatch):
    ((job, folder),) = prepared(93).items()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(lock.FileLock, "acquire", refuse)
    process = Process(order(job, folder))
    monkeypatch.undo()
    process.stop()


def test_a_job_that_always_dies_is_given_up(prepared):
    folders = prepared(91, 1)
    told = work(folders)
    assert told[91].reason == "its process died (signal 9): it said nothing"
    assert told[1] is None
    assert [len(starts(folder)) for folder in folders.values()] == [1, RUNS_AT_MOST]  # in the order of the seeds


def test_of_a_kernel_that_died_the_reason_is_what_may_have_killed_it(prepared, stub):
    stub.write_text("import sys; sys.exit('00_run.ipynb: Kernel died. Often out of memory: ...\\nOpen a.failed.ipynb')")
    reason = work(prepared(1))[1].reason
    assert reason == "its process died (exit status 1): 00_run.ipynb: Kernel died. Often out of memory: ..."


def test_a_note_of_failure_goes_when_the_run_is_tried_again(prepared):
    folders = prepared(93)
    folder = next(iter(folders.values()))
    folder.mkdir(parents=True)
    (folder / FAILURE).write_text("{}")
    process = Process(order(*folders.popitem()))
    assert not (folder / FAILURE).exists()
    process.stop()


def test_an_order_names_every_place_in_full(prepared, tmp_path, monkeypatch):
    """A worker on another machine has another working directory and environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PICIE_RUNS", "some runs")
    ((job, folder),) = prepared(1, data_root="photographs").items()
    found = order(job, folder)
    assert found.given["data_root"] == str(tmp_path / "photographs")
    assert found.given["overrides"] == {}
    assert found.places["PICIE_RUNS"] == str(tmp_path / "some runs")
    assert set(found.places) == {"PICIE_HOME", "PICIE_RUNS", "PICIE_PREPARED"}


def test_a_notebook_that_leaves_no_run_there_is_no_success(prepared, stub):
    stub.write_text("")  # ends well, and leaves nothing
    folders = prepared(1)
    assert work(folders)[1].reason.startswith(
        f"executed, but there is no finished run in {next(iter(folders.values()))}"
    )


def test_a_disk_without_room_for_the_note_stops_nobody(prepared, monkeypatch):
    monkeypatch.setattr(files, "write_json", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert work(prepared(90, 1), slots=(None,))[1] is None


def test_no_more_run_at_a_time_than_there_are_slots(prepared, monkeypatch):
    folders = prepared(1, 2, 3, 4)
    now, most = set(), []
    real = pool.Process

    class Counted(real):
        def __init__(self, *args):
            super().__init__(*args)
            now.add(self)
            most.append(len(now))

        def failure(self):
            now.discard(self)
            return super().failure()

    monkeypatch.setattr(pool, "Process", Counted)
    work(folders)
    assert max(most) == 2


def test_leaving_early_ends_every_process(prepared):
    folders = prepared(93, 94)
    slow = next(iter(folders.values()))

    with pytest.raises(KeyboardInterrupt):
        pool.work(folders, (None, None), leaves := Leaves(), pool.start_job)
    assert (leaves.began, leaves.stopped) == ([93, 94], 1)
    assert gone(int(starts(slow)[0].split()[0]))


def test_every_leash_is_let_go_before_the_first_end_is_waited_for(prepared, monkeypatch):
    calls = []

    class Noting(Process):
        def release(self):
            calls.append("release")
            super().release()

        def stop(self):
            calls.append("stop")
            super().stop()

    class Second(Noted):
        def started(self, job):
            if job.settings.seed == 94:
                raise KeyboardInterrupt

    monkeypatch.setattr(pool, "Process", Noting)
    with pytest.raises(KeyboardInterrupt):
        pool.work(prepared(93, 94), (None, None), Second(), pool.start_job)
    assert calls[:3] == ["release", "release", "stop"]
    assert calls.count("stop") == 2


def test_a_process_that_does_not_mind_its_leash_is_killed(prepared, monkeypatch):
    monkeypatch.setattr(tether, "GRACE_SECONDS", 0.5)
    ((job, folder),) = prepared(96).items()
    process = Process(order(job, folder))
    wait_for(lambda: starts(folder))
    began = time.monotonic()
    process.stop()
    assert time.monotonic() - began < 20  # by itself it takes two minutes
    assert gone(int(starts(folder)[0].split()[0]))


CONTROLLER = """\
import sys
from pathlib import Path
from picie_core.grid import job, plan, pool
job.COMMAND = [sys.executable, sys.argv[1]]
pool.work(plan.prepare(plan.read(Path(sys.argv[2]))), [None], pool.Watch(), pool.start_job)
"""


@pytest.mark.slow
def test_jobs_end_with_the_grid_that_is_killed(grid_file, stub, tmp_path):
    file = grid_file({"a": {}}, (93,))
    folder = next(iter(plan.prepare(plan.read(file)).values()))
    grid = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, str(stub), str(file)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        wait_for(lambda: starts(folder))
    finally:
        grid.send_signal(signal.SIGKILL)
        grid.wait(10)
    wait_for(lambda: gone(int(starts(folder)[0].split()[0])), 10)


# -- slots


def test_slots(prepared):
    jobs = list(prepared(1))
    assert pool.slots(jobs, 3, None) == [None] * 3
    assert pool.slots(jobs, None, "0, 2") == ["0", "2"]
    assert pool.slots(jobs, 3, "0,2") == ["0", "2", "0"]
    with pytest.raises(GridError, match=r"--gpus 0,x: expected the numbers"):
        pool.slots(jobs, None, "0,x")


def test_without_a_number_the_cores_are_shared_out(prepared, monkeypatch):
    monkeypatch.setattr(pool, "cores", lambda: 8)
    assert len(pool.slots(list(prepared(1, threads=3)), None, None)) == 2
    monkeypatch.setattr(pool, "cores", lambda: 2)
    assert len(pool.slots(list(prepared(1, threads=3)), None, None)) == 1


def test_without_a_number_each_card_has_one(prepared, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    jobs = list(prepared(1))
    assert pool.slots(jobs, None, None) == pool.slots(list(prepared(1, device="cuda")), None, None) == ["0", "1"]
    assert pool.slots(jobs, 3, None) == ["0", "1", "0"]
    assert pool.slots(jobs, None, "1") == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, 3")
    assert pool.slots(jobs, None, None) == ["5", "3"]
    assert pool.slots(list(prepared(1, device="cpu")), 2, None) == [None, None]


def test_of_rows_with_different_threads_the_most_count(grid_file, monkeypatch):
    jobs = plan.read(grid_file({"a": {"threads": 4}, "b": {"epochs": 1, "threads": 2}})).jobs()
    monkeypatch.setattr(pool, "cores", lambda: 8)
    assert len(pool.slots(jobs, None, None)) == 2
    monkeypatch.setattr(pool, "cores", lambda: 6)
    assert "2 workers with 4 threads each on 6 cores" in pool.crowded(jobs, [None] * 2)


def test_jobs_of_several_devices_run_one_at_a_time_and_take_all_cards(prepared, monkeypatch):
    monkeypatch.setattr(pool, "cores", lambda: 16)
    jobs = prepared(1, 2, threads=1, devices=2, batch_size=4)
    assert pool.slots(jobs, None, None) == [None]
    assert pool.slots(jobs, 3, None) == [None] * 3
    with pytest.raises(GridError, match="each job gets one card, and devices = 2; leave --gpus out"):
        pool.slots(jobs, None, "0,1")


@pytest.mark.parametrize(
    ("slots", "threads", "said"),
    [
        ([None] * 2, 2, "2 workers with 2 threads each on 2 cores get into each other's way: give --workers 1, or "),
        ([None] * 3, 1, "3 workers with 1 threads each on 2 cores get into each other's way: give --workers 2"),
        ([None] * 2, 1, ""),
        ([None], 4, ""),  # one alone is what was asked for
        (["0", "1"], 2, ""),  # the cards do the work
    ],
)
def test_more_threads_than_cores_are_remarked_upon(prepared, monkeypatch, slots, threads, said):
    monkeypatch.setattr(pool, "cores", lambda: 2)
    remark = pool.crowded(prepared(1, 2, 3, threads=threads), slots)
    assert said in remark
    assert bool(said) == bool(remark)
