"""`publishing`: tables and curves go into the repository, photographs never do."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from picie_core import figures, places, tables
from picie_core.datasets import DATASETS
from picie_core.report import publishing
from picie_core.report.publishing import PublishError, publish
from picie_core.tables import lists

RENDERED = ("scenes", "scenes_b", "closeups")


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """A workbook of its own, in which notebooks have run on CamVid and on scenes."""
    monkeypatch.setenv("PICIE_HOME", str(tmp_path))
    for dataset in ("camvid", *RENDERED):
        folder = places.local_folder(dataset)
        tables.save(pd.DataFrame({"of": [dataset]}), folder / "tables", "scores")
        for name, shows in (("curves", figures.NO_IMAGES), ("samples", dataset)):
            figures.save(figures.panels({"": [np.zeros((2, 2, 3))]}), folder / "figures", name, shows=shows)
    return tmp_path / "reports"


def committed(reports):
    return sorted(
        path.relative_to(reports).as_posix() for part in ("tables", "figures") for path in (reports / part).glob("*")
    )


def test_all_of_real_data_is_tables_and_curves(reports):
    written = publish("camvid")
    assert committed(reports) == ["figures/camvid-curves.png", "tables/camvid-scores.csv"]
    assert sorted(written) == [reports / name for name in committed(reports)]
    assert (reports / "tables" / "camvid-scores.csv").read_text() == "of\ncamvid\n"
    assert figures.shows(reports / "figures" / "camvid-curves.png") == figures.NO_IMAGES
    assert [(file.name, why) for file, why in publishing.withheld("camvid")] == [
        ("samples.png", "shows images of camvid")
    ]


def test_what_is_of_a_folder_of_photographs_is_not_published(reports, tmp_path):
    folder = places.local_folder("folder", tmp_path / "us at home")
    tables.save(pd.DataFrame({"of": [1]}), folder / "tables", "scores")
    with pytest.raises(PublishError, match=f"what was made of yours is in {re.escape(str(folder))}"):
        publish(folder.name)
    assert committed(reports) == []


@pytest.mark.parametrize("dataset", RENDERED)
def test_scenes_may_be_shown(reports, dataset):
    publish(dataset)
    assert committed(reports) == [
        f"figures/{dataset}-curves.png", f"figures/{dataset}-samples.png", f"tables/{dataset}-scores.csv",
    ]  # fmt: skip
    assert publishing.withheld(dataset) == []


@pytest.mark.parametrize("shows", [*(name for name in DATASETS if name not in RENDERED), "Scenes", "scenes "])
def test_no_other_data_set_may_be_shown(reports, shows):
    figures.save(figures.panels({"": [np.zeros((2, 2, 3))]}), places.local_folder("scenes") / "figures", "x", shows)
    publish("scenes")
    assert "figures/scenes-x.png" not in committed(reports)


def test_a_photograph_asked_for_by_name_is_refused_and_nothing_is_copied(reports):
    with pytest.raises(PublishError, match=r"not ours to publish: samples\.png \(shows camvid\)"):
        publish("camvid", ["scores", "samples", "curves"])
    assert committed(reports) == []


def test_a_picture_that_something_else_made_is_refused(reports):
    Image.new("RGB", (8, 8)).save(places.local_folder("scenes") / "figures" / "drawn.png")
    with pytest.raises(PublishError, match=r"drawn\.png \(shows unknown\)"):
        publish("scenes", ["drawn"])
    publish("scenes")
    assert "figures/scenes-drawn.png" not in committed(reports)


def test_outputs_are_published_by_name(reports):
    publish("camvid", ["curves"])
    assert committed(reports) == ["figures/camvid-curves.png"]


def test_an_older_output_is_replaced(reports):
    publish("camvid")
    tables.save(pd.DataFrame({"of": ["later"]}), places.local_folder("camvid") / "tables", "scores")
    publish("camvid", ["scores"])
    assert (reports / "tables" / "camvid-scores.csv").read_text() == "of\nlater\n"
    assert len(committed(reports)) == 2


TOY, SEEDS, WIDER = "120000000000:1", "12e456789012:1,2,3", "12e456789012:1,2,3,4 120000000000:1"


@pytest.mark.parametrize(
    ("committed_runs", "runs", "lacks"),
    [
        (SEEDS, TOY, "lacks 3 of the 3 runs"),
        (SEEDS, "12e456789012:2", "lacks 2 of the 3 runs"),
        (WIDER, SEEDS, "lacks 2 of the 5 runs"),
        (SEEDS, None, "lacks 3 of the 3 runs"),
        (SEEDS, SEEDS, ""),
        (SEEDS, WIDER, ""),
        (None, TOY, ""),
        ("", TOY, ""),  # of rows that were not run
    ],
)
def test_a_table_of_fewer_runs_does_not_take_the_place_of_one_of_more_unless_by_name(
    reports, committed_runs, runs, lacks
):
    folder = places.local_folder("camvid") / "tables"
    for number, behind in enumerate((committed_runs, runs)):
        row = {"of": [number]} | ({} if behind is None else {"runs": [behind]})
        tables.save(pd.DataFrame(row), folder, "scores")
        if not number:
            publish("camvid", ["scores"])
    target = reports / "tables" / "camvid-scores.csv"
    written = publish("camvid")
    assert (target in written, pd.read_csv(target)["of"].tolist()) == ((False, [0]) if lacks else (True, [1]))
    assert reports / "figures" / "camvid-curves.png" in written
    told = [why for file, why in publishing.withheld("camvid") if file.suffix == ".csv"]
    expected = (
        f"{lacks} that the committed {target.name} is of: to publish it in its place, `picie publish camvid scores`"
    )
    assert told == ([expected] if lacks else [])
    assert publish("camvid", ["scores"]) == [target]
    assert pd.read_csv(target)["of"].tolist() == [1]


def test_nothing_that_may_be_published_is_told_with_the_first_reason(reports):
    folder = places.local_folder("camvid")
    for file in [*(folder / "figures").iterdir(), *(folder / "tables").iterdir()]:
        file.unlink()
    for runs in (SEEDS, TOY):
        for name in ("scores", "others"):
            tables.save(pd.DataFrame({"of": [0], "runs": [runs]}), folder / "tables", name)
        if runs == SEEDS:
            publish("camvid")
    with pytest.raises(publishing.PublishError, match=r"is published: others.csv lacks 3 of the 3 .*; and 1 more$"):
        publish("camvid")


def test_a_committed_table_that_cannot_be_read_is_replaced(reports):
    """It names no run that could be lost."""
    (reports / "tables").mkdir()
    (reports / "tables" / "camvid-scores.csv").write_text("of,runs\n1,12e456789012\n")
    publish("camvid")
    assert (reports / "tables" / "camvid-scores.csv").read_text() == "of\ncamvid\n"


def list_of_runs(file, *seeds, miou=20.0, digest="120000000000"):
    rows = [["scenes", "PiCIE", "ours", seed, "val", 50.0, miou, 9.0, "c", digest, "x"] for seed in seeds]
    pd.DataFrame(rows, columns=list(lists.LISTED)).to_csv(file, index=False)


def test_lists_of_runs_add_up(reports):
    made, committed_ = places.local_folder("scenes") / "tables" / "runs.csv", reports / "tables" / "scenes-runs.csv"
    list_of_runs(made, 1, 2)
    publish("scenes")
    assert committed_.read_bytes() == made.read_bytes()
    list_of_runs(made, 2, 3, miou=30.0)  # of another day, or another machine
    publish("scenes", ["runs"])
    assert lists.listed(committed_)[["digest", "seed", "mIoU"]].to_numpy().tolist() == [
        ["120000000000", 1, 20.0], ["120000000000", 2, 30.0], ["120000000000", 3, 30.0],
    ]  # fmt: skip
    publish("scenes", ["runs"])
    assert len(lists.listed(committed_)) == 3


def test_a_list_of_runs_that_cannot_be_read_stops_everything(reports):
    list_of_runs(places.local_folder("scenes") / "tables" / "runs.csv", 1)
    (reports / "tables").mkdir()
    (reports / "tables" / "scenes-runs.csv").write_text("<<<<<<< HEAD\n")
    with pytest.raises(lists.ListError, match=r"scenes-runs\.csv is not a list of runs, a CSV"):
        publish("scenes")
    assert committed(reports) == ["tables/scenes-runs.csv"]


def test_names_that_do_not_exist(reports):
    with pytest.raises(PublishError, match=r"no output is called curve, score in .*there are: curves, samples, scores"):
        publish("camvid", ["curve", "score", "scores"])
    assert committed(reports) == []


def test_nothing_to_publish(reports):
    with pytest.raises(
        PublishError, match=r"nothing to publish in .*voc21: .*outputs on camvid, closeups, scenes, scenes_b"
    ):
        publish("voc21")


def test_nothing_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("PICIE_HOME", str(tmp_path))
    with pytest.raises(PublishError, match="execute a notebook on camvid first"):
        publish("camvid")


def test_nothing_but_photographs(reports):
    folder = places.local_folder("camvid")
    (folder / "tables" / "scores.csv").unlink()
    (folder / "figures" / "curves.png").unlink()
    with pytest.raises(PublishError, match=r"nothing in .*camvid is published: samples\.png shows images of camvid"):
        publish("camvid")
