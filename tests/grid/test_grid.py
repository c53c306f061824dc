"""`picie grid` as it is used: real notebooks, a job that is killed, a second call that does nothing."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_runs import outcome

from picie_core import records, training
from picie_core.grid import plan

ROOT = Path(__file__).parents[2]


def picie(*arguments, runs, **options):
    environment = os.environ | {"PICIE_RUNS": str(runs), "PICIE_HOME": str(ROOT)}
    command = [sys.executable, "-m", "picie_core", "grid", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd="/", env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def ended(process):
    output, errors = process.communicate(timeout=600)
    return process.returncode, output, errors


def jobs_of(grid):
    """The processes that a grid has started."""
    children = Path(f"/proc/{grid.pid}/task/{grid.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"picie_core.grid.leash" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the grid's processes in /proc (Linux)")
def test_a_killed_job_is_taken_up_and_changes_no_result(grid_file, tmp_path, monkeypatch):
    file = grid_file({"a": {"epochs": 6}, "b": {"recipe": "paper"}})
    runs = tmp_path / "runs"
    grid = picie(file, "--workers", 2, runs=runs)
    monkeypatch.setenv("PICIE_RUNS", str(runs))
    folders = plan.prepare(plan.read(file))
    first = next(iter(folders.values()))
    wait_for(lambda: (first / "checkpoint" / "counters.json").is_file() or grid.poll() is not None)
    victims = jobs_of(grid)
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    status, output, errors = ended(grid)
    assert victims
    assert status == 0, errors
    assert "2 of 2 runs are done, 2 were started" in output
    for job, folder in folders.items():
        alone = training.run(job.settings.replace(runs_root=tmp_path / "alone"))
        assert outcome(records.load(folder)) == outcome(alone)
        assert (folder / "00_run.ipynb").is_file()

    before = {file: file.stat().st_mtime_ns for file in runs.rglob("*")}
    assert ended(picie(file, runs=runs))[:2] == (0, f"2 of 2 runs are done, 0 were started; in {runs}\n")
    assert {file: file.stat().st_mtime_ns for file in runs.rglob("*")} == before
    assert ended(picie(file, "--status", runs=runs))[1] == "2 done, 0 running, 0 failed, 0 waiting\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "epoch=1"], "no setting is called 'epoch': did you mean 'epochs'"),
        (["-p", "seed=1"], "--seeds 1-10"),
        (["--only", "c"], "there is no row 'c'"),
        (["--seeds", "x"], "seeds = 'x': expected numbers"),
        (["--gpus", "x"], "--gpus x: expected the numbers"),
        (["--scheduler", "a", "--slurm", "b"], "--scheduler and --slurm: give one of them"),
        (["--scheduler", "a", "--workers", "2"], "on a cluster its workers decide"),
    ],
)
def test_what_cannot_be_done_is_refused(grid_file, arguments, message, monkeypatch, capsys):
    from picie_core import cli

    monkeypatch.setattr(sys, "argv", ["picie", "grid", str(grid_file({"a": {}})), *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_failing_job_is_told_with_its_notebook_and_the_exit_status(grid_file, stub, monkeypatch, capsys):
    from picie_core import cli

    arguments = ["picie", "grid", str(grid_file({"a": {}, "b": {"epochs": 1}}, (1, 90)))]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    said = capsys.readouterr()
    assert caught.value.code == 1
    assert "2 of 4 runs are done, 4 were started" in said.out
    assert "failed: a, seed 90; b, seed 90\nValueError: no\nOpen here" in said.err
    monkeypatch.setattr(sys, "argv", [*arguments, "--status"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert re.search(r"failed   a, seed 90: ValueError: no\n +open .*00_run.failed.ipynb", capsys.readouterr().out)


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise TimeoutError(f"nothing after {seconds} s")
