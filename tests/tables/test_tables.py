"""`tables`: means over seeds by hand, and tables as text."""

import dataclasses
import json
import math
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from tidy_rows import tidy

from picie_core import records, tables
from picie_core.settings import Settings, knobs
from picie_core.tables import lists

# -- over seeds

ROOT = Path(__file__).parents[2]


def test_over_seeds_by_hand():
    table = tables.over_seeds(
        tidy(
            ("untrained", "scenes", 1, 30.0, 15.0),
            ("picie", "scenes", 1, 40.0, 20.0),
            ("picie", "scenes", 2, 50.0, 24.0),
            ("picie", "scenes", 3, 60.0, 22.0),
            ("picie", "camvid", 1, 35.0, 18.0),
        )
    )
    assert table.columns.tolist() == tables.COLUMNS
    assert table[["dataset", "method", "seeds"]].to_numpy().tolist() == [
        ["camvid", "PiCIE", 1], ["scenes", "PiCIE", 3], ["scenes", "no training, k-means", 1],
    ]  # fmt: skip
    picie = table.iloc[1]
    assert (picie["accuracy mean"], picie["accuracy sd"]) == (50, 10)
    assert (picie["mIoU mean"], picie["mIoU sd"]) == (22, 2)
    # t(0.975, 2) = 4.303: 22 +- 4.303 * 2 / sqrt(3)
    assert (picie["mIoU low"], picie["mIoU high"]) == pytest.approx((22 - 4.968, 22 + 4.968), abs=1e-3)
    assert picie["accuracy high"] == pytest.approx(50 + 24.84, abs=1e-2)
    assert picie["seconds"] == 20
    assert re.fullmatch(r"[0-9a-f]{12}:1,2,3", picie["runs"])
    assert math.isnan(table.iloc[0]["mIoU sd"])  # of one seed nothing is known about the spread


def test_other_recipes_and_settings_are_rows_of_their_own_and_other_places_are_not():
    given = [
        {"explicit": json.dumps({"seed": 1, "data_root": "/a", "device": "cpu", "epochs": 4})},
        {"explicit": json.dumps({"epochs": 4, "seed": 2, "data_root": "/b", "fresh": True})},
        {"explicit": json.dumps({"epochs": 8})},
        {"recipe": "release", "explicit": json.dumps({"epochs": 4})},
    ]
    table = tables.over_seeds(tidy(*(("picie", "camvid", n, 0, 10 + n, more) for n, more in enumerate(given, 1))))
    assert table[["recipe", "settings", "seeds"]].to_numpy().tolist() == [
        ["release", '{"epochs": 4}', 1], ["ours", '{"epochs": 8}', 1], ["ours", '{"epochs": 4}', 2],
    ]  # fmt: skip


def test_the_same_settings_in_other_words_are_one_row():
    given = [
        {"explicit": '{"epochs": 4, "recipe": "ours", "seed": 1}'},
        {"explicit": '{"seed": 2}'},
        {"explicit": '{"learning_rate": 0.001, "seed": 3}'},
    ]
    runs = (("picie", "camvid", n, 0, 10 + n, more | {"digest": "same"}) for n, more in enumerate(given, 1))
    table = tables.over_seeds(tidy(*runs, ("picie", "camvid", 4, 0, 90, {"digest": "other"})))
    assert table[["settings", "seeds", "mIoU mean"]].to_numpy().tolist() == [["{}", 1, 90], ["{}", 3, 12]]


def test_a_seed_that_was_run_again_by_other_code_counts_once_and_the_last_time():
    runs = tidy(
        ("picie", "scenes", 1, 10.0, 5.0, {"key": "old", "seconds": 100.0}),
        ("picie", "scenes", 2, 30.0, 9.0, {"seconds": 30.0}),
        ("picie", "scenes", 1, 50.0, 7.0, {"key": "new", "seconds": 50.0}),
    )
    row = tables.over_seeds(runs).iloc[0]
    assert (row["accuracy mean"], row["mIoU mean"], row["seeds"], row["seconds"]) == (40, 8, 2, 40)


