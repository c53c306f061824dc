"""Grids for tests: a file of tiny rows, and a stand-in for the process that a job is."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from tiny_runs import TINY

from picie_core.grid import job

STUB = '''\
"""Instead of papermill and a kernel: leaves what a run leaves, or fails, dies or waits as its row's seed says."""
import json, os, pathlib, signal, sys, threading, time

def leash():
    os.read(0, 1)
    os._exit(75)

threading.Thread(target=leash, daemon=True).start()
spec = json.loads(sys.argv[1])
folder = pathlib.Path(spec["output"]).parent
folder.mkdir(parents=True, exist_ok=True)
with (folder / "starts").open("a") as file:
    file.write(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
starts = len((folder / "starts").read_text().splitlines())
seed = spec["given"]["seed"]
if seed == 90:
    sys.stderr.write("ValueError: no\\nOpen here\\n")
    sys.exit(2)
if seed == 91 or (seed == 92 and starts == 1):
    os.kill(os.getpid(), signal.SIGKILL)
if seed == 93:
    for _ in range(1200):
        if (folder / "fast").exists() and starts > 1:
            break
        time.sleep(0.1)
time.sleep(0.2)
(folder / "result.json").write_text(json.dumps({"seconds": 2.0, "stub": True}))
'''


@pytest.fixture
def grid_file(tmp_path):
    """Write a grid file: rows (name -> settings, or as in the file), seeds, and whatever else."""

    def write(rows, seeds=(1,), name="small.yaml", **more):
        base = {key: value for key, value in TINY.items() if key != "device"}
        if isinstance(rows, dict):
            rows = [{"name": row, "settings": settings} for row, settings in rows.items()]
        content = {"base": base, "seeds": seeds if isinstance(seeds, str) else list(seeds), "rows": rows} | more
        path = tmp_path / name
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Jobs are stubs: seed 90 fails, 91 always dies, 92 dies once, 93 takes two minutes, the others no time."""
    script = tmp_path / "stub.py"
    script.write_text(STUB)
    monkeypatch.setattr(job, "COMMAND", [sys.executable, str(script)])
    monkeypatch.setenv("PICIE_RUNS", str(tmp_path / "runs"))
    return script


def starts(folder: Path) -> list[str]:
    """What each start of a stub noted: process, threads, graphics card."""
    file = folder / "starts"
    return file.read_text().splitlines() if file.is_file() else []


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())
