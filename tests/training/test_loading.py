"""A finished run goes by the settings that it is asked for, and by the classes as they are now."""

import os
import tempfile

import numpy as np
import pytest
import yaml
from PIL import Image
from tiny_runs import shrink, tiny

from picie_core import records, training
from picie_core.grid import command, plan, rows
from picie_core.settings import Settings
from picie_core.tables import lists
from picie_core.training import loading, run


@pytest.fixture(autouse=True)
def small(monkeypatch):
    shrink(monkeypatch.setattr)


@pytest.fixture
def photographs(tmp_path):
    """A folder of six labelled images of two classes, and its settings."""
    folder = tmp_path / "photos"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        Image.fromarray((pixels[:, :, 0] > 127).astype(np.uint8)).save(folder / "labels" / f"{i}.png")
    (folder / "classes.csv").write_text("id,name,kind\n0,car,stuff\n1,road,stuff\n")
    return folder


def asked(tmp_path, root, **changes):
    given = {"dataset": "folder", "data_root": root, "train_images": None, "val_images": None, "method": "rgb"}
    return tiny(tmp_path / "runs", **(given | changes))


def read_only(*_args, **_kwargs):
    raise PermissionError(13, "Permission denied")


def row_of(settings, tmp_path):
    """The score that a grid's table finds for the settings."""
    file = tmp_path / "grid.yaml"
    file.write_text("title: a\nabout: b\nseeds: 1\nrows:\n  - {name: it, settings: {}}\n")
    explicit = {name: value for name, value in settings.explicit.items() if name != "seed"}
    tidy = records.tidy(records.finished(tmp_path / "runs"))
    return rows.scores(plan.read(file, explicit), tidy)["it"]


def test_a_run_goes_by_the_folder_that_its_images_were_moved_to(tmp_path, photographs):
    made = run(asked(tmp_path, photographs))
    at = (made.folder / "result.json").stat().st_mtime_ns
    moved = asked(tmp_path, photographs.rename(tmp_path / "moved"))
    again = run(moved)
    assert again.folder == made.folder
    assert again.settings.data_root == tmp_path / "moved"
    assert again.data_name.startswith("folder-moved-")
    assert row_of(moved, tmp_path) == {1: pytest.approx(made.scores.mean_iou)}
    assert (made.folder / "result.json").stat().st_mtime_ns == at


@pytest.mark.parametrize("changes", [{"train_images": 50}, {"val_images": 50}, {"on_bad_image": "skip"}])
def test_what_leaves_the_images_as_they_are_leaves_the_row_its_score(tmp_path, photographs, changes):
    made = run(asked(tmp_path, photographs))
    other = asked(tmp_path, photographs, **changes)
    assert row_of(other, tmp_path) == {}
    assert run(other).folder == made.folder
    assert row_of(other, tmp_path) == {1: pytest.approx(made.scores.mean_iou)}


def test_a_corrected_class_is_in_the_record(tmp_path, photographs):
    made = run(asked(tmp_path, photographs))
    at = (made.folder / "result.json").stat().st_mtime_ns
    (photographs / "classes.csv").write_text("id,name,kind\n0,vehicle,thing\n1,road,stuff\n")
    again = run(asked(tmp_path, photographs))
    assert again.folder == made.folder
    assert again.classes.names == ("vehicle", "road")
    assert [again.classes.names[i] for i in again.classes.things] == ["vehicle"]
    assert dict(again.result) | {"classes": made.result["classes"]} == dict(made.result)
    assert (made.folder / "result.json").stat().st_mtime_ns == at  # of equal rows tables show the latest made


