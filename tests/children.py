"""Waiting for other processes."""

import signal
import time

import psutil


def heed():
    """For `preexec_fn`: Ctrl-C reaches the process. A shell's background jobs ignore it, and what they start inherits
    that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def gone(pid):
    """Whether a process is no more, or only waits for somebody to ask how it ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(condition, seconds=240):
    """The first true answer of `condition`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise TimeoutError(f"nothing after {seconds} s")