def test_no_runs_are_an_empty_table(tmp_path):
    table = tables.over_seeds(tables.results(tmp_path))
    assert table.columns.tolist() == tables.COLUMNS
    assert len(table) == 0
    assert isinstance(tables.as_text(table), str)


def test_results_are_those_below_the_root(tiny_run):
    found = tables.over_seeds(tables.results(tiny_run.folder.parent))
    assert found["mIoU mean"].tolist() == [tiny_run.scores.mean_iou]
    assert found["seeds"].tolist() == [1]


@pytest.mark.parametrize("name", tables.ROWS)
def test_the_settings_of_a_row_make_that_row(name):
    base = Settings(dataset="coco27", scale="full", epochs=3, seed=2)
    settings = base.replace(**tables.ROWS[name])
    assert records.method_name(settings) == name
    assert name in tables.NAMES
    assert (settings.dataset, settings.epochs, settings.seed) == ("coco27", 3, 2)


# -- as text


def test_as_text_tells_apart_what_differs_in_its_settings_alone():
    given = ('{"method": "picie", "epochs": 2, "scale": "small", "mse": "none"}',
             '{"method": "picie", "geometric": false, "scale": "small"}')  # fmt: skip
    runs = tidy(*(("picie", "scenes", 1, 10 * n, 4 * n, {"explicit": text}) for n, text in enumerate(given, 1)))
    first, better, worse, note = tables.as_text(tables.over_seeds(runs)).splitlines()
    assert note == "all rows: scale=small"
    assert first.split()[-1] == "settings"
    assert better.split()[:2] == ["scenes", "PiCIE"]
    assert better.endswith("geometric=false")
    assert worse.endswith("epochs=2, mse=none")


def test_a_readable_table_has_a_column_a_score_and_settings_only_where_rows_differ():
    runs = tidy(*(("picie", "scenes", n, 40 + n, 2 * n) for n in (1, 2, 3)), ("rgb", "scenes", 1, 30, 1))
    shown = tables.readable(tables.over_seeds(runs))
    assert shown.columns.tolist() == ["dataset", "method", "recipe", "accuracy", "mIoU", "seeds", "seconds"]
    assert shown["accuracy"].tolist() == ["42.0 ± 1.0 [39.5, 44.5]", "30.0"]
    assert shown["seeds"].tolist() == [3, 1]
    other = tidy(("picie", "scenes", 1, 10, 5), ("picie", "scenes", 1, 9, 4, {"explicit": '{"epochs": 2}'}))
    assert tables.readable(tables.over_seeds(other))["settings"].tolist() == ["", "epochs=2"]


def test_none_that_was_given_is_told_from_what_was_not():
    given = ({"explicit": "{}"}, {"explicit": '{"kmeans_points": null}'})
    shown = tables.as_text(tables.over_seeds(tidy(*(("picie", "scenes", 1, 10, 5, words) for words in given))))
    assert shown.count("kmeans_points=none") == 1
    assert "all rows" not in shown


def test_as_text_of_alike_rows_has_no_settings():
    text = tables.as_text(tables.over_seeds(tidy(("picie", "scenes", 1, 10.06, 5), ("rgb", "scenes", 1, 20, 9))))
    assert "settings" not in text
    assert text.splitlines()[2].split() == ["scenes", "PiCIE", "ours", "10.1", "5.0", "1", "10"]


def test_as_text_has_the_spread_and_the_interval_of_several_seeds():
    text = tables.as_text(tables.over_seeds(tidy(*(("picie", "scenes", n, 40 + n, 2 * n) for n in (1, 2, 3)))))
    assert "42.0 ± 1.0 [39.5, 44.5]" in text
    assert "4.0 ± 2.0 [-1.0, 9.0]" in text


# -- run by run