def test_runs_that_only_others_write_are_loaded_as_they_are(tmp_path, photographs, monkeypatch, caplog):
    made = run(asked(tmp_path, photographs))
    (photographs / "classes.csv").write_text("id,name,kind\n0,vehicle,thing\n1,road,stuff\n")
    settings = asked(tmp_path, photographs, train_images=50)
    classes = training.splits(settings)[1].classes
    monkeypatch.setattr(tempfile, "mkstemp", read_only)
    monkeypatch.setattr(os, "utime", read_only)
    again = loading.load(made.folder, settings, classes)
    assert again.settings == made.settings == records.load(made.folder).settings
    assert again.classes.names == ("vehicle", "road")
    assert [r.getMessage().rsplit(": ", 1)[1] for r in caplog.records] == [
        "tables do not show it for these settings", "its classes keep their older names",
    ]  # fmt: skip


def test_where_a_named_data_set_lies_matters_to_no_table(tmp_path, monkeypatch, caplog):
    made = run(tiny(tmp_path, method="rgb", data_root=tmp_path / "a"))
    settings = tiny(tmp_path, method="rgb", data_root=tmp_path / "b")
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "mkstemp", read_only)
        assert run(settings).settings.data_root == tmp_path / "a"
    assert caplog.records == []
    again = run(settings)
    assert (again.folder, again.settings.data_root) == (made.folder, tmp_path / "b")


def test_only_what_was_asked_for_otherwise_is_written(tmp_path, photographs):
    """The rest of the record says how the run was made."""
    made = run(asked(tmp_path, photographs, recipe="paper", scale="small"))
    before = yaml.safe_load((made.folder / "settings.yaml").read_text())
    given = {name: value for name, value in made.settings.values().items() if name not in ("recipe", "scale")}
    again = run(Settings(**given | {"train_images": 50, "workers": 1, "device": "cpu"}))
    assert again.folder == made.folder
    after = yaml.safe_load((made.folder / "settings.yaml").read_text())
    assert after["settings"] == before["settings"] | {"train_images": 50}
    assert after["sources"] == before["sources"] | {"train_images": "explicit"}


def test_the_record_of_a_settings_file_that_was_edited_is_of_what_was_run(tmp_path):
    """As `picie train` reads it."""
    text = tiny(tmp_path, method="rgb", num_clusters=5).to_yaml()
    made = run(Settings.from_yaml(text.replace("num_clusters: 5", "num_clusters: 7").replace("explicit", "default")))
    assert made.settings.num_clusters == len(made.confusion[0]) == 7
    assert "-p num_clusters=7" in lists.command(made.settings)


def test_what_is_asked_for_alike_is_not_written(tmp_path, photographs, monkeypatch):
    run(asked(tmp_path, photographs))
    monkeypatch.setattr(tempfile, "mkstemp", lambda **_: pytest.fail("written"))
    monkeypatch.chdir(photographs.parent)
    run(asked(tmp_path, "photos", workers=1))


def test_a_record_that_cannot_be_read_is_left_to_the_loading(tmp_path, photographs):
    settings = asked(tmp_path, photographs)
    (tmp_path / "settings.yaml").write_text("no: settings")
    loading.adopt(tmp_path, settings)
    assert (tmp_path / "settings.yaml").read_text() == "no: settings"


def test_a_grid_whose_runs_are_done_lets_them_go_by_its_settings(tmp_path, photographs):
    made = run(asked(tmp_path, photographs))
    moved = asked(tmp_path, photographs.rename(tmp_path / "moved"))
    assert row_of(moved, tmp_path) == {}  # and writes the grid
    given = [f"{name}={value}" for name, value in moved.explicit.items() if name != "seed"]
    command.grid(str(tmp_path / "grid.yaml"), given, only=["it"])
    assert row_of(moved, tmp_path) == {1: pytest.approx(made.scores.mean_iou)}


def test_a_finished_run_is_found_and_nothing_is_trained_for_it(tmp_path, photographs):
    settings = asked(tmp_path, photographs)
    with pytest.raises(FileNotFoundError, match=r"no finished run in .*folder-rgb-.* \(no such folder\)"):
        training.finished(settings)
    assert not (tmp_path / "runs").exists()
    made = run(settings)
    found = training.finished(settings)
    assert (found.folder, found.scores.mean_iou) == (made.folder, made.scores.mean_iou)
