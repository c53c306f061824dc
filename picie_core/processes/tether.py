"""A process that ends with whoever started it, by whatever signal that ended: both ends of the tie."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

import psutil

GRACE_SECONDS = 10.0
"""How long a process that is to end may take to end those below it and itself."""


class Tethered:
    """A process that was started and that `hold`s on. What it says is kept.

    Args:
        command: what to start.
        environment: of it, on top of this process's own.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the process has ended)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # the tether
            stdout=self._said,
            stderr=self._said,
            env=os.environ | environment,
            start_new_session=True,  # Ctrl-C reaches the starter alone, who then lets go of the tether
        )

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def end(self) -> tuple[int, str]:
        """Wait for the end of it: its exit status, and what it said."""
        status = self._process.wait()
        self.release()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        self._said.close()
        return status, said

    def release(self) -> None:
        """Let go of the tether: it ends what is below it and itself."""
        if self._process.stdin:
            self._process.stdin.close()

    def stop(self) -> None:
        """End it, and what is below it, and wait until it has ended."""
        self.release()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()


def hold(status: int) -> None:
    """From now on: when standard input, a pipe that nobody writes to, is closed, kill every process below this one and
    end with `status`. The starter keeps the other end of the pipe, which closes when it dies."""
    threading.Thread(target=_end_with_starter, args=(status,), daemon=True).start()


def _end_with_starter(status: int) -> None:
    os.read(sys.stdin.fileno(), 1)
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(status)
