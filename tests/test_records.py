"""`records`: nothing half-written is taken for whole, nothing is unpickled, what was written comes back."""

import dataclasses
import errno
import json
import os
import pickle
import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from finished_runs import MATRIX, finished_run
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import die, killed

from picie_core import classes, records
from picie_core.errors import UnreadableError
from picie_core.metrics import majority, majority_iou, match_iou, score
from picie_core.metrics.partitions import objects, things_and_stuff
from picie_core.records import parts
from picie_core.settings import Settings
from picie_core.tables import lists

# -- single files


def test_arrays_and_tensors_come_back(tmp_path):
    array = np.arange(6, dtype=np.int64).reshape(2, 3)
    parts.write_array(tmp_path / "a.npy", array)
    assert np.array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), array)
    tensors = {
        "step": torch.tensor(3.0),
        "half": torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16),
        "view": torch.arange(12).reshape(3, 4).T,
        "last": torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1), requires_grad=True).to(
            memory_format=torch.channels_last
        ),
    }
    parts.write_tensors(tmp_path / "t.safetensors", tensors)
    folder = finished_run(tmp_path / "run")
    (tmp_path / "t.safetensors").replace(folder / "model.safetensors")
    found = records.load(folder).weights()
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor), name
        assert found[name].dtype == tensor.dtype


