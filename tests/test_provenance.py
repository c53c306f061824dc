"""`provenance`: what made a run."""

import json
import subprocess

import torch

from picie_core import provenance


def test_environment_says_what_made_the_numbers():
    found = provenance.environment(torch.device("cpu"))
    assert found["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert set(found["packages"]) == set(provenance.PACKAGES)
    assert (found["device"], found["gpu"]) == ("cpu", None)
    assert found["cpu_capability"]
    json.dumps(found)


def test_commit_has_a_plus_with_changes_and_is_none_outside_of_a_repository(tmp_path, monkeypatch):
    def git(*words):
        command = ["git", "-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() is None
    git("init", "-q")
    assert provenance.commit() is None  # no commit yet
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "first")
    head = git("rev-parse", "HEAD").stdout.strip()
    assert provenance.commit() == head
    (tmp_path / "file").write_text("2")
    assert provenance.commit() == head + "+"
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() is None