def test_every_run_is_a_row_to_be_made_again(tiny_run):
    table = lists.every_run([tiny_run])
    assert table[["dataset", "method", "seed", "scored", "digest"]].to_numpy().tolist() == [
        ["scenes", "PiCIE", 1, "val", records.digest(tiny_run.settings)]
    ]
    assert table["mIoU"][0] == round(tiny_run.scores.mean_iou, 2)
    assert "-p num_clusters=12" in table["command"][0]
    made_by = tiny_run.environment
    assert table["versions"][0] == f"torch {made_by['packages']['torch']}, python {made_by['python']}"
    assert table["device"][0] == f"{made_by['cpu']}, {made_by['cpu_capability']}"
    assert table["folder"][0] == tiny_run.folder.name
    assert lists.every_run([]).columns.tolist() == table.columns.tolist()


def test_the_device_is_the_graphics_card_where_there_was_one_and_unknown_without_a_record(tiny_run, tmp_path):
    elsewhere = tmp_path / "run"
    elsewhere.mkdir()
    run = dataclasses.replace(tiny_run, folder=elsewhere)
    assert lists.every_run([run])[["versions", "device"]].to_numpy().tolist() == [["", ""]]
    (elsewhere / "environment.json").write_text(json.dumps({**tiny_run.environment, "gpu": "H200"}))
    assert lists.every_run([run])["device"][0] == "H200"


def test_the_iou_of_each_class_names_the_run_of_each_column(tiny_run):
    other = dataclasses.replace(tiny_run, settings=tiny_run.settings.replace(method="untrained", seed=3))
    unscored = dataclasses.replace(tiny_run, scores=None)
    table = tables.iou_by_class([tiny_run, unscored, other])
    assert table.columns.tolist() == ["class", "PiCIE", "no training, k-means", "runs"]
    assert table["class"].tolist() == list(tiny_run.classes.names)
    assert table["PiCIE"].tolist() == pytest.approx(tiny_run.scores.iou.tolist(), nan_ok=True)
    digests = [records.digest(run.settings) for run in (tiny_run, other)]
    assert set(table["runs"]) == {f"{digests[0]}:1 {digests[1]}:3"}
    assert len(tables.iou_by_class([unscored])) == 0


def test_the_iou_of_each_class_is_of_one_data_set_and_of_one_run_a_method(tiny_run):
    elsewhere = dataclasses.replace(tiny_run, settings=tiny_run.settings.replace(dataset="scenes_b"))
    with pytest.raises(tables.JoinError, match=r"2 data sets, scenes, scenes_b: give those of one of them alone"):
        tables.iou_by_class([tiny_run, elsewhere])
    with pytest.raises(tables.JoinError, match=r"two runs of PiCIE, .*give one run a method, of one seed"):
        tables.iou_by_class([tiny_run, dataclasses.replace(tiny_run, settings=tiny_run.settings.replace(seed=2))])


def test_shown_tables_do_not_name_their_runs():
    table = pd.DataFrame({"mIoU": [13.844], "runs": ["abc:1"]})
    assert tables.shown(table, 1).to_dict("list") == {"mIoU": [13.8]}
    assert tables.shown(table[["mIoU"]]).to_dict("list") == {"mIoU": [13.84]}


def test_epochs_are_counted_from_1_for_people_and_the_record_stays():
    record = pd.DataFrame({"epoch": [0, 1], "loss": [3.0, 2.0]})
    assert tables.by_epoch(record)["loss"].to_dict() == {1: 3.0, 2: 2.0}
    assert tables.by_epoch(record).index.name == "epoch"
    assert record["epoch"].tolist() == [0, 1]


def test_the_last_epoch_beside_the_best_of_every_run(tiny_run):
    table = tables.last_and_best([tiny_run, tiny_run])
    assert table[["dataset", "method", "seed", "prototypes"]].to_numpy().tolist() == [
        ["scenes", "PiCIE", 1, "view1"], ["scenes", "PiCIE", 1, "view2"],
    ] * 2  # fmt: skip
    assert tables.last_and_best([]).columns.tolist() == table.columns.tolist()


