"""`demo`: which notebooks run beside which, and what becomes of the rest when one fails."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from children import gone, heed, wait_for

from picie_core import demo, execution
from picie_core.execution import NotebookError
from picie_core.grid import job

ROOT = Path(__file__).parent.parent

STUB = '''\
"""Instead of a notebook: takes a moment, or fails, dies or waits as the file NAME.does says."""
import json, os, pathlib, signal, sys, threading, time

def leash():
    os.read(0, 1)
    os._exit(75)

threading.Thread(target=leash, daemon=True).start()
here, spec = pathlib.Path(__file__).parent, json.loads(sys.argv[1])
name, output = pathlib.Path(spec["notebook"]).stem, pathlib.Path(spec["output"])
does = here / f"{name}.does"
what = does.read_text() if does.exists() else ""

def note(event):
    with (here / "log").open("a") as log:
        log.write(f"{event} {name} {os.getpid()} {os.environ.get('OMP_WAIT_POLICY')}\\n")

note("began")
if what == "fail":
    sys.stderr.write(f"ValueError: no\\nOpen {spec['output']}\\n")
    sys.exit(2)
if what.startswith("die"):
    if what == "die once":
        does.unlink()
    sys.stderr.write("a warning\\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL)
output.parent.mkdir(parents=True, exist_ok=True)
if what == "wait":
    (output.parent / f".{output.stem}.abc.ipynb").touch()  # as papermill's attempt
time.sleep(600 if what == "wait" else 0.3)
output.write_text(json.dumps(spec["given"]))
note("ended")
'''


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Notebooks are stubs in a workbook of its own; its folder."""
    (tmp_path / "home" / "notebooks").mkdir(parents=True)
    for file in execution.numbered():
        if file.name[:2] in {"00", "01", "04", "05", "07", "09"}:
            shutil.copy(file, tmp_path / "home" / "notebooks")
    (tmp_path / "stub.py").write_text(STUB)
    monkeypatch.setattr(job, "COMMAND", [sys.executable, str(tmp_path / "stub.py")])
    monkeypatch.setenv("PICIE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    return tmp_path


def log(folder):
    """What the stubs noted: began or ended, notebook, process, how threads wait."""
    return [line.split() for line in (folder / "log").read_text().splitlines()]


def test_every_notebook_is_executed_two_at_a_time_and_the_overview_when_the_rest_is_there(stub, monkeypatch, capsys):
    monkeypatch.setattr(demo, "cores", lambda: 2)
    folders = demo.execute()
    local = stub / "home" / "reports" / "local"
    assert folders == {"scenes": local / "scenes", "closeups": local / "closeups"}
    names = [file.stem for file in execution.numbered()]
    for name in names:
        folder = folders["closeups" if name == "09_comus" else "scenes"]
        assert (folder / "notebooks" / f"{name}.ipynb").read_text() == "{}"  # its own parameters
    noted = log(stub)
    began = [name for event, name, *_ in noted if event == "began"]
    assert sorted(began) == names
    assert set(began[:2]) == set(demo.LONGEST)
    assert [(event, name) for event, name, *_ in noted[-2:]] == [("began", demo.OVERVIEW), ("ended", demo.OVERVIEW)]
    now, most = 0, 0
    for event, *_ in noted:
        now += 1 if event == "began" else -1
        most = max(most, now)
    assert (now, most) == (0, 2)
    assert {policy for *_, policy in noted} == {"passive"}  # two notebooks of two threads on two cores
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"{len(names)} notebooks, 2 at a time, ")
    assert said[1].endswith(f": {local}")
    assert sum(line.endswith(" ...") for line in said) == len(names)
    assert re.fullmatch(rf"04_main_results: \d+ s, {len(names)} of {len(names)} done", said[-1])


