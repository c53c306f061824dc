"""`lock`: one writer a folder; death releases; another host is believed while its heart beats."""

import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from typing import ClassVar

import pytest

from picie_core.processes import lock

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
PROCESSES = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Short waits, and every waiter sent home at the end."""
    monkeypatch.setattr(lock, "POLL_SECONDS", 0.02)
    yield
    while Waiter.all:
        Waiter.all.pop().leave()


def held_by_another_host(folder, seconds_ago=0.0):
    folder.mkdir(parents=True, exist_ok=True)
    owner = folder / "owner.json"
    owner.write_text(json.dumps({"host": "another-host", "pid": 1}))
    touched = time.time() - seconds_ago
    os.utime(owner, (touched, touched))
    return owner


class Waiter(threading.Thread):
    """Asks for the lock in a thread of its own."""

    all: ClassVar[list["Waiter"]] = []

    def __init__(self, folder, **options):
        super().__init__(daemon=True)
        self.all.append(self)
        self.folder, self.options, self.inside, self.go = folder, options, threading.Event(), threading.Event()
        self.start()

    def run(self):
        with lock.hold(self.folder, **self.options):
            self.inside.set()
            self.go.wait(10)

    def leave(self):
        self.go.set()
        (self.folder / "owner.json").unlink(missing_ok=True)
        self.join(5)


def hold_and_write(folder, log, name):
    """For a process: three lines from within the lock."""
    lock.POLL_SECONDS = 0.02
    with lock.hold(folder):
        for number in range(3):
            with log.open("a") as stream:
                stream.write(f"{name} {number}\n")
            time.sleep(0.05)


def hold_for_ever(folder, ready):
    with lock.hold(folder):
        ready.set()
        time.sleep(60)


def test_the_folder_is_made_and_the_owner_named_while_it_is_held(tmp_path):
    folder = tmp_path / "runs" / "scenes-picie-1"
    with lock.hold(folder):
        assert json.loads((folder / "owner.json").read_text()) == {"host": socket.gethostname(), "pid": os.getpid()}
    assert not (folder / "owner.json").exists()
    assert not list(folder.glob("*.new"))
    with lock.hold(folder):  # and again
        pass


def test_an_error_inside_releases_and_passes(tmp_path):
    with pytest.raises(ValueError, match="inside"), lock.hold(tmp_path):
        raise ValueError("inside")
    assert not (tmp_path / "owner.json").exists()
    assert Waiter(tmp_path).inside.wait(2)


def test_a_full_disk_leaves_nothing_held(tmp_path, monkeypatch):
    def full(owner):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lock, "_sign", full)
    with pytest.raises(OSError, match="No space left") as error, lock.hold(tmp_path):
        pytest.fail("entered without having signed")
    monkeypatch.undo()
    assert Waiter(tmp_path).inside.wait(2)  # while the traceback is still alive
    assert error.tb is not None


def test_two_holders_of_one_process_wait_for_each_other_and_are_told_once(tmp_path, caplog):
    with lock.hold(tmp_path):
        waiter = Waiter(tmp_path)
        assert not waiter.inside.wait(0.3)
    assert waiter.inside.wait(2)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "waiting for" in told[0]
    assert str(os.getpid()) in told[0]


def test_two_folders_do_not_wait_for_each_other(tmp_path):
    with lock.hold(tmp_path / "a"):
        assert Waiter(tmp_path / "b").inside.wait(2)


def test_processes_write_one_after_the_other(tmp_path):
    log = tmp_path / "log"
    crowd = [PROCESSES.Process(target=hold_and_write, args=(tmp_path / "run", log, name)) for name in "abc"]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join(20)
    lines = log.read_text().split("\n")[:-1]
    assert sorted(lines) == [f"{name} {number}" for name in "abc" for number in range(3)]
    for first in (0, 3, 6):
        assert lines[first : first + 3] == [f"{lines[first][0]} {number}" for number in range(3)]


def test_a_killed_holder_releases(tmp_path):
    ready = PROCESSES.Event()
    process = PROCESSES.Process(target=hold_for_ever, args=(tmp_path, ready))
    process.start()
    assert ready.wait(20)
    waiter = Waiter(tmp_path)
    assert not waiter.inside.wait(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.join(5)
    assert waiter.inside.wait(2)  # though the dead one's name still stands there, touched a moment ago


def test_another_hosts_fresh_heartbeat_is_waited_for(tmp_path):
    owner = held_by_another_host(tmp_path)
    waiter = Waiter(tmp_path, stale=0.6)
    for _ in range(4):  # it lives on: longer than `stale` altogether
        assert not waiter.inside.wait(0.25)
        os.utime(owner)
    assert waiter.inside.wait(3)  # and dies


def test_another_hosts_release_is_noticed(tmp_path):
    owner = held_by_another_host(tmp_path)
    waiter = Waiter(tmp_path)
    assert not waiter.inside.wait(0.2)
    owner.unlink()
    assert waiter.inside.wait(2)


def test_another_hosts_stale_heartbeat_is_taken_over(tmp_path):
    owner = held_by_another_host(tmp_path, seconds_ago=lock.STALE_SECONDS + 1)
    with lock.hold(tmp_path):
        assert json.loads(owner.read_text())["host"] == socket.gethostname()
    held_by_another_host(tmp_path, seconds_ago=lock.STALE_SECONDS - 5)
    assert not Waiter(tmp_path).inside.wait(0.2)


def test_what_a_dying_holder_left_half_written_is_nobodys(tmp_path):
    (tmp_path / "owner.json").write_text('{"host": "anoth')
    assert Waiter(tmp_path).inside.wait(2)


def test_the_holders_heart_beats(tmp_path):
    with lock.hold(tmp_path, beat=0.05):
        os.utime(tmp_path / "owner.json", (0, 0))
        deadline = time.monotonic() + 3
        while (tmp_path / "owner.json").stat().st_mtime == 0:
            assert time.monotonic() < deadline, "no heartbeat"
            time.sleep(0.02)
    assert not [thread for thread in threading.enumerate() if "_keep_beating" in thread.name]


def test_it_is_signed_at_once(tmp_path, monkeypatch):
    """Another host must never read half a name: it would take the folder for nobody's."""
    held_by_another_host(tmp_path, seconds_ago=1000)
    seen = []
    write = lock.Path.write_text

    def watched(path, text):
        seen.append(json.loads((tmp_path / "owner.json").read_text()))
        return write(path, text)

    monkeypatch.setattr(lock.Path, "write_text", watched)
    with lock.hold(tmp_path):
        assert seen == [{"host": "another-host", "pid": 1}]


def test_several_beats_fit_into_the_stale_age():
    assert lock.BEAT_SECONDS * 3 <= lock.STALE_SECONDS


def test_whether_somebody_holds_a_folder(tmp_path):
    assert not lock.held(tmp_path)
    with lock.hold(tmp_path):
        assert lock.held(tmp_path)
    assert not lock.held(tmp_path)
    owner = tmp_path / "owner.json"
    owner.write_text(json.dumps({"host": "another", "pid": 1}))
    assert lock.held(tmp_path)  # another host whose heartbeat is fresh
    os.utime(owner, (0, 0))
    assert not lock.held(tmp_path)