def test_words_are_the_explicit_settings_without_seed_and_machine():
    assert tables.words('{"seed": 3, "epochs": 4, "device": "cpu", "data_root": "/a"}') == '{"epochs": 4}'
    places = {name for name, field in Settings.model_fields.items() if knobs.extra(field)["place"]}
    of_what = {"recipe", "scale", "dataset", "train_images", "val_images", "on_bad_image"}
    assert places - of_what == records.MACHINE  # a new place belongs to one of the two
    assert {name for name, field in Settings.model_fields.items() if "Path" in str(field.annotation)} <= records.MACHINE


def test_committed_runs_are_rows_like_tidy_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("PICIE_HOME", str(tmp_path))
    folder = tmp_path / "reports" / "tables"
    with pytest.raises(FileNotFoundError, match=r"no runs of camvid are committed: expected .*camvid-runs\.csv"):
        lists.committed("camvid")
    folder.mkdir(parents=True)
    given = "picie run 00 -p overrides={} -p data_root=DIR -p dataset=camvid -p num_overclusters=100 -p seed=2"
    lines = [
        ["camvid", "PiCIE+H", "ours", 2, "val", 50.0, 20.0, 9, "c", "d", given],
        ["camvid", "PiCIE+H", "ours", 2, "train", 1.0, 2.0, 9, "c", "e", given],
    ]
    pd.DataFrame(lines, columns=list(lists.LISTED)).to_csv(folder / "camvid-runs.csv", index=False)
    found = lists.committed("camvid")
    assert found[["digest", "seed", "metric", "value"]].to_numpy().tolist() == [
        ["d", 2, "accuracy", 50.0],
        ["d", 2, "mean_iou", 20.0],
    ]
    assert set(found.columns) == {*records.TIDY, "commit", "command"}
    assert set(found["method"]) == {"picie+H"}
    assert json.loads(found["explicit"][0])["num_overclusters"] == 100
    pd.DataFrame([*lines, ["scenes", *lines[0][1:]]], columns=list(lists.LISTED)).to_csv(
        folder / "camvid-runs.csv", index=False
    )
    with pytest.raises(tables.JoinError, match=r"has runs of scenes among those of camvid: take .*-p dataset=camvid"):
        lists.committed("camvid")


def test_rows_of_runs_that_are_elsewhere_stay(tmp_path):
    columns = list(lists.LISTED)
    rows = {seed: ["camvid", "PiCIE", "ours", seed, "val", 50.0, 20.0 + seed, 9.0, "c", "d", "x"] for seed in (1, 2)}
    new = pd.DataFrame([rows[2]], columns=columns)
    file = tmp_path / "runs.csv"
    assert lists.merged(new, file).to_numpy().tolist() == [rows[2]]
    older = ["camvid", "PiCIE", "ours", 2, "val", 50.0, 1.0, 9.0, "c", "d", "x"]
    other = ["camvid", "PiCIE", "ours", 2, "train", 50.0, 5.0, 9.0, "c", "d", "y"]
    pd.DataFrame([rows[1], older, other], columns=columns).to_csv(file, index=False)
    assert lists.merged(new, file).to_numpy().tolist() == [rows[1], rows[2], other]
    mixed = pd.DataFrame([rows[2], ["scenes", *rows[1][1:]]], columns=columns)
    with pytest.raises(tables.JoinError, match=r"lists the runs of camvid, .* of scenes too: give -p dataset=camvid"):
        lists.merged(mixed, file)
    pd.DataFrame([["folder-a-0123", *rows[1][1:]]], columns=columns).to_csv(file, index=False)
    with pytest.raises(tables.JoinError, match=r"of folder-a-0123, .* of camvid too: give -p data_root=DIR, its"):
        lists.merged(new, file)
    mixed.to_csv(file, index=False)
    assert len(lists.merged(new, file)) == 2  # of a list of several data sets nobody makes one number


