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
from children import gone, heed, wait_for
from grid_stubs import begin, starts
from tiny_runs import outcome

from picie_core import records, training
from picie_core.grid import job, plan

ROOT = Path(__file__).parents[2]


def picie(*arguments, runs, **options):
    environment = os.environ | {"PICIE_RUNS": str(runs), "PICIE_HOME": str(ROOT)}
    command = [sys.executable, "-m", "picie_core", "grid", *map(str, arguments)]
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
    (process,) = jobs_of(grid)
    kernels = children(process)
    grid.send_signal(signal.SIGINT)
    status, _, errors = ended(grid)
    assert kernels
    assert status == 130
    assert errors.splitlines()[-2:] == [
        "stopping: each run keeps what its last epoch made; the same command goes on",
        "stopped: 0 of 1 runs are done, 1 part-way; the same command goes on",
    ]
    wait_for(lambda: gone(process) and all(map(gone, kernels)), 20)
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
    for each, folder in folders.items():
        alone = training.run(each.settings.replace(runs_root=tmp_path / "alone"))
        assert outcome(records.load(folder)) == outcome(alone)
        assert (folder / "00_run.ipynb").is_file()

    files = {file: file.stat().st_mtime_ns for file in runs.rglob("*")}
    status, output, _ = ended(picie(file, runs=runs))
    assert (status, output.splitlines()[0]) == (0, f"2 of 2 runs are done, 0 were started; in {runs}")
    assert output.splitlines()[1].startswith("their scores: picie results -p dataset=scenes -p ")
    assert {file: file.stat().st_mtime_ns for file in runs.rglob("*")} == files
    assert ended(picie(file, "--status", runs=runs))[1] == "2 done, 0 running, 0 failed, 0 waiting\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "epoch=1"], "no setting is called 'epoch': did you mean 'epochs'"),
        (["-p", "seed=1"], "--seeds 1-10"),
        (["-p", "fresh=true"], "to train a run again, delete its folder"),
        (["-p", "balance=none"], "-p balance=none does not change rows with a value of their own: 'b' (inverse)"),
        (["--only", "c"], "there is no row 'c'"),
        (["--seeds", "x"], "--seeds x: expected numbers"),
        (["--gpus", "x"], "--gpus x: expected the numbers"),
        (["--scheduler", "a", "--slurm", "b"], "--scheduler and --slurm: give one of them"),
        (["--scheduler", "a", "--workers", "2"], "on a cluster its workers decide"),
    ],
)
def test_what_cannot_be_done_is_refused(grid_file, arguments, message, monkeypatch, capsys):
    from picie_core import cli

    file = grid_file({"a": {}, "b": {"balance": "inverse", "epochs": 2}})
    monkeypatch.setattr(sys, "argv", ["picie", "grid", str(file), *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_what_takes_the_place_of_a_methods_own_value_is_said(grid_file, tmp_path, monkeypatch, capsys):
    from picie_core import cli

    file = grid_file({"a": {"method": "iic", "iic_displacement": 2}})
    monkeypatch.setenv("PICIE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(sys, "argv", ["picie", "grid", str(file), "--dry-run", "-p", "learning_rate=1e-3"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
    assert "-p learning_rate=0.001 takes the place of the method's own value in 'a'" in capsys.readouterr().err


def test_ctrl_c_is_answered_at_once_and_at_the_end(grid_file, stub, monkeypatch, capsys):
    from picie_core import cli

    file = grid_file({"a": {}}, (1, 93, 94))
    folder = list(plan.prepare(plan.read(file)).values())[1]
    really = job.Process.running

    def interrupted(process):
        if starts(folder):
            begin(folder, 1.0)
            raise KeyboardInterrupt
        return really(process)

    monkeypatch.setattr(job.Process, "running", interrupted)
    monkeypatch.setattr(sys, "argv", ["picie", "grid", str(file), "--workers", "1"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    said = capsys.readouterr()
    assert caught.value.code == 130
    assert said.err.splitlines()[-5:] == [
        "started: a, seed 1", "done: a, seed 1 (1 of 3 runs)", "started: a, seed 93",
        "stopping: each run keeps what its last epoch made; the same command goes on",
        "stopped: 1 of 3 runs are done, 1 part-way; the same command goes on",
    ]  # fmt: skip
    assert said.out == ""


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
    assert "their scores: picie results -p recipe=ours -p dataset=scenes -p image_size=32 " in said.out
    monkeypatch.setattr(sys, "argv", [*arguments, "--status"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert re.search(r"failed   a, seed 90: ValueError: no\n +open .*failure.json", capsys.readouterr().out)
