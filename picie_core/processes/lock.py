"""One writer a run: a lock that the death of its holder releases, with a heartbeat for file systems without locks."""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

STALE_SECONDS = 120.0
"""A holder on another host whose heartbeat is older than this is taken for dead."""

BEAT_SECONDS = 20.0
POLL_SECONDS = 0.5


@contextmanager
def hold(folder: Path, stale: float = STALE_SECONDS, beat: float = BEAT_SECONDS) -> Iterator[None]:
    """Hold the folder's lock; wait while another process holds it, and say so once.

    On one host the operating system's file lock decides: it ends with its process, however that ends. Between hosts,
    where a shared file system may not carry locks, `owner.json` beside it names host and process and is touched every
    `beat` seconds; an owner on another host that was touched less than `stale` seconds ago is waited for.

    Args:
        folder: the run's folder; it is made.
        stale: seconds without a heartbeat after which another host's holder counts as dead.
        beat: seconds between heartbeats.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / "lock"), folder / "owner.json"
    told = False
    while True:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            pass
        else:
            if not _elsewhere(owner, stale):
                break
            lock.release()
        if not told:
            log.warning("waiting for %s, which another process is writing (%s)", folder, _describe(owner))
            told = True
        time.sleep(POLL_SECONDS)
    stop = threading.Event()
    thread = threading.Thread(target=_keep_beating, args=(owner, stop, beat), daemon=True)
    try:
        _sign(owner)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            owner.unlink(missing_ok=True)
    finally:
        lock.release()


def held(folder: Path, stale: float = STALE_SECONDS) -> bool:
    """Whether a process, on this host or another, holds the folder's lock now."""
    if not (folder / "lock").exists():
        return False
    try:
        with FileLock(folder / "lock", timeout=0):
            return _elsewhere(folder / "owner.json", stale)
    except Timeout:
        return True


def _sign(owner: Path) -> None:
    """Written at once: another host that read half of it would take the folder for nobody's."""
    new = owner.with_name(f"owner.{os.getpid()}.new")
    new.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
    new.replace(owner)


def _keep_beating(owner: Path, stop: threading.Event, beat: float) -> None:
    while not stop.wait(beat):
        os.utime(owner)


def _elsewhere(owner: Path, stale: float) -> bool:
    """Whether a live process on another host holds the folder."""
    try:
        host = json.loads(owner.read_text())["host"]
        return host != socket.gethostname() and time.time() - owner.stat().st_mtime < stale
    except (FileNotFoundError, json.JSONDecodeError):
        return False  # nobody, or a holder that died between creating and writing the file


def _describe(owner: Path) -> str:
    try:
        return owner.read_text()
    except FileNotFoundError:
        return "unknown"