def test_who_adds_to_a_list_at_the_same_moment_waits(tmp_path, monkeypatch):
    rows = {seed: ["camvid", "PiCIE", "ours", seed, "val", 50.0, 20.0, 9.0, "c", "d", "x"] for seed in range(8)}
    added = [pd.DataFrame([row], columns=list(lists.LISTED)) for row in rows.values()]
    merged = lists.merged
    monkeypatch.setattr(lists, "merged", lambda *given: (merged(*given), time.sleep(0.02))[0])  # read, not yet written
    with ThreadPoolExecutor(len(rows)) as pool:
        list(pool.map(lists.add, added, [tmp_path / "made" / "runs.csv"] * len(rows)))
    assert lists.listed(tmp_path / "made" / "runs.csv")["seed"].tolist() == list(rows)
    assert [file.name for file in (tmp_path / "made").iterdir()] == ["runs.csv"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "No columns to parse"),
        ("\xff", "codec can't decode"),
        (f"{','.join(lists.LISTED)}\n<<<<<<< HEAD\n", "line 2, column digest: expected a text, got ''"),
        ("seed,mIoU\n1,2\n", "it has no column dataset, method, recipe, scored, accuracy, seconds, commit, digest"),
    ],
)
def test_a_file_that_is_no_list_of_runs_is_named(tmp_path, text, fault):
    file = tmp_path / "camvid-runs.csv"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(lists.ListError, match=rf"camvid-runs\.csv is not a list of runs, a CSV that .*{fault}"):
        lists.merged(lists.every_run([]), file)


@pytest.mark.parametrize(
    ("column", "cell", "fault"),
    [
        ("mIoU", "n/k", "column mIoU: expected a number, got 'n/k'"),
        ("accuracy", "5O", "column accuracy: expected a number, got '5O'"),
        ("seconds", "fast", "column seconds: expected a number, got 'fast'"),
        ("dataset", "", "column dataset: expected a text, got ''"),
        ("seed", "one", "column seed: expected a number, got 'one'"),
        ("seed", "1.5", "column seed: expected a whole number, got '1.5'"),
        ("seed", "-1", "column seed: expected a whole number, got '-1'"),
        ("seed", "", "column seed: expected a whole number, got ''"),
    ],
)
def test_a_cell_that_is_none_of_a_list_is_named(tiny_run, tmp_path, column, cell, fault):
    rows = pd.concat([lists.every_run([tiny_run])] * 2).astype(object)
    rows.iloc[1, rows.columns.get_loc(column)] = cell
    rows.to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(lists.ListError, match=rf"runs\.csv is not a list of runs, .*: line 3, {fault}"):
        lists.listed(tmp_path / "runs.csv")


def test_a_seed_may_be_written_with_a_point(tiny_run, tmp_path):
    """As spreadsheets and pandas write a column with an empty cell."""
    rows = lists.every_run([tiny_run])
    rows.assign(seed=rows["seed"].astype(float)).to_csv(tmp_path / "runs.csv", index=False)
    assert f"{lists.listed(tmp_path / 'runs.csv')['seed'].iloc[0]}" == f"{tiny_run.settings.seed}"


def test_older_rows_keep_their_digest_and_lack_what_they_do_not_say(tiny_run, tmp_path):
    file = tmp_path / "runs.csv"
    older = lists.every_run([tiny_run]).drop(columns=["versions", "device", "folder"])
    older.assign(digest="120000000000", commit="5e1234567890", recipe="a").to_csv(file, index=False)
    both = lists.merged(lists.every_run([tiny_run]), file)
    assert both.columns.tolist() == lists.every_run([]).columns.tolist()
    assert both[["digest", "commit"]].iloc[0].tolist() == ["120000000000", "5e1234567890"]
    assert both["versions"].isna().tolist() == [True, False]


@pytest.mark.parametrize("file", sorted((ROOT / "reports" / "tables").glob("*-runs.csv")), ids=lambda file: file.stem)
def test_the_committed_runs_of_the_workbook_have_the_digest_of_their_command(file):
    """A row of reports/tables is found by its settings only as long as the digest is what the settings give today."""
    found = lists.listed(file).drop_duplicates("digest")
    assert len(found)
    for settings, digest, command in zip(lists.settings_of(found), found["digest"], found["command"], strict=True):
        assert records.digest(settings) == digest, command