def test_the_order_in_which_notebooks_are_started_and_checked():
    """`make test` takes it too."""
    order = [file.stem for file in demo.order()]
    assert sorted(order) == [file.stem for file in execution.numbered()]
    assert (order[:2], order[-1]) == (list(demo.LONGEST), demo.OVERVIEW)


@pytest.mark.parametrize("given", [{"workers": 1}, {}])
def test_one_at_a_time_as_told_or_on_one_core(stub, monkeypatch, given):
    monkeypatch.setattr(demo, "cores", lambda: 1)
    demo.execute(**given)
    assert [event for event, *_ in log(stub)] == ["began", "ended"] * len(execution.numbered())
    assert {policy for *_, policy in log(stub)} == {"None"}  # nobody to make way for


def test_a_notebook_that_died_is_executed_again(stub, capsys):
    (stub / "01_data.does").write_text("die once")
    demo.execute()
    assert [name for event, name, *_ in log(stub) if event == "began"].count("01_data") == 2
    assert "01_data: its process died; once more" in capsys.readouterr().err.splitlines()


def test_a_notebook_that_always_dies_is_named_with_how_it_died_and_what_to_try(stub):
    (stub / "01_data.does").write_text("die")
    with pytest.raises(NotebookError) as error:
        demo.execute()
    assert str(error.value).splitlines() == [
        "01_data.ipynb: its process died (signal 9): a warning", "With less memory: picie demo --workers 1",
    ]  # fmt: skip
    assert [name for event, name, *_ in log(stub) if event == "began"].count("01_data") == job.RUNS_AT_MOST


def test_the_first_failure_ends_the_others_and_names_the_notebook_to_open(stub, capsys):
    (stub / "09_comus.does").write_text("wait")
    (stub / "01_data.does").write_text("fail")
    with pytest.raises(NotebookError, match=r"^01_data\.ipynb: ValueError: no\nOpen .*01_data\.ipynb$"):
        demo.execute(workers=2)
    noted = log(stub)
    assert {name for _, name, *_ in noted} == {*demo.LONGEST, "00_run", "01_data"}  # and none after it
    assert all(gone(int(process)) for _, _, process, _ in noted)
    assert not list(stub.rglob(".*.ipynb"))  # what the ended one had begun
    *_, failed, last = capsys.readouterr().err.splitlines()
    assert failed == "01_data failed: ValueError: no"
    assert last.startswith("stopping: ")


CALL = """
import sys
from picie_core import cli
from picie_core.grid import job
job.COMMAND = [sys.executable, sys.argv[1]]
sys.argv = ["picie", "demo"]
cli.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_all_and_leaves_nothing_half_written(stub, number, status):
    for name in demo.LONGEST:
        (stub / f"{name}.does").write_text("wait")
    call = [sys.executable, "-c", CALL, str(stub / "stub.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=heed)
    try:
        wait_for(lambda: len(list(stub.rglob(".*.ipynb"))) == 2)
        process.send_signal(number)
        said = process.communicate(timeout=30)[1]
    finally:
        process.kill()
    assert process.returncode == status
    assert "stopping: each run keeps what its last epoch made; the same command goes on" in said.splitlines()
    assert "Traceback" not in said
    assert all(gone(int(pid)) for _, _, pid, _ in log(stub))
    assert not list(stub.rglob(".*.ipynb"))


def test_what_runs_is_told_now_and_then(stub, monkeypatch, capsys):
    monkeypatch.setattr(demo, "SIGN_OF_LIFE", 0.1)
    demo.execute()
    assert re.search(
        r"^running: 07_representation \(\d+ s\), 09_comus \(\d+ s\)$", capsys.readouterr().err, re.MULTILINE
    )


def test_what_the_environment_says_of_threads_stays(stub, monkeypatch):
    monkeypatch.setattr(demo, "cores", lambda: 2)
    monkeypatch.setitem(os.environ, "OMP_WAIT_POLICY", "active")
    demo.execute()
    assert {policy for *_, policy in log(stub)} == {"active"}
