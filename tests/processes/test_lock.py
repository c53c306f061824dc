"""`lock`: one writer a folder; death releases; another host is believed while it renews its lease."""

import errno
import multiprocessing
import os
import signal
import socket
import threading
import time
from typing import ClassVar

import pytest
from filelock import FileLock, SoftFileLease
from tiny_runs import full

from picie_core.processes import lock

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
PROCESSES = multiprocessing.get_context("spawn")
TIMES = {"STALE_SECONDS": 2.0, "BEAT_SECONDS": 0.1, "POLL_SECONDS": 0.02}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Short waits, and every waiter sent home at the end."""
    for name, seconds in TIMES.items():
        monkeypatch.setattr(lock, name, seconds)
    yield
    while Waiter.all:
        Waiter.all.pop().leave()


class Waiter(threading.Thread):
    """Asks for the lock in a thread of its own."""

    all: ClassVar[list["Waiter"]] = []

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.all.append(self)
        self.folder, self.inside, self.go = folder, threading.Event(), threading.Event()
        self.start()

    def run(self):
        with lock.hold(self.folder):
            self.inside.set()
            self.go.wait(10)

    def leave(self):
        self.go.set()
        self.join(5)


def hold_and_write(folder, log, name, host=None):
    """Three lines from within the lock."""
    with held_on(folder, host, TIMES):
        for number in range(3):
            with log.open("a") as stream:
                stream.write(f"{name} {number}\n")
            time.sleep(0.05)


def hold_for_ever(folder, ready, host, deaf, times):
    with held_on(folder, host, times):
        if deaf:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        ready.set()
        for _ in range(600):
            time.sleep(0.1)


def held_on(folder, host, times):
    """For a process of its own, which Ctrl-C reaches, `hold` with these waits; on another host, if one is named,
    with a file system that carries no locks: what a host locks reaches no other one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell starts in the background
    for name, seconds in times.items():
        setattr(lock, name, seconds)
    if host:
        socket.gethostname = lambda: host
        lock.FileLock = lambda file: FileLock(f"{file} of {host}")
    return lock.hold(folder)


def started(folder, host=None, deaf=False):
    """A process that holds the folder, by the waits of this one: every contender agrees on them; deaf to Ctrl-C."""
    ready, times = PROCESSES.Event(), {name: getattr(lock, name) for name in TIMES}
    process = PROCESSES.Process(target=hold_for_ever, args=(folder, ready, host, deaf, times))
    process.start()
    assert ready.wait(20)
    return process


def end(process, how=signal.SIGKILL):
    os.kill(process.pid, how)
    process.join(5)
    return process.exitcode


def one_after_the_other(log, names):
    lines = log.read_text().splitlines()
    assert sorted(lines) == [f"{name} {number}" for name in names for number in range(3)]
    for first in range(0, len(lines), 3):
        assert lines[first : first + 3] == [f"{lines[first][0]} {number}" for number in range(3)]


def test_the_folder_is_made_and_nothing_of_the_lease_stays(tmp_path):
    folder = tmp_path / "runs" / "scenes-picie-1"
    with lock.hold(folder):
        assert str(os.getpid()) in (folder / "lease").read_text()
    assert not (folder / "lease").exists()
    with lock.hold(folder):  # and again
        pass


def test_an_error_inside_releases_and_passes(tmp_path):
    with pytest.raises(ValueError, match="inside"), lock.hold(tmp_path):
        raise ValueError("inside")
    assert not (tmp_path / "lease").exists()
    assert Waiter(tmp_path).inside.wait(20)


def test_a_full_disk_leaves_nothing_held(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SoftFileLease, "acquire", full)
    with pytest.raises(OSError, match="No space left") as error, lock.hold(tmp_path):
        pytest.fail("entered without a lease")
    monkeypatch.undo()
    assert Waiter(tmp_path).inside.wait(20)  # while the traceback is still alive
    assert error.tb is not None


