"""`progress`: a bar in a terminal and in a log, one line in a notebook; each in the place it was made for."""

import io
import sys

import pytest

from picie_core.training import progress
from picie_core.training.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Display:
    """What IPython's `display(..., display_id=True)` gives."""

    def __init__(self):
        self.texts = []

    def update(self, data, raw):
        assert raw
        self.texts.append(data["text/plain"])


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


@pytest.fixture
def notebook(monkeypatch):
    display = Display()
    monkeypatch.setattr(progress, "_notebook_display", lambda: display)
    return display


def test_a_terminal_sees_the_bar_with_title_phase_and_count(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with Progress(6, "picie on scenes") as bar:
        bar.say("epoch 1/2: cluster")
        for _ in range(3):
            bar.tick(2)
    shown = stream.getvalue()
    assert "picie on scenes: 100%" in shown
    assert "6/6" in shown
    assert "epoch 1/2: cluster" in shown
    assert bar.done == 6


def test_a_log_is_not_flooded(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with Progress(1000, "picie on scenes") as bar:
        for _ in range(1000):
            bar.tick(1)
    assert stream.getvalue().count("\r") < 5


def test_a_bar_is_closed_when_the_work_fails(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with pytest.raises(ZeroDivisionError), Progress(4, "x") as bar:
        bar.tick(1 // 0)
    assert stream.getvalue().endswith("\n")  # the traceback begins on a line of its own


def test_a_notebook_gets_one_line_that_is_updated_at_most_once_a_second(notebook, monkeypatch):
    clock = Clock(monkeypatch)
    with Progress(100, "picie on scenes") as bar:
        bar.say("epoch 1/1: train")
        for _ in range(40):
            clock.now += 0.25
            bar.tick(1)
    assert 5 <= len(notebook.texts) <= 11
    # 40 images in 10 s: 60 more take 15 s
    assert notebook.texts[-1] == "picie on scenes:  40 % epoch 1/1: train (10 s)"
    assert any(text.endswith("s left)") for text in notebook.texts[:-1])


def test_the_time_left_is_the_share_left_at_the_pace_so_far(notebook, monkeypatch):
    clock = Clock(monkeypatch)
    bar = Progress(100, "x")
    clock.now += 10
    bar.tick(40)
    assert notebook.texts == ["x:  40 %  (10 s, 15 s left)"]


@pytest.mark.parametrize("total", [0, 10])
def test_nothing_done_is_no_division_by_zero(notebook, monkeypatch, total):
    Clock(monkeypatch)
    with Progress(total, "x"):
        pass
    assert notebook.texts == ["x:   0 %  (0 s)"]


def test_outside_of_a_kernel_there_is_no_display(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert progress._notebook_display() is None


def test_a_display_is_made_in_a_jupyter_kernel_alone(monkeypatch):
    import IPython
    import IPython.display

    class ZMQInteractiveShell:
        pass

    class TerminalInteractiveShell:
        pass

    monkeypatch.setitem(sys.modules, "ipykernel", object())
    monkeypatch.setattr(IPython.display, "display", lambda data, raw, display_id: (data, raw, display_id))
    monkeypatch.setattr(IPython, "get_ipython", TerminalInteractiveShell)
    assert progress._notebook_display() is None
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    assert progress._notebook_display() is None
    monkeypatch.setattr(IPython, "get_ipython", ZMQInteractiveShell)
    assert progress._notebook_display() == ({"text/plain": ""}, True, True)
