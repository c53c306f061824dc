"""One writer a run: a lock that the death of its holder releases, and a lease for file systems without locks."""

import _thread
import errno
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, LeaseCompromise, SoftFileLease, Timeout

log = logging.getLogger(__name__)

STALE_SECONDS = 120.0
"""A holder on another host that has not been heard of for so long is taken for dead. The same on every host."""

BEAT_SECONDS = 20.0
POLL_SECONDS = 0.5


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; wait while another process holds it, and say so.

    On one host the operating system's lock of the file `lock` decides: it ends with its process, however that ends.
    Between hosts, where a shared file system may not carry locks, the file `lease` names its holder, who renews it
    every `BEAT_SECONDS`; one that dies without giving it back is waited for `STALE_SECONDS`. A holder that could not
    renew it for so long (a stalled file system), so that another host may have taken its place, is told and
    interrupted, as by Ctrl-C (ended, where that is ignored).

    Args:
        folder: the run's folder; it is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        for lock, whose in _locks(folder):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                log.warning("waiting for %s, which another process %s", folder, whose)
                lock.acquire(poll_interval=POLL_SECONDS)
            held.callback(lock.release)
        yield


def held(folder: Path) -> bool:
    """Whether a process holds the folder's lock now, on this host or another (where it may have died holding it).

    Where the folder may only be read, the lease alone tells: held is one that was renewed within `STALE_SECONDS`, by
    this host's clock.
    """
    if not (folder / "lock").exists():
        return False
    with ExitStack() as taken:
        for lock, _ in _locks(folder):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return True
            except OSError as error:
                if error.errno not in (errno.EROFS, errno.EACCES):
                    raise
                lease = folder / "lease"
                return lease.exists() and time.time() - lease.stat().st_mtime < STALE_SECONDS
            taken.callback(lock.release)
    return False


def claim(folder: Path) -> FileLock:
    """A lock for who starts a process that is to `hold` the folder, which takes it seconds; not acquired, and it never
    waits."""
    return FileLock(folder / "claim", timeout=0)


def claimed(folder: Path) -> bool:
    """Whether the folder is held, or there is a `claim` to it."""
    if (folder / "claim").exists():
        try:
            with claim(folder):
                pass
        except OSError:  # taken (`Timeout` is one), or not ours to take
            return True
    return held(folder)


def _locks(folder: Path) -> list[tuple[BaseFileLock, str]]:
    lease = SoftFileLease(
        folder / "lease", lease_duration=STALE_SECONDS, heartbeat_interval=BEAT_SECONDS, on_compromise=_lost
    )
    elsewhere = f"of another host is writing (if none does, delete the file {lease.lock_file})"
    return [(FileLock(folder / "lock"), "of this host is writing"), (lease, elsewhere)]


def _lost(loss: LeaseCompromise) -> None:
    log.error("stopping: %s is lost (%s): another host may be writing this run", loss.lock_file, loss.reason)
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL):  # as of a shell's background jobs
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        _thread.interrupt_main()
