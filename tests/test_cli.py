"""`picie` as a person types it: what it prints, where it writes, and one line for a mistake."""

import csv
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from picie_core import cli, demo, execution, figures, options, parameters, places, records, tables, training
from picie_core.datasets import DATASETS
from picie_core.report import publishing
from picie_core.settings import Settings
from picie_core.tables import lists

ROOT = Path(__file__).parent.parent
COMMANDS = sorted(command.name or command.callback.__name__ for command in cli.app.registered_commands)
TINY = ("image_size=32", "base_size=48", "train_images=8", "val_images=4", "epochs=1", "batch_size=4", "threads=1",
        "kmeans_init_batches=1", "kmeans_update_batches=1", "feature_dim=8", "seed=7")  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A workbook of its own, with the notebooks and the published numbers of this one."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "home" / "notebooks", ignore=shutil.ignore_patterns(".*"))
    (tmp_path / "home" / "data").mkdir()
    shutil.copytree(ROOT / "data" / "paper", tmp_path / "home" / "data" / "paper")
    monkeypatch.setenv("PICIE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PICIE_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def picie(home, monkeypatch, capfd):
    """Call the command; its exit status, standard output and standard error."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["picie", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        return ended.value.code or 0, out, err

    return call


@pytest.fixture
def no_kernel(monkeypatch):
    monkeypatch.setattr(execution.papermill, "execute_notebook", lambda *a, **k: pytest.fail("a kernel was started"))


def test_a_library_that_is_missing_is_told_with_what_to_do(picie, monkeypatch):
    def without():
        raise ModuleNotFoundError("No module named 'faiss'", name="faiss")

    monkeypatch.setattr(cli, "app", without)
    status, _, err = picie("doctor")
    assert status == 2
    assert err.startswith("picie: this Python has no module faiss: `make setup`")


# -- help


def test_the_commands():
    assert (
        " ".join(COMMANDS) == "bands bench demo doctor grid prepare publish report results run segment settings train"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_teaches_by_example(command):
    shown = CliRunner().invoke(cli.app, [command, "--help"])
    assert shown.exit_code == 0
    examples = re.findall(rf"^ +picie {command}\b.*$", shown.output, re.MULTILINE)
    assert examples, shown.output
    for example in examples:  # each on a line of its own, as it is to be typed
        assert len(example) <= 110
        assert example.count("picie ") == 1


def test_every_setting_and_notebook_that_the_help_names_exists():
    named = set()
    for command in COMMANDS:
        text = CliRunner().invoke(cli.app, [command, "--help"]).output
        named |= set(re.findall(r"-p (\w+)=", text))
        for number in re.findall(r"picie run (\S+)", text):
            assert re.fullmatch(r"\d\d|NOTEBOOK", number)
    assert named >= {"dataset", "data_root", "seed"}
    assert named - {"overrides", "NAME"} <= set(Settings.model_fields)


def test_alone_it_shows_its_help(picie):
    _, out, err = picie()
    for command in COMMANDS:
        (line,) = re.findall(rf"^  {command} +(.+)$", out + err, re.MULTILINE)
        assert not line.endswith("...")


# -- mistakes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("settings", "-p", "learning_rat=1"), r"no setting is called 'learning_rat': did you mean 'learning_rate'\?"),
        (("settings", "-p", "overrides={}"), r"-p overrides: belongs to `picie run`"),
        (("settings", "-p", "epochs=two"), r"epochs = 'two': .*Expected int >= 0, <= 10000"),
        (("settings", "-p", "epochs"), r"-p 'epochs': expected name=value, such as -p seed=2"),
        (("settings", "-p", "recipe=theirs"), r"recipe = 'theirs': .*'paper' or 'release' or 'ours'"),
        (("run", "00", "-p", "sed=1"), r"00_run\.ipynb has no parameter 'sed': did you mean 'seed'\?"),
        (("run", "00", "-p", "epochs=-3"), r"epochs = '-3'"),
        (("run", "00", "-p", "num_overclusters=3"), r"overclustering needs more than num_clusters = 12"),
        (("run", "17"), r"no notebook '17'; there are: 00_run, 01_data, 02_baselines, 03_picie, 04_main_results"),
        (("run", "data/paper/picie_table1_coco_all.csv"), r"no notebook"),
        (("prepare", "scene", "-p", "image_size=32"), r"dataset = 'scene': did you mean 'scenes'\?"),
        (("prepare", "scenes", "-p", "image_size=33"), r"image_size = '33': .*multiple of 32"),
        (("prepare", "scenes", "-p", "train_images=0"), r"train_images = '0'"),
        (("prepare", "scenes", "-p", "scored_split=test"), r"scenes has no split 'test': .*Known: train, val"),
        (("prepare", "scenes", "-p", "dataset=camvid"), r"-p dataset: NAME is the data set .* give each once"),
        (("prepare", "folder"), r"folder needs to be told its folder: give root \(data_root, --root\)"),
        (("prepare", "camvid", "--root", "nowhere"), r"nowhere"),
        (("segment", "nothing", "--images", ".", "--out", "out"), r"no finished run nothing: give its folder"),
        (("report",), r"nothing to report in .*: execute a notebook first, e\.g\. `picie demo`"),
        (("report", "--committed"), r"nothing to report in .*: publish outputs first"),
        (("publish", "scenes"), r"nothing to publish in .*: execute a notebook on scenes first"),
        (("results", "-p", "method=pici"), r"method = 'pici': did you mean 'picie'\?"),
        (("results", "-p", "dataset=camvit"), r"dataset = 'camvit': did you mean 'camvid'\?"),
        (("results", "-p", "recipe=theirs"), r"recipe = 'theirs': .*'paper' or 'release' or 'ours'"),
        (("bench", "-p", "batch=3"), r"no setting is called 'batch': did you mean 'batch_size'\?"),
    ],
)  # fmt: skip
def test_a_mistake_is_a_line_and_status_2(picie, no_kernel, words, message):
    status, out, err = picie(*words)
    assert status == 2
    assert out == ""
    assert re.search(message, err), err
    assert err.startswith("picie: ")
    assert "Traceback" not in err
    assert "Error" not in err.splitlines()[0]


def test_every_wrong_parameter_is_told_at_once(picie, no_kernel):
    _, _, err = picie("run", "03", "-p", "sed=1", "-p", "epochs=two", "-p", "batch=3")
    assert len(err.splitlines()) == 3


@pytest.mark.parametrize("words", [("paint",), ("run",), ("segment", "x"), ("prepare", "scenes", "--sise", "3")])
def test_words_that_are_none_of_its_own_are_told(picie, words):
    status, _, err = picie(*words)
    assert status == 2
    assert "Traceback" not in err
    assert "Usage: " in err


def test_a_full_disk_is_a_line_too(picie, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device", "figures/a.png")

    monkeypatch.setattr(publishing, "publish", full)
    status, _, err = picie("publish", "scenes")
    assert (status, err) == (2, "picie: [Errno 28] No space left on device: 'figures/a.png'\n")


def test_a_home_that_is_none_is_told(picie, monkeypatch):
    monkeypatch.setenv("PICIE_HOME", "/no/where")
    status, _, err = picie("doctor")
    assert status == 2
    assert err.startswith("picie: PICIE_HOME is '/no/where', which is not a folder")


# -- results


def test_results_are_shown_over_seeds_and_written_run_by_run(picie, home, tiny_run, monkeypatch):
    monkeypatch.setenv("PICIE_RUNS", str(tiny_run.folder.parent))
    status, out, _ = picie("results", "-p", f"seed={tiny_run.settings.seed}", "--out", "every.csv")
    assert status == 0
    assert re.search(rf"^ *scenes +PiCIE +ours +{tiny_run.scores.accuracy:.1f} ", out, re.MULTILINE)
    (row,) = csv.DictReader((home.parent / "every.csv").read_text().splitlines())
    assert row["mIoU"] == f"{tiny_run.scores.mean_iou:.2f}"
    assert row["scored"] == "val"
    given = dict(pair.split("=") for pair in row["command"].split(" -p ")[2:])
    assert row["command"].startswith("picie run 00 -p overrides={} -p ")
    assert "runs_root" not in given
    again = Settings(**options.settings([f"{n}={v}" for n, v in given.items()]))  # the command makes the same run
    assert again.key(1, "") == tiny_run.settings.key(1, "")


def test_bands_are_of_the_runs_of_their_grid(picie, home, tmp_path, monkeypatch):
    sizes = {"method": "random", "dataset": "scenes", "image_size": 32, "train_images": 8, "val_images": 4}
    rows = [{"name": "random", "settings": sizes}, {"name": "position", "settings": sizes | {"method": "position"}}]
    grid = {"title": "T", "about": "why", "seeds": "1-5", "rows": rows}
    (home / "notebooks" / "grids" / "bands.yaml").write_text(json.dumps(grid))
    for seed in range(1, 6):
        training.run(Settings(**sizes | {"seed": seed, "threads": 1}))
    status, _, err = picie("bands")
    assert status == 2
    assert re.search(r"fewer than 5 seeds of position below .+: run `picie grid bands` first", err)
    for seed in range(1, 7):
        training.run(Settings(**sizes | {"method": "position", "seed": seed, "threads": 1}))
        training.run(Settings(**sizes | {"method": "rgb", "seed": seed, "threads": 1}))  # of no row
    status, out, _ = picie("bands")
    assert status == 0
    found = pd.read_csv(home / "notebooks" / "bands.csv")
    assert found[["method", "number", "seeds"]].to_numpy().tolist() == [
        ["k-means on position", "accuracy", 6], ["k-means on position", "mIoU", 6],
        ["random partition", "accuracy", 5], ["random partition", "mIoU", 5],
    ]  # fmt: skip
    assert out.endswith(f"bands: {home / 'notebooks' / 'bands.csv'}\n")


def test_runs_on_two_folders_are_two_rows(picie, tiny_run, tmp_path, monkeypatch):
    """They had the same digest, and the last of them alone was shown."""
    found = [
        dataclasses.replace(tiny_run, settings=tiny_run.settings.replace(dataset="folder", data_root=tmp_path / name))
        for name in ("a", "b")
    ]
    monkeypatch.setattr(records, "finished", lambda root: found)
    monkeypatch.setenv("HOME", str(tmp_path))
    _, out, err = picie("results", "-p", "dataset=folder", "--out", "list.csv")
    names = [places.data_name("folder", tmp_path / name) for name in ("a", "b")]
    assert all(name in out for name in names)
    assert err == ""
    assert sorted(pd.read_csv("list.csv")["dataset"]) == sorted(names)
    assert all(name in picie("results", "--of", "list.csv")[1] for name in names)
    for written in (tmp_path / "a", "a", "b/../a", "~/a"):  # the working directory, and home
        shown = picie("results", "-p", f"data_root={written}")[1]
        assert names[0] in shown
        assert names[1] not in shown


def test_without_scores_the_runs_that_learned_are_named(picie, tiny_run, monkeypatch):
    folder = tiny_run.settings.replace(dataset="folder")
    chance = dataclasses.replace(tiny_run, progress=pd.DataFrame(), folder=tiny_run.folder.with_name("folder-rgb"))
    runs = [tiny_run, chance, chance, chance]
    monkeypatch.setattr(
        records, "finished", lambda root: [dataclasses.replace(run, settings=folder, scores=None) for run in runs]
    )
    assert f"RUN being {tiny_run.folder.name}\n" in picie("results")[2]


def test_runs_without_labels_have_no_score_to_show(picie, home, tiny_run, monkeypatch):
    folder = dataclasses.replace(tiny_run, settings=tiny_run.settings.replace(dataset="folder"), scores=None)
    found = [folder]
    monkeypatch.setattr(records, "finished", lambda root: found)
    status, out, err = picie("results")
    assert (status, out) == (2, "")
    assert re.match(
        r"picie: 1 of 1 runs \(folder\) have no score, .*: put labels .* with `picie segment RUN`, RUN ", err
    )
    assert f"RUN being {found[0].folder.name}" in err
    found.append(tiny_run)
    status, out, err = picie("results")
    assert status == 0
    assert "1 of 2 runs (folder) have no score" in err
    assert "PiCIE" in out


def test_results_of_a_list_are_those_of_its_runs_and_lists_add_up(picie, home, tiny_run, monkeypatch):
    monkeypatch.setenv("PICIE_RUNS", str(tiny_run.folder.parent))
    given = ("-p", f"seed={tiny_run.settings.seed}")
    picie("results", *given, "--out", "here.csv")
    rows = pd.read_csv(home.parent / "here.csv", dtype=str)
    other = rows.assign(seed="99", mIoU="1.23", command=rows["command"] + " -p seed=99")
    other.to_csv(home.parent / "all.csv", index=False)
    monkeypatch.setenv("PICIE_RUNS", str(home / "nothing"))
    status, out, _ = picie("results", *given, "--of", "here.csv", "--out", "all.csv")
    score = f"{tiny_run.scores.accuracy:.1f} +{tiny_run.scores.mean_iou:.1f}"
    assert status == 0
    assert re.search(rf"^ *scenes +PiCIE +ours +{score} +1 ", out, re.MULTILINE)
    both = pd.read_csv(home.parent / "all.csv", dtype=str)
    assert both[["seed", "mIoU"]].to_numpy().tolist() == [[rows["seed"][0], rows["mIoU"][0]], ["99", "1.23"]]
    assert picie("results", "--of", "all.csv")[0] == 0
    status, _, err = picie("results", "--of", "here.csv", "-p", "method=iic")
    assert (status, err.strip()) == (2, "picie: no finished run in here.csv has method=iic")
    status, _, err = picie("results", "--of", "here.csv", "-p", "method=picie", "-p", "recipe=paper")  # only the first
    assert (status, err.strip()) == (2, "picie: no finished run in here.csv has method=picie, recipe=paper")
    rows.assign(accuracy=None, mIoU=None, folder=None).to_csv(home.parent / "bare.csv", index=False)
    status, _, err = picie("results", "--of", "bare.csv")
    assert (status, "1 of 1 runs (scenes) have no score" in err, "RUN" in err) == (2, True, False)
    rows[:0].to_csv(home.parent / "none.csv", index=False)
    status, _, err = picie("results", "--of", "none.csv")
    assert (status, err.strip()) == (2, "picie: no finished run in none.csv yet")


def test_a_list_of_one_data_set_takes_no_runs_of_another(picie, home, tiny_run, monkeypatch):
    monkeypatch.setenv("PICIE_RUNS", str(tiny_run.folder.parent))
    numbers = {"seed": 1, "accuracy": 50, "mIoU": 20, "seconds": 9}
    other = [dict.fromkeys(lists.LISTED, "x") | {"dataset": "camvid"} | numbers]
    pd.DataFrame(other).to_csv(home.parent / "camvid.csv", index=False)
    status, _, err = picie("results", "--out", "camvid.csv")
    assert status == 2
    assert re.search(r"picie: camvid.csv lists the runs of camvid, .* of scenes too: give -p dataset=camvid", err)
    assert "scenes" not in (home.parent / "camvid.csv").read_text()


def test_a_run_that_is_not_finished_is_told_from_one_that_is_not_there(picie, home):
    begun = home.parent / "begun"
    begun.mkdir()
    (begun / "settings.yaml").touch()
    status, _, err = picie("segment", "begun", "--images", ".", "--out", "out")
    assert (status, err.strip()) == (
        2,
        "picie: the run in begun is not finished: the command that began it goes on with it",
    )


def test_no_results_are_told(picie, home):
    status, _, err = picie("results", "-p", "dataset=voc21")
    assert status == 2
    assert re.match(r"picie: no finished run below .*runs has dataset=voc21", err)


# -- settings, doctor, prepare


def test_settings_are_shown_with_value_source_and_meaning(picie):
    status, out, _ = picie("settings", "-p", "recipe=release", "-p", "dataset=camvid", "-p", "train_images=none")
    assert status == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert list(lines) == list(Settings.model_fields)
    assert re.match(r"num_clusters +11 +dataset camvid +K, or K1", lines["num_clusters"])
    assert re.match(r"learning_rate +0\.0001 +recipe release ", lines["learning_rate"])
    assert re.match(r"recipe +release +explicit ", lines["recipe"])
    assert re.match(r"train_images +None +explicit ", lines["train_images"])


def test_doctor_tells_versions_devices_places_and_data_sets(picie, home):
    (home / "data" / "camvid").mkdir()
    status, out, _ = picie("doctor")
    assert status == 0
    assert re.search(r"^versions +python 3\.\d+.*, torch \d.*, faiss-\wpu \d", out, re.MULTILINE)
    assert re.search(r"^devices +\d+ cores \(.+\), GPUs: ", out, re.MULTILINE)
    assert re.search(r"^faiss +\d.*GPUs in use$", out, re.MULTILINE)
    assert re.search(rf"^home +{re.escape(str(home))} \(\d+ GB free\)$", out, re.MULTILINE)
    assert re.search(rf"^runs +{re.escape(os.environ['PICIE_RUNS'])}$", out, re.MULTILINE)
    states = dict(re.findall(r"^  (\w+) +(.+)$", out, re.MULTILINE))
    assert list(states) == list(DATASETS)
    assert states["scenes"] == states["scenes_b"] == "embedded"
    assert states["camvid"] == f"{home / 'data' / 'camvid'}: there"
    assert states["voc21"].endswith(": not there")
    assert states["folder"] == "give --root (data_root)"


TWO = ("-p", "train_images=2", "-p", "val_images=2")
FOUR = ("-p", "train_images=4", "-p", "val_images=4")


def test_prepare_says_what_it_made(picie):
    status, out, _ = picie("prepare", "scenes", "-p", "image_size=32", "-p", "recipe=paper", *FOUR)
    assert status == 0
    train, val = out.splitlines()
    assert re.fullmatch(r"train: 4 images of 32 pixels, 12 classes: (.+)", train)
    folder = Path(re.fullmatch(r"val: 4 images of 32 pixels, 12 classes: (.+)", val).group(1))
    assert (folder / "manifest.json").is_file()
    assert picie("prepare", "scenes", "-p", "image_size=32", "-p", "recipe=paper", *FOUR)[1] == out


def test_prepare_makes_what_a_run_of_these_axes_sees(picie, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(np.full((50, 40, 3), 99, np.uint8)).save(photos / "a.png")
    small = picie("prepare", "folder", "--root", photos, "-p", "recipe=paper")[1].splitlines()
    full = picie("prepare", "folder", "--root", photos, "-p", "recipe=release", "-p", "scale=full")[1].splitlines()
    assert ["of 128 pixels" in line for line in small] == [True, True]
    assert ["of 640 pixels" in full[0], "of 320 pixels" in full[1]] == [True, True]


def test_prepare_may_check_what_was_prepared_before(picie, home):
    words = ("prepare", "scenes", "-p", "image_size=32", "-p", "recipe=paper", *TWO, "--verify")
    status, out, _ = picie(*words)
    assert status == 0
    array = next(Path(out.split(": ")[-1].strip()).glob("*.images.npy"))
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    status, _, err = picie(*words)
    assert status == 2
    assert f"{array} has changed since it was prepared" in err
    shutil.rmtree(array.parent)


def test_prepare_keeps_training_images_at_the_recipes_size(picie):
    train, val = picie("prepare", "scenes", "-p", "image_size=32", "-p", "recipe=release", *TWO)[1].splitlines()
    assert "train: 2 images of 64 pixels" in train
    assert "val: 2 images of 32 pixels" in val


def test_prepare_makes_the_splits_of_the_settings(picie):
    words = ("prepare", "scenes", "-p", "image_size=32", *TWO, "-p", "scored_split=train")
    learned, scored = picie(*words)[1].splitlines()
    assert "train: 2 images of 64 pixels" in learned
    assert "train: 2 images of 32 pixels" in scored


def test_prepare_of_photographs_may_leave_out_what_is_damaged(picie, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.full((50, 40, 3), 99, np.uint8)).save(photos / f"{name}.jpg")
    (photos / "c.jpg").write_bytes(b"no")
    status, _, err = picie("prepare", "folder", "--root", photos, "-p", "image_size=32")
    assert status == 2
    assert "c.jpg" in err
    status, out, _ = picie("prepare", "folder", "--root", photos, "-p", "image_size=32", "-p", "on_bad_image=skip")
    assert status == 0
    assert "train: 2 images of 64 pixels, no labels: " in out


# -- run


@pytest.mark.slow
def test_run_executes_a_notebook_on_tiny_scenes_from_anywhere(home, tmp_path):
    words = [word for setting in TINY for word in ("-p", setting)]
    main = "from picie_core.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", main, "run", "00", *words],
        cwd="/", env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    executed = home / "reports" / "local" / "scenes" / "notebooks" / "00_run.ipynb"
    first, *_, last = done.stdout.splitlines()
    assert first == f"executed notebook: {executed}"
    assert "keeps its own" not in done.stderr  # every one of them was given
    assert ".ipynb" not in done.stderr  # papermill's own messages name the hidden attempt
    assert "WARNING" not in done.stderr
    (folder,) = (tmp_path / "runs").glob("scenes-picie-*")
    assert last == f"run {folder.name}"
    settings = Settings.from_yaml((folder / "settings.yaml").read_text())
    assert {name: str(settings.values()[name]) for name in settings.explicit if f"{name}=" in " ".join(TINY)} == dict(
        text.split("=") for text in TINY
    )
    result = json.loads((folder / "result.json").read_text())
    assert float(re.search(r"mIoU ([\d.]+)", text_of(executed)).group(1)) == pytest.approx(result["mean_iou"], abs=0.06)


def text_of(file):
    outputs = [output for cell in nbformat.read(file, 4).cells for output in cell.get("outputs", ())]
    return "".join(output.get("text", "") + str(output.get("data", "")) for output in outputs)


def test_run_tells_what_the_notebook_keeps_of_its_own(picie, monkeypatch):
    calls = []
    monkeypatch.setattr(execution, "execute", lambda *call: calls.append(call) or call[2])
    monkeypatch.setattr(execution, "last_words", lambda file: "")
    _, _, err = picie("run", "00", "-p", "epochs=9")
    assert err.startswith("00_run keeps its own image_size=64, train_images=48, val_images=16 (-p NAME=VALUE changes")
    for given in ((), ("-p", "overrides={}"), ("-p", "overrides={'epochs': 3}")):
        assert picie("run", "00", *given)[2] == ""
    assert len(calls) == 4


def test_run_writes_where_it_is_told(picie, home, monkeypatch):
    monkeypatch.setattr(execution, "execute", lambda file, given, output: output)
    monkeypatch.setattr(execution, "last_words", lambda file: f"said in {file.name}")
    root = home / "reports" / "local"
    for words, place in (
        (("01",), root / "scenes" / "notebooks" / "01_data.ipynb"),
        (("01", "-p", "dataset=camvid"), root / "camvid" / "notebooks" / "01_data.ipynb"),
        (("01", "--output", "my.ipynb"), "my.ipynb"),
    ):
        assert picie("run", *words)[:2] == (0, f"executed notebook: {place}\nsaid in {Path(place).name}\n")


def test_a_folder_for_the_output_is_refused_before_a_kernel_starts(picie, no_kernel, tmp_path):
    status, _, err = picie("run", "01", "--output", tmp_path)
    assert (status, list(tmp_path.glob(".*"))) == (2, [])
    assert err == f"picie: {tmp_path} is a folder: give the executed notebook's file: {tmp_path}/01_data.ipynb\n"


def test_each_folder_of_photographs_has_its_outputs_and_its_report(picie, home, tmp_path, monkeypatch):
    def execute(file, given, output):
        tables.save(pd.DataFrame({"of": [given["data_root"]]}), output.parents[1] / "tables", "picie-scores")
        return output

    monkeypatch.setattr(execution, "execute", execute)
    monkeypatch.setattr(execution, "last_words", lambda file: "")
    places_ = [tmp_path / "one" / "my photos", tmp_path / "two" / "my photos"]
    names = [places.data_name("folder", place) for place in places_]
    assert len(set(names)) == 2
    given = ("-p", "dataset=folder", "-p", "pretrained=false", "-p")
    status, _, err = picie("run", "03", *given, f"data_root={places_[0]}")
    assert (status, err.splitlines()[-1]) == (2, f"picie: data_root = {places_[0]}: there is no such folder")
    for place, name in zip(places_, names, strict=True):
        place.mkdir(parents=True)
        _, out, _ = picie("run", "03", *given, f"data_root={place}")
        folder = home / "reports" / "local" / name
        assert out.splitlines()[:2] == [
            f"executed notebook: {folder / 'notebooks' / '03_picie.ipynb'}",
            f"figures and tables on this data: {folder}; on one page: picie report '{name}'",
        ]
        assert picie("report", name)[1] == f"report: {folder / 'index.html'}\n"
        assert pd.read_csv(folder / "tables" / "picie-scores.csv")["of"].tolist() == [str(place)]
    status, _, err = picie("report", "folder")
    assert status == 2
    assert all(name in err for name in names)
    assert "no data set is called 'folders'" in picie("report", "folders")[2]


def test_a_notebook_that_fails_is_a_line_and_its_evidence(picie, tmp_path):
    cells = [nbformat.v4.new_code_cell("1 / 0")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "mine.ipynb")
    status, out, err = picie("run", "mine.ipynb", "--output", "out/mine.ipynb")
    assert (status, out) == (2, "")
    last = err[err.index("picie: ") :].splitlines()
    assert last == [
        "picie: mine.ipynb failed in cell [1]: ZeroDivisionError: division by zero", "Open out/mine.failed.ipynb",
    ]  # fmt: skip
    assert (tmp_path / "out" / "mine.failed.ipynb").is_file()


def test_demo_ends_with_the_table_and_a_report_of_each_data_set(picie, home, tiny_run, monkeypatch):
    folder = home / "reports" / "local" / "scenes"
    closeups = folder.with_name("closeups")
    digest = records.digest(tiny_run.settings)
    asked = []

    def execute(workers):
        asked.append(workers)
        for place in (folder, closeups):
            tables.save(pd.DataFrame({"runs": [f"{digest}:1"]}), place / "tables", "picie-scores")
        return {"scenes": folder, "closeups": closeups}

    monkeypatch.setattr(demo, "execute", execute)
    monkeypatch.setenv("PICIE_RUNS", str(tiny_run.folder.parent))
    mine = tables.results(tiny_run.folder.parent)
    own = parameters.of(home / "notebooks" / "03_picie.ipynb")["overrides"]
    main, other = records.digest(Settings(**own)), {"digest": "another", "method": "iic"}  # a small run of a notebook
    defaults = {"digest": records.digest(Settings()), "method": "supervised"}
    found = [mine.assign(digest=main), mine.assign(**other), mine.assign(**defaults)]
    monkeypatch.setattr(tables, "results", lambda: pd.concat(found))
    status, out, _ = picie("demo", "--workers", "3")
    assert (status, asked) == (0, [3])
    assert f"{tiny_run.scores.mean_iou:.1f}" in out
    assert "IIC" not in out
    assert "supervised" not in out
    assert "(the runs of 03_picie; `picie results` has all)" in out
    assert out.splitlines()[-4:] == [
        f"scenes, notebooks, figures and tables: {folder}", f"report: {folder / 'index.html'}",
        f"closeups, notebooks, figures and tables: {closeups}", f"report: {closeups / 'index.html'}",
    ]  # fmt: skip
    assert f'<tr id="run-{digest}-1">' in (folder / "index.html").read_text()
    assert pd.read_csv(folder / "tables" / "runs.csv")["folder"].tolist() == [tiny_run.folder.name]
    picie("publish", "scenes")  # the list of runs is what `lists.committed` reads
    assert lists.committed("scenes")["value"].tolist() == [
        round(tiny_run.scores.accuracy, 2), round(tiny_run.scores.mean_iou, 2),
    ]  # fmt: skip
    assert picie("report", "--committed")[1] == f"report: {home / 'reports' / 'site' / 'index.html'}\n"


# -- segment, publish


def test_segment_from_photographs_to_named_maps(picie, tiny_run, tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(np.full((50, 70, 3), 99, np.uint8)).save(photos / "a.jpg")
    status, out, _ = picie("segment", tiny_run.folder, "--images", photos, "--out", "segments")
    assert status == 0
    table = (tmp_path / "segments" / "clusters.csv").read_text()
    assert out == f"{table}written to segments; to look at it, open segments/index.html\n"
    assert Image.open(tmp_path / "segments" / "a.png").size == (70, 50)

    rows = list(csv.DictReader(table.splitlines()))
    named = "cluster,name\n" + "".join(f"{row['cluster']},{'mine' if row['cluster'] == '5' else ''}\n" for row in rows)
    (tmp_path / "names.csv").write_text(named)
    monkeypatch.setenv("PICIE_RUNS", str(tiny_run.folder.parent))  # the run's name is then enough
    status, out, _ = picie(
        "segment", tiny_run.folder.name, "--images", photos, "--out", "segments", "--names", "names.csv"
    )
    assert status == 0
    assert "\n5,mine," in out
    (tmp_path / "latest").symlink_to(tiny_run.folder)  # its name is not the run's, whose names its table holds
    given = ("--images", photos, "--out", "segments", "--names", "segments/clusters.csv")
    assert "\n5,mine," in picie("segment", "latest", *given)[1]


def test_segment_names_the_runs_there_are(picie, tiny_run, monkeypatch):
    monkeypatch.setenv("PICIE_RUNS", str(tiny_run.folder.parent))
    status, _, err = picie("segment", "scenes-picie", "--images", ".", "--out", "out")
    assert status == 2
    assert err.endswith(f"below {tiny_run.folder.parent}, such as {tiny_run.folder.name}\n")


def test_segment_of_a_damaged_photograph_does_the_others(picie, tiny_run, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(np.full((50, 70, 3), 99, np.uint8)).save(photos / "a.jpg")
    (photos / "b.jpg").write_bytes(b"no")
    status, out, err = picie("segment", tiny_run.folder, "--images", photos, "--out", "segments")
    assert status == 2
    assert "b.jpg: is not an image" in err
    assert "The other one is segmented in segments; repair or remove this one" in err
    table = (tmp_path / "segments" / "clusters.csv").read_text()
    assert out == f"{table}written to segments; to look at it, open segments/index.html\n"

    status, out, err = picie("segment", tiny_run.folder, "--images", photos / "b.jpg", "--out", "segments")
    assert (status, out) == (2, "")
    assert "None is segmented; repair or remove this one" in err


def test_segment_asks_for_the_names_that_are_not_there(picie, tiny_run):
    status, _, err = picie("segment", tiny_run.folder, "--images", ".", "--out", "out", "--names", "nope.csv")
    assert status == 2
    assert err.startswith("picie: names of clusters: nope.csv: there is no such file; expected a CSV file")


def test_publish_tells_what_went_and_what_stayed(picie, home):
    folder = places.local_folder("camvid") / "figures"
    for name, shows in (("curves", figures.NO_IMAGES), ("samples", "camvid")):
        figures.save(figures.panels({"": [np.zeros((2, 2, 3))]}), folder, name, shows=shows)
    status, out, err = picie("publish", "camvid")
    assert (status, out) == (0, f"{home / 'reports' / 'figures' / 'camvid-curves.png'}\n")
    assert err == "left out: samples.png shows images of camvid\n"
    for runs in ("12e456789012:1,2,3", "120000000000:1"):
        tables.save(pd.DataFrame({"runs": [runs]}), places.local_folder("camvid") / "tables", "scores")
        status, _, err = picie("publish", "camvid")
    table = home / "reports" / "tables" / "camvid-scores.csv"
    assert (status, table.read_text()) == (0, 'runs\n"12e456789012:1,2,3"\n')
    lacks = f"scores.csv lacks 3 of the 3 runs that the committed {table.name} is of"
    assert f"left out: {lacks}: to publish it in its place, `picie" in err
    assert picie("publish", "camvid", "scores") == (0, f"{table}\n", "")
    status, out, err = picie("publish", "camvid", "samples")
    assert (status, out) == (2, "")
    assert "not ours to publish: samples.png (shows camvid)" in err
