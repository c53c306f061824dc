"""`files`: nothing half-written is taken for whole, the folder is made, and errors name the file."""

import errno
import json
import os
from pathlib import Path

import pytest
from tiny_runs import die, full, killed

from picie_core import files


def test_a_file_is_written_whole_with_no_rest(tmp_path):
    file = tmp_path / "file.json"
    files.write_json(file, {"a": [1, 2.5, None], "b": "é"})
    assert json.loads(file.read_text()) == {"a": [1, 2.5, None], "b": "é"}
    files.write(file, b"\x00\xff")
    assert file.read_bytes() == b"\x00\xff"
    assert list(tmp_path.iterdir()) == [file]
    assert file.stat().st_mode & 0o777 == 0o644  # others may read a run


@pytest.mark.parametrize("where", ["fsync", "replace"])
@pytest.mark.parametrize("before", [None, "old"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, where, before):
    file = tmp_path / "result.json"
    if before:
        file.write_text(before)
    monkeypatch.setattr(*((os, "fsync") if where == "fsync" else (Path, "replace")), full)
    with pytest.raises(OSError, match=r"No space left.*make room, then do the same again.*result\.json'"):
        files.write(file, "new")
    assert [path.name for path in tmp_path.iterdir()] == (["result.json"] if before else [])
    assert not before or file.read_text() == before


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path, where):
    file = tmp_path / "result.json"
    file.write_text("old")

    def work():
        setattr(*((os, "fsync") if where == "fsync" else (Path, "replace")), die)
        files.write(file, "new")

    assert killed(work)
    assert file.read_text() == "old"
    files.write(file, "newer")
    assert file.read_text() == "newer"


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append(f"fsync {os.fstat(fd).st_size}"), fsync(fd)))
    monkeypatch.setattr(Path, "replace", lambda path, target: (order.append("rename"), replace(path, target))[1])
    files.write(tmp_path / "x", "12345")
    assert order == ["fsync 5", "rename"]


def test_the_folder_is_made_and_the_parts_stand_one_after_the_other(tmp_path):
    file = tmp_path / "tables" / "new" / "a.txt"
    files.write(file, "one ", b"two ", memoryview(b"three"))
    assert file.read_text() == "one two three"
    assert [path.name for path in file.parent.iterdir()] == ["a.txt"]


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path):
    file = tmp_path / ("a" * 251 + ".jpg")
    files.write(file, "whole")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    with pytest.raises(OSError, match="name too long") as caught:
        files.write(file.with_suffix(".jpeg"), "whole")
    assert caught.value.errno == errno.ENAMETOOLONG
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_folder_that_cannot_be_made_is_told_by_the_files_name(tmp_path):
    (tmp_path / "taken").touch()
    file = tmp_path / "taken" / "a.json"
    with pytest.raises(OSError, match=r"a\.json") as caught:
        files.write_json(file, {"a": 1})
    assert caught.value.filename == str(file)
