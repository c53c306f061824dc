"""`picie grid` as it is used: real notebooks, a job that is killed, a second call that does nothing."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from children import gone, wait_for
from tiny_runs import outcome

from picie_core import records, training
from picie_core.grid import plan

ROOT = Path(__file__).parents[2]


def picie(*arguments, runs, **options):
    environment = os.environ | {"PICIE_RUNS": str(runs), "PICIE_HOME": str(ROOT)}
    command = [sys.executable, "-m", "picie_core", "grid", *map(str, arguments)]
    # a shell's background jobs ignore Ctrl-C, and what they start inherits that: not here
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    return subprocess.Popen(
        command, cwd="/", env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=heed, **options,
    )  # fmt: skip


def ended(process):
    output, errors = process.communicate(timeout=600)
    return process.returncode, output, errors


def children(pid):
    """The processes that a process has started."""
    return [child.pid for child in psutil.Process(pid).children()]


def jobs_of(grid):
    """The processes of the jobs that a grid is running."""
    return [p.pid for p in psutil.Process(grid.pid).children() if "picie_core.grid.leash" in p.cmdline()]


@pytest.mark.slow
def test_ctrl_c_ends_jobs_and_kernels_and_the_same_call_goes_on(grid_file, tmp_path, monkeypatch):
    file, runs = grid_file({"a": {"epochs": 4000}}), tmp_path / "runs"  # it is not to end by itself
    monkeypatch.setenv("PICIE_RUNS", str(runs))
    grid = picie(file, runs=runs)
    ((_, folder),) = plan.prepare(plan.read(file)).items()
    wait_for(lambda: (folder / "checkpoint" / "counters.json").is_file() or grid.poll() is not None)
    (job,) = jobs_of(grid)
    kernels = children(job)
    grid.send_signal(signal.SIGINT)
    ended(grid)
    assert kernels
    wait_for(lambda: gone(job) and all(map(gone, kernels)), 20)
    assert not records.is_done(folder)
    assert "waiting  a, seed 1: " in ended(picie(file, "--status", runs=runs))[1]


@pytest.mark.slow
def test_a_killed_job_is_taken_up_and_changes_no_result(grid_file, tmp_path, monkeypatch):
    file = grid_file({"a": {"epochs": 6}, "b": {"recipe": "paper"}})
    runs = tmp_path / "runs"
    grid = picie(file, "--workers", 2, runs=runs)
    monkeypatch.setenv("PICIE_RUNS", str(runs))
    folders = plan.prepare(plan.read(file))
    first = next(iter(folders.values()))
    wait_for(lambda: (first / "checkpoint" / "counters.json").is_file() or grid.poll() is not None)
    victims = jobs_of(grid)
    kernels = [kernel for pid in victims for kernel in children(pid)]
    before = json.loads((first / "checkpoint" / "counters.json").read_text())["rows"]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: all(map(gone, kernels)), 20)
    status, output, errors = ended(grid)
    assert victims
    assert kernels
    seconds = records.load(first).progress["seconds"].tolist()
    assert seconds[: len(before)] == pytest.approx([row["seconds"] for row in before])  # taken up, not made again
    assert status == 0, errors
    assert "2 of 2 runs are done, 2 were started" in output
    for job, folder in folders.items():
        alone = training.run(job.settings.replace(runs_root=tmp_path / "alone"))
        assert outcome(records.load(folder)) == outcome(alone)
        assert (folder / "00_run.ipynb").is_file()

    files = {file: file.stat().st_mtime_ns for file in runs.rglob("*")}
    assert ended(picie(file, runs=runs))[:2] == (0, f"2 of 2 runs are done, 0 were started; in {runs}\n")
    assert {file: file.stat().st_mtime_ns for file in runs.rglob("*")} == files
    assert ended(picie(file, "--status", runs=runs))[1] == "2 done, 0 running, 0 failed, 0 waiting\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "epoch=1"], "no setting is called 'epoch': did you mean 'epochs'"),
        (["-p", "seed=1"], "--seeds 1-10"),
        (["-p", "fresh=true"], "to train a run again, delete its folder"),
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

    arguments = ["picie", "grid", str(grid_file({"a": {}, "b": {"epochs": 1}}, (1, 90, 95)))]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    said = capsys.readouterr()
    assert caught.value.code == 1
    assert "2 of 6 runs are done, 6 were started" in said.out
    assert "failed: a, seed 90; b, seed 90\nValueError: no\nOpen " in said.err
    assert "failed: a, seed 95; b, seed 95\nOSError: full: '" in said.err
    assert said.err.count("Open ") == 2
    monkeypatch.setattr(sys, "argv", [*arguments, "--status"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert re.search(r"failed   a, seed 90: ValueError: no\n +open .*failure.json", capsys.readouterr().out)
