"""`places`: one home, wherever the notebook is started from."""

import hashlib
import os
import re
from pathlib import Path

import pytest

from picie_core import places

SOURCE = Path(places.__file__).resolve().parent.parent
PYPROJECT = f'[project]\nname = "{places.PROJECT}"\n'


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("PICIE_HOME", "PICIE_RUNS", "PICIE_PREPARED"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clone(tmp_path):
    """A clone of the workbook elsewhere, as far as places look at it."""
    folder = (tmp_path / "clone").resolve()
    (folder / "notebooks" / "grids").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    return folder


def test_this_source_tree_is_known_as_the_project(monkeypatch):
    monkeypatch.chdir(SOURCE)
    assert places.home() == SOURCE


@pytest.mark.parametrize("started_in", [".", "notebooks", "notebooks/grids"])
def test_the_nearest_clone_above_the_working_directory(clone, monkeypatch, started_in):
    monkeypatch.chdir(clone / started_in)
    assert places.home() == clone
    assert places.data_folder() == clone / "data"
    assert places.prepared_folder() == clone / "data" / "prepared"
    assert places.reports_folder() == clone / "reports"
    assert places.runs_root() == clone / "reports" / "runs"


def test_from_the_root_it_is_the_tree_the_package_is_installed_from(monkeypatch):
    monkeypatch.chdir("/")
    assert places.home() == SOURCE


@pytest.mark.parametrize(
    "content",
    ['[project]\nname = "somebody-elses"\n', "[tool.black]\n", "not toml [", b"\xff\xfe\x00"],
    ids=["other", "nameless", "broken", "not utf-8"],
)
def test_another_projects_folder_is_not_home(tmp_path, monkeypatch, content):
    (tmp_path / "pyproject.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    assert places.home() == SOURCE


def test_another_project_inside_a_clone_belongs_to_the_clone(clone, monkeypatch):
    inner = clone / "notebooks"
    (inner / "pyproject.toml").write_text('[project]\nname = "inner"\n')
    monkeypatch.chdir(inner)
    assert places.home() == clone


def test_of_two_clones_the_nearest(clone, monkeypatch):
    inner = clone / "notebooks"
    (inner / "pyproject.toml").write_text(PYPROJECT)
    monkeypatch.chdir(inner / "grids")
    assert places.home() == inner


def test_a_folder_named_pyproject_is_no_project(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").mkdir()
    monkeypatch.chdir(tmp_path)
    assert places.home() == SOURCE


def test_without_any_project_it_is_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "__file__", str(tmp_path / "site-packages" / "picie_core" / "places.py"))
    monkeypatch.chdir(tmp_path)
    assert places.home() == tmp_path.resolve()


def test_picie_home_goes_before_the_working_directory(clone, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(clone)
    monkeypatch.setenv("PICIE_HOME", str(other))
    assert places.home() == other.resolve()
    assert places.runs_root() == other.resolve() / "reports" / "runs"
    monkeypatch.setenv("PICIE_HOME", "../other")
    assert places.home() == other.resolve()
    monkeypatch.setenv("PICIE_HOME", "")
    assert places.home() == clone


def test_picie_home_must_be_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PICIE_HOME", str(tmp_path / "gone"))
    with pytest.raises(NotADirectoryError, match=r"PICIE_HOME is .*gone.*create it or unset"):
        places.home()


@pytest.mark.parametrize(
    ("variable", "place"), [("PICIE_RUNS", places.runs_root), ("PICIE_PREPARED", places.prepared_folder)]
)
def test_runs_and_prepared_data_can_lie_elsewhere(clone, tmp_path, monkeypatch, variable, place):
    monkeypatch.chdir(clone)
    usual = place()
    monkeypatch.setenv(variable, str(tmp_path / "big disk"))
    assert place() == (tmp_path / "big disk").resolve()  # it need not exist yet
    monkeypatch.setenv(variable, "~/there")
    assert place() == Path.home().resolve() / "there"
    monkeypatch.setenv(variable, "")
    assert place() == usual
    assert places.home() == clone


def test_what_the_outputs_on_a_data_set_are_called(tmp_path, monkeypatch):
    assert places.data_name("camvid", tmp_path) == "camvid"
    assert places.data_name("folder") == "folder"
    assert [places.dataset_of(name) for name in ("camvid", "folder")] == ["camvid", "folder"]
    name = places.data_name("folder", tmp_path / "photos")
    assert re.fullmatch(r"folder-photos-[0-9a-f]{4}", name)
    assert places.dataset_of(name) == "folder"
    monkeypatch.chdir(tmp_path)
    assert places.data_name("folder", "photos/../photos/") == name  # the same place in other words
    assert places.data_name("folder", tmp_path / "more" / "photos") != name
    assert places.local_folder("folder", "photos").parts[-2:] == ("local", name)


def test_a_folder_whose_name_is_not_utf8_is_called_by_what_can_be_written():
    for raw, shown in ((b"/photos/sur\xff", "sur\N{REPLACEMENT CHARACTER}"), ("/photos/süß".encode(), "süß")):
        digest = hashlib.sha256(raw).hexdigest()[:4]
        assert places.data_name("folder", os.fsdecode(raw)) == f"folder-{shown}-{digest}"