def test_two_holders_of_one_process_wait_for_each_other_and_are_told_once(tmp_path, caplog):
    with lock.hold(tmp_path):
        waiter = Waiter(tmp_path)
        assert not waiter.inside.wait(0.3)
    assert waiter.inside.wait(20)
    (told,) = [record.getMessage() for record in caplog.records]
    assert told == f"waiting for {tmp_path}, which another process of this host is writing"  # whose lock ends with it


def test_two_folders_do_not_wait_for_each_other(tmp_path):
    with lock.hold(tmp_path / "a"):
        assert Waiter(tmp_path / "b").inside.wait(20)


@pytest.mark.parametrize("hosts", [(None, None, None), ("one", "two", "three")])
def test_processes_write_one_after_the_other(tmp_path, hosts):
    log = tmp_path / "log"
    crowd = [
        PROCESSES.Process(target=hold_and_write, args=(tmp_path / "run", log, name, host))
        for name, host in zip("abc", hosts, strict=True)
    ]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join(30)
    one_after_the_other(log, "abc")


def test_a_killed_holder_releases_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "STALE_SECONDS", 100.0)
    process = started(tmp_path)
    waiter = Waiter(tmp_path)
    assert not waiter.inside.wait(0.2)
    end(process)
    assert waiter.inside.wait(20)  # though the dead one's lease lies there, renewed a moment ago


def test_another_hosts_lease_is_waited_for_and_its_death_is_believed_after_a_while(tmp_path, caplog):
    process = started(tmp_path, "another-host")
    waiter = Waiter(tmp_path)
    assert not waiter.inside.wait(2 * lock.STALE_SECONDS)  # it lives on
    assert f"of another host is writing (if none does, delete the file {tmp_path / 'lease'}" in caplog.text
    killed = time.monotonic()
    end(process)
    assert waiter.inside.wait(5 * lock.STALE_SECONDS)
    assert time.monotonic() - killed > lock.STALE_SECONDS / 2


def test_another_hosts_release_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "STALE_SECONDS", 100.0)
    process = started(tmp_path, "another-host")
    waiter = Waiter(tmp_path)
    assert not waiter.inside.wait(0.2)
    end(process, signal.SIGINT)  # KeyboardInterrupt, which leaves the block
    assert waiter.inside.wait(20)


def test_what_a_dying_holder_left_half_written_is_nobodys(tmp_path):
    (tmp_path / "lease").write_text("12345\nanoth")
    assert Waiter(tmp_path).inside.wait(20)


@pytest.mark.parametrize("deaf", [False, True])
def test_a_holder_whose_lease_is_gone_is_stopped(tmp_path, deaf):
    process = started(tmp_path, deaf=deaf)
    (tmp_path / "lease").unlink()
    process.join(10)
    assert process.exitcode == (-signal.SIGTERM if deaf else 1)  # 1: KeyboardInterrupt; long before its minute is over


def test_several_beats_fit_into_the_stale_age():
    assert TIMES.keys() <= vars(lock).keys()
    assert lock.BEAT_SECONDS * 3 <= lock.STALE_SECONDS


def test_whether_somebody_holds_a_folder(tmp_path):
    assert not lock.held(tmp_path)
    with lock.hold(tmp_path):
        assert lock.held(tmp_path)
    assert not lock.held(tmp_path)
    process = started(tmp_path, "another-host")
    assert lock.held(tmp_path)
    end(process, signal.SIGINT)
    assert not lock.held(tmp_path)


@pytest.mark.parametrize("name", ["FileLock", "SoftFileLease"])
@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_of_a_folder_that_may_only_be_read_the_lease_tells(tmp_path, monkeypatch, name, number):
    def refused(self, **_):
        raise OSError(number, os.strerror(number), self.lock_file)

    (tmp_path / "lock").touch()
    monkeypatch.setattr(getattr(lock, name), "acquire", refused)
    assert not lock.held(tmp_path)
    (tmp_path / "lease").touch()
    assert lock.held(tmp_path)
    now = time.time() - lock.STALE_SECONDS - 1
    os.utime(tmp_path / "lease", (now, now))
    assert not lock.held(tmp_path)
    monkeypatch.setattr(getattr(lock, name), "acquire", full)
    with pytest.raises(OSError, match="No space left"):
        lock.held(tmp_path)
