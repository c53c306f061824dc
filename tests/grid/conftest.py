"""Grids for tests: a file of tiny rows, and a stand-in for the process that a job is."""

import sys

import pytest
import yaml
from grid_stubs import STUB
from tiny_runs import TINY

from picie_core.grid import job


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
    """Jobs are stubs: seed 90 fails, 91 always dies, 92 dies once, 93 takes two minutes, 95 fails with its
    folder in the message, 96 takes two minutes and does not mind its leash; the others take no time."""
    script = tmp_path / "stub.py"
    script.write_text(STUB)
    monkeypatch.setattr(job, "COMMAND", [sys.executable, str(script)])
    monkeypatch.setenv("PICIE_RUNS", str(tmp_path / "runs"))
    return script