def test_a_list_of_runs_says_what_the_runs_themselves_say(tiny_run):
    """To two decimals: a table of a committed list is the table of its runs."""
    listed = lists.every_run([tiny_run])
    ours, theirs = (tables.over_seeds(rows) for rows in (records.tidy([tiny_run]), lists.tidy(listed)))
    assert ours.drop(columns="seconds").round(2).equals(theirs.drop(columns="seconds"))
    assert lists.settings_of(listed)[0].key(1, "") == tiny_run.settings.key(1, "")


def test_a_list_whose_command_nobody_can_give_any_more_says_so(tiny_run):
    table = lists.every_run([tiny_run]).assign(command="picie run 00 -p overrides={} -p epoch=3")
    with pytest.raises(lists.ListError, match=rf"{table['digest'][0]}, seed \d+, has the command .*epoch=3.*epochs"):
        lists.tidy(table)
    for given in ("x", "", "picie run 00 -p overrides={} -p seed=999", "picie run 00 -p dataset=camvid"):
        with pytest.raises(lists.ListError, match=f"'{given}': that is no `picie run 00` of scenes, seed "):
            lists.tidy(table.assign(command=given))


def test_runs_without_labels_stand_in_no_table(tiny_run):
    table = lists.every_run([tiny_run]).assign(accuracy=None, mIoU=None)
    assert lists.tidy(table).empty
    assert tables.over_seeds(lists.tidy(table)).empty


def test_of_runs_that_differ_in_their_threads_alone_the_last_is_listed(tiny_run):
    again = dataclasses.replace(tiny_run, settings=tiny_run.settings.replace(threads=7))
    assert "threads=7" in lists.every_run([tiny_run, again])["command"].item()
    assert "threads=7" not in lists.every_run([again, tiny_run])["command"].item()


def test_what_a_setting_changes_is_compared_on_the_seeds_of_both():
    before = tidy(
        ("picie", "scenes", 1, 40.0, 20.0), ("picie", "scenes", 2, 50.0, 24.0), ("picie", "scenes", 3, 60.0, 99.0),
        ("iic", "scenes", 1, 30.0, 10.0),
    )  # fmt: skip
    after = tidy(("picie", "scenes", 2, 50.0, 26.0), ("picie", "scenes", 1, 44.0, 23.0), ("rgb", "scenes", 1, 1.0, 1.0))
    after["digest"] = "after" + after["method"]
    (row,) = tables.changes(before, after).to_dict("records")
    assert (row["method"], row["difference"], row["seeds"]) == ("PiCIE", 2.5, "1, 2")  # of 3 and 2
    half = 12.706204736 * math.sqrt(0.5) / math.sqrt(2)  # t of one degree of freedom, sd of (3, 2)
    assert (row["low"], row["high"]) == pytest.approx((2.5 - half, 2.5 + half))
    assert row["runs"] == f"afterpicie:1,2 {before['digest'][0]}:1,2"
    assert tables.changes(before, after, "accuracy")["difference"].tolist() == [2.0]


def test_margins_are_of_one_method_over_each_other():
    rows = tidy(
        ("picie", "scenes", 1, 40.0, 20.0), ("picie", "scenes", 2, 50.0, 24.0), ("position", "scenes", 2, 50.0, 25.0),
        ("untrained", "scenes", 1, 30.0, 10.0), ("untrained", "scenes", 2, 30.0, 12.0),
    )  # fmt: skip
    found = tables.margins(rows, "picie")
    assert found[["method", "difference", "seeds"]].to_numpy().tolist() == [
        ["no training, k-means", 11.0, "1, 2"],
        ["k-means on position", -1.0, "2"],
    ]
    assert found["low"].isna().tolist() == [False, True]  # one seed has no interval
    assert tables.margins(rows, "picie", "accuracy")["difference"].tolist() == [15.0, 0.0]
    with pytest.raises(tables.JoinError, match=r"no run of 'pcie' to compare with; there are: picie, position, unt"):
        tables.margins(rows, "pcie")
