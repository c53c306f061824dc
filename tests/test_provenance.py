"""`provenance`: the runs behind a number as text and back, and the commit of the code."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picie_core import provenance

DIGESTS = st.text("0123456789abcdef", min_size=12, max_size=12)


def test_behind_by_hand():
    runs = [("b" * 12, 10), ("a" * 12, 1), ("b" * 12, 9), ("b" * 12, 10)]
    assert provenance.behind(runs) == "bbbbbbbbbbbb:9,10 aaaaaaaaaaaa:1"
    assert provenance.behind([]) == ""


@given(st.sets(st.tuples(DIGESTS, st.integers(0, 2**31))))
def test_what_is_written_is_read(runs):
    assert set(provenance.read(provenance.behind(runs))) == runs


@pytest.mark.parametrize("text", ["abc", "abc:", ":1", "abc:1,x", "abc:1 2"])
def test_another_text_is_refused(text):
    with pytest.raises(ValueError, match="names no runs: expected `digest:seed,seed`"):
        provenance.read(text)


@pytest.fixture
def git(tmp_path):
    """Run git in a folder of its own."""

    def call(*words):
        command = ["git", "-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    return call


def test_a_change_outside_of_the_package_gives_no_plus(git, tmp_path, monkeypatch):
    (tmp_path / "package").mkdir()
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "package" / "provenance.py"))
    git("init", "-q")
    for name in ("README.md", "package/module.py"):
        (tmp_path / name).write_text("1")
    git("add", ".")
    git("commit", "-qm", "first")
    (tmp_path / "README.md").write_text("2")
    assert provenance.commit() == git("rev-parse", "HEAD").stdout.strip()
    (tmp_path / "package" / "module.py").write_text("2")
    assert provenance.commit().endswith("+")


def test_commit_has_a_plus_with_changes_and_is_none_outside_of_a_repository(git, tmp_path, monkeypatch):
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
