"""`tether`: both ends of the tie between a process and its starter."""

import os
import signal
import sys

import pytest
from children import gone, wait_for

from picie_core.processes import tether
from picie_core.processes.tether import Tethered

HOLDS = """\
import subprocess, sys, time
from picie_core.processes import tether
tether.hold(75)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdin=subprocess.DEVNULL)
print(child.pid, flush=True)
time.sleep(600)
"""


def started(code, **environment):
    return Tethered([sys.executable, "-c", code], environment)


def test_how_it_ended_and_what_it_said():
    process = started("import os, sys; print(os.environ['A']); sys.stderr.write('b\\n'); sys.exit(3)", A="a")
    status, said = process.end()
    assert (status, sorted(said.split())) == (3, ["a", "b"])
    assert not process.running()


def test_one_that_was_killed_has_its_signal():
    process = started("import time; time.sleep(600)")
    assert process.running()
    os.kill(process._process.pid, signal.SIGKILL)
    assert process.end() == (-signal.SIGKILL, "")


def test_let_go_it_ends_what_is_below_it_and_itself():
    process = started(HOLDS)
    said = process._said
    wait_for(lambda: said.seek(0) or said.read().strip())
    said.seek(0)
    child = int(said.read())
    process.stop()
    assert process._process.returncode == 75
    wait_for(lambda: gone(child), 10)


def test_one_that_does_not_mind_is_killed(monkeypatch):
    monkeypatch.setattr(tether, "GRACE_SECONDS", 0.2)
    process = started("import time; time.sleep(600)")
    process.stop()
    assert process._process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("times", [1, 2])
def test_it_may_be_let_go_more_than_once(times):
    process = started("pass")
    for _ in range(times):
        process.release()
    assert process.end()[0] == 0