def test_objects_are_never_written_or_read(tmp_path):
    with pytest.raises(ValueError, match=r"[Oo]bject arrays"):
        parts.write_array(tmp_path / "confusion.npy", np.array([{"a": 1}], dtype=object))
    assert not list(tmp_path.iterdir())
    folder = finished_run(tmp_path / "run")

    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    np.save(folder / "confusion.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        records.load(folder)
    (folder / "confusion.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="pickle"):
        records.load(folder)
    assert not (tmp_path / "exploded").exists()


def test_tensors_that_the_disk_does_not_take_leave_the_old_file_and_say_why(tmp_path):
    """A real refusal of the system's, which the library has words of its own for."""
    file = tmp_path / "model.safetensors"
    parts.write_tensors(file, {"a": torch.arange(3)})
    large = torch.zeros(100_000)  # not in the fork, where torch's threads are no more

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            parts.write_tensors(file, {"a": large})
        except OSError as error:
            if error.errno == errno.EFBIG and error.filename == str(file):
                die()

    assert killed(work)
    assert safetensors.torch.load_file(file)["a"].tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [file]


def test_what_the_library_refuses_for_another_reason_is_its_own_error(tmp_path):
    shared = torch.zeros(4)
    with pytest.raises(RuntimeError, match="share memory"):
        parts.write_tensors(tmp_path / "x", {"a": shared, "b": shared})
    assert list(tmp_path.iterdir()) == []


# -- progress.csv

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SIZES = st.lists(st.integers(0, 2**40), min_size=1, max_size=5)
ROWS = st.lists(st.tuples(NUMBERS, st.floats(0, 1e9), SIZES), min_size=1, max_size=4)


@given(ROWS)
def test_progress_round_trip(tmp_path_factory, rows):
    folder = tmp_path_factory.getbasetemp()
    table = [
        {"epoch": n, "loss": a, "seconds_train": b, "cluster_sizes_1_5": sizes} for n, (a, b, sizes) in enumerate(rows)
    ]
    parts.write_progress(folder, table)
    found = parts.read_progress(folder)
    assert found.columns.tolist() == list(table[0])
    assert found.to_dict("records") == table  # floats bit for bit, lists as lists
    assert found["epoch"].dtype.kind == "i"


def test_progress_with_a_missing_number(tmp_path):
    parts.write_progress(tmp_path, [{"epoch": 0, "loss": float("nan")}, {"epoch": 1, "loss": 0.5}])
    assert parts.read_progress(tmp_path)["loss"].isna().tolist() == [True, False]


def test_damaged_progress_is_named_wherever_it_was_cut(tmp_path):
    folder = finished_run(tmp_path / "run", Settings(num_clusters=2, epochs=2))
    file = folder / "progress.csv"
    rows = [{"epoch": n, "loss": 1.25, "cluster_sizes_1_2": [3, 4], "seconds": 12.5} for n in (0, 1)]
    parts.write_progress(folder, rows)
    whole = file.read_bytes()
    for end in range(1, len(whole)):
        if whole[end - 1 : end] != b"\n":
            file.write_bytes(whole[:end])
            with pytest.raises(UnreadableError, match=r"run cannot be read: progress\.csv is not .* Delete the folder"):
                records.load(folder)


def test_a_finished_run_has_every_epoch_of_a_method_that_learns(tmp_path):
    folder = finished_run(tmp_path / "run", Settings(num_clusters=2, epochs=3))
    rows = [{"epoch": n} for n in range(4)]
    parts.write_progress(folder, rows)  # for longer than its settings say today
    assert len(records.load(folder).progress) == 4
    for missing in (rows[:2], []):
        parts.write_progress(folder, missing)
        with pytest.raises(UnreadableError, match=f"run cannot be read: progress.csv has {len(missing)} of 3 epochs"):
            records.load(folder)
    (folder / "progress.csv").unlink()
    with pytest.raises(UnreadableError, match="has 0 of 3 epochs"):
        records.load(folder)
    assert records.load(finished_run(tmp_path / "rgb", Settings(method="rgb", num_clusters=2))).progress.empty


def test_no_epochs_no_progress(tmp_path):
    assert parts.read_progress(tmp_path).empty
    parts.write_progress(tmp_path, [])
    assert parts.read_progress(tmp_path).empty


# -- run folders


def test_a_finished_run_is_loaded(tmp_path):
    settings = Settings(dataset="camvid", num_clusters=2, seed=7, epochs=1)
    folder = finished_run(tmp_path / "run", settings, classes=classes.SCENES.to_dict())
    parts.write_progress(folder, [{"epoch": 0, "cluster_sizes_1_2": [3, 4]}])
    run = records.load(folder)
    assert (run.settings, run.folder, run.result["key"]) == (settings, folder, "run")
    assert np.array_equal(run.confusion, MATRIX)
    assert run.scores.accuracy == score(MATRIX).accuracy == pytest.approx(100 * 13 / 16)
    assert run.progress["cluster_sizes_1_2"].tolist() == [[3, 4]]
    assert run.classes.names == classes.SCENES.names


def test_without_labels_there_are_no_scores(tmp_path):
    run = records.load(finished_run(tmp_path / "run", Settings(epochs=0), matrix=None))
    assert (run.scores, run.confusion, run.classes) == (None, None, None)
    assert run.progress.empty


@pytest.mark.parametrize(
    ("made", "words"), [(True, "an unfinished run: run the same settings again"), (False, "no such")]
)
def test_an_unfinished_run_is_not_loaded(tmp_path, made, words):
    folder = tmp_path / "run"
    if made:
        (finished_run(folder) / "result.json").unlink()
    assert not records.is_done(folder)
    with pytest.raises(FileNotFoundError, match=words) as error:
        records.load(folder)
    assert str(folder) in str(error.value)


def test_finished_runs_oldest_first(tmp_path):
    for age, name in ((10, "b"), (30, "c"), (20, "a")):
        file = finished_run(tmp_path / name) / "result.json"
        os.utime(file, (1e9 - age, 1e9 - age))
    (finished_run(tmp_path / "unfinished") / "result.json").unlink()
    assert [run.folder.name for run in records.finished(tmp_path)] == ["c", "a", "b"]
    assert records.finished(tmp_path / "nowhere") == []


@pytest.mark.parametrize("content", ["", "{", "{}", "[]"])
@pytest.mark.parametrize("file", ["result.json", "confusion.npy", "settings.yaml"])
def test_a_run_that_cannot_be_read_is_named_and_left_out(tmp_path, caplog, file, content):
    finished_run(tmp_path / "good")
    (finished_run(tmp_path / "damaged") / file).write_text(content)
    assert [run.folder.name for run in records.finished(tmp_path)] == ["good"]
    assert f"{tmp_path / 'damaged'} cannot be read: " in caplog.text
    assert "Delete the folder" in caplog.text


def test_the_weights_of_a_run_are_there_and_whole(tmp_path, monkeypatch):
    folder = finished_run(tmp_path / "run")
    file, run = folder / "model.safetensors", records.load(folder)
    whole = file.read_bytes()
    assert run.weights()["weight"].shape == (2, 3)
    for content in (whole[:-1], whole[:40], whole + b"x", b"", None):
        file.unlink()
        if content is not None:
            file.write_bytes(content)
        for read in (run.weights, lambda: records.load(folder)):
            with pytest.raises(UnreadableError, match=rf"{folder} cannot be read: .* Delete the folder"):
                read()


def test_weights_that_the_system_cannot_read_now_are_not_to_be_deleted(tmp_path):
    run = records.load(finished_run(tmp_path / "run"))
    file = run.folder / "model.safetensors"
    file.unlink()
    file.symlink_to(file)  # in a circle; root may read a file of any mode
    for read in (run.weights, lambda: records.load(run.folder)):
        with pytest.raises(OSError, match="Too many levels of symbolic links"):
            read()


def test_a_scored_run_without_its_matrix_is_damaged_and_not_unlabelled(tmp_path):
    folder = finished_run(tmp_path / "run", accuracy=81.25)
    (folder / "confusion.npy").unlink()
    with pytest.raises(UnreadableError, match=rf"{folder} cannot be read: .*confusion\.npy.* Delete the folder"):
        records.load(folder)


def test_a_result_without_what_tables_ask_for_is_told(tmp_path):
    file = finished_run(tmp_path / "damaged") / "result.json"
    file.write_text(json.dumps({key: v for key, v in json.loads(file.read_text()).items() if key != "commit"}))
    with pytest.raises(UnreadableError, match=r"result.json is not that of a run: it lacks commit\. Delete"):
        records.load(file.parent)


@pytest.mark.parametrize("content", ["", '{"python": "3.11"}'])
def test_a_run_is_read_without_a_word_of_its_machine(tmp_path, caplog, content):
    run = records.load(finished_run(tmp_path / "run"))
    (run.folder / "environment.json").write_text(content)
    assert records.load(run.folder).environment == {}
    assert f"{run.folder}: environment.json" in caplog.text
    assert lists.every_run([run])["device"].tolist() == [""]


def test_what_the_system_cannot_read_now_is_not_to_be_deleted(tmp_path, monkeypatch, caplog):
    folder = finished_run(tmp_path / "run")

    def stale(*_args, **_kwargs):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(records.np, "load", stale)
    with pytest.raises(OSError, match="Stale"):
        records.load(folder)
    assert records.finished(tmp_path) == []
    assert "Stale" in caplog.text
    assert "Delete" not in caplog.text


def test_tidy_is_a_row_a_run_and_metric(tmp_path):
    plus = Settings(dataset="camvid", num_clusters=2, num_overclusters=100, seed=2, data_root="/data")
    runs = [
        records.load(finished_run(tmp_path / "one", Settings(recipe="release", num_clusters=2))),
        records.load(finished_run(tmp_path / "two", plus)),
        records.load(finished_run(tmp_path / "none", matrix=None)),
    ]
    table = records.tidy(runs)
    table = table[table["metric"].isin(["accuracy", "mean_iou"])].reset_index(drop=True)
    assert table[["method", "recipe", "seed", "key", "metric"]].to_numpy().tolist() == [
        ["picie", "release", 1, "one", "accuracy"],
        ["picie", "release", 1, "one", "mean_iou"],
        ["picie+H", "ours", 2, "two", "accuracy"],
        ["picie+H", "ours", 2, "two", "mean_iou"],
    ]
    assert table["value"].tolist() == 2 * [score(MATRIX).accuracy, score(MATRIX).mean_iou]
    assert json.loads(table["explicit"][2]) == {
        "dataset": "camvid", "data_root": "/data", "num_clusters": 2, "num_overclusters": 100, "seed": 2,
    }  # fmt: skip


def test_tidy_tells_how_many_images_of_which_split_there_were(tmp_path):
    run = records.load(
        finished_run(tmp_path / "run", Settings(train_split="trainaug", dataset="voc21", num_clusters=2))
    )
    assert set(records.tidy([run])["images"]) == {"{}"}  # written before results had them
    made = {"train": {"images": 90, "fingerprint": "a"}, "val": {"images": 7, "fingerprint": "b"}}
    run = dataclasses.replace(run, result=run.result | made)
    assert set(records.tidy([run])["images"]) == {'{"trainaug": 90, "val": 7}'}


def test_tidy_of_nothing_has_its_columns():
    expected = "method dataset recipe seed key seconds explicit digest images metric value".split()
    assert records.tidy([]).columns.tolist() == expected
    assert isinstance(records.tidy([]), pd.DataFrame)


def test_tidy_names_every_other_score_by_what_differs(tmp_path):
    table = classes.TABLES["camvid"]
    matrix = np.random.default_rng(0).integers(1, 99, (11, 14))
    folder = finished_run(tmp_path / "run", Settings(num_clusters=14), matrix, classes=table.to_dict())
    found = records.tidy([records.load(folder)]).set_index("metric")["value"]
    vote = score(matrix, majority(matrix))
    parts = things_and_stuff(matrix, table)
    assert len(found) == 2 * (3 + 6 + 2)
    assert found["accuracy"] == score(matrix).accuracy
    assert found["accuracy, majority vote"] == vote.accuracy > found["accuracy"]
    assert found["mean_iou, Hungarian by IoU"] == score(matrix, match_iou(matrix)).mean_iou
    assert found["mean_iou, things (block)"] == parts["things", "block"].mean_iou
    assert found["accuracy, stuff (class mean)"] == parts["stuff", "class mean"].accuracy
    counts = objects(matrix, table.things)
    assert found["mean_iou, objects"] == score(counts, match_iou(counts)).mean_iou
    assert found["accuracy, objects"] == score(counts, match_iou(counts)).accuracy
    assert found["mean_iou, objects, majority vote"] == score(counts, majority_iou(counts)).mean_iou
    assert found["mean_iou, objects, majority vote"] != score(counts, majority(counts)).mean_iou


def test_what_was_taught_the_classes_keeps_them_among_objects(tmp_path):
    table = classes.TABLES["camvid"]
    matrix = np.random.default_rng(0).integers(1, 99, (11, 11))
    settings = Settings(method="supervised", num_clusters=11)
    run = records.load(finished_run(tmp_path / "run", settings, matrix, classes=table.to_dict()))
    found = records.tidy([run]).set_index("metric")["value"]
    square = np.vstack([matrix[:8].sum(axis=0), matrix[8:]])
    square = np.hstack([square[:, :8].sum(axis=1, keepdims=True), square[:, 8:]])
    assert found["mean_iou, objects"] == score(square, np.arange(4)).mean_iou
    assert found["accuracy, objects"] == pytest.approx(100 * np.trace(square) / square.sum())
    assert not any("majority" in metric for metric in found.index)


def test_without_things_or_without_stuff_there_are_no_objects(tmp_path):
    folder = finished_run(tmp_path / "run", matrix=np.eye(15, dtype=int), classes=classes.COCO_STUFF15.to_dict())
    assert not any("objects" in metric for metric in records.tidy([records.load(folder)])["metric"])


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "picie"),
        ({"num_overclusters": 100}, "picie+H"),
        ({"method": "untrained", "num_overclusters": 100}, "untrained"),  # as a row beside PiCIE+H may be given
        ({"classifier": "parametric"}, "picie"),
        ({"method": "untrained"}, "untrained"),
        ({"method": "untrained", "classifier": "parametric"}, "untrained-linear"),
    ],
)
def test_a_row_of_the_papers_tables_has_a_name_of_its_own(given, name):
    assert records.method_name(Settings(**given)) == name


def test_the_digest_is_of_what_is_run_and_not_of_the_words():
    settings = Settings(dataset="camvid", seed=1)
    same = [
        settings.replace(seed=7),
        settings.replace(device="cpu", data_root="/a", workers=3, fresh=True, runs_root="/b"),
        settings.replace(recipe="ours", epochs=settings.epochs, learning_rate=settings.learning_rate),
        Settings(**{k: v for k, v in settings.values().items() if k not in ("recipe", "scale")}),
        Settings.from_yaml(settings.to_yaml()),
    ]
    other = [
        settings.replace(epochs=settings.epochs + 1),
        settings.replace(dataset="coco27", num_clusters=11),
        settings.replace(val_images=50),
        settings.replace(recipe="release"),
        settings.replace(method="untrained"),
        settings.replace(scored_split="train"),
    ]
    assert {records.digest(s) for s in same} == {records.digest(settings)}
    other += [Settings(dataset="folder", data_root=place, pretrained=False) for place in ("/a/photos", "/b/photos")]
    assert len({records.digest(s) for s in [settings, *other]}) == 1 + len(other)
