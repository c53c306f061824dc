"""`tables`: means over seeds, and verdicts on published numbers, by hand."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from picie_core import records, tables

TABLE_1 = "picie_table1_coco_all"


def tidy(*runs):
    """Rows as `records.tidy` makes them, of (method, dataset, seed, accuracy, mIoU) and other values by name."""
    rows = []
    for method, dataset, seed, accuracy, mean_iou, *more in runs:
        extra = more[0] if more else {}
        common = {"method": method, "dataset": dataset, "recipe": "ours", "seed": seed, "key": f"{method}{seed}",
                  "seconds": 10.0 * seed, "explicit": json.dumps({"seed": seed})} | extra  # fmt: skip
        rows += [common | {"metric": "accuracy", "value": accuracy}, common | {"metric": "mean_iou", "value": mean_iou}]
    return pd.DataFrame(rows, columns=records.TIDY)


# -- over seeds


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
    assert picie["seconds"] == 20
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


# -- the interval


@given(st.lists(st.floats(0, 100), min_size=2, max_size=12), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_prediction_interval_is_scipys(values, level):
    n, sd = len(values), np.std(values, ddof=1)
    low, high = tables.prediction_interval(values, level)
    if sd > 0:
        expected = stats.t.interval(level, df=n - 1, loc=np.mean(values), scale=sd * np.sqrt(1 + 1 / n))
        assert (low, high) == pytest.approx(expected)
    else:
        assert low == high == pytest.approx(values[0])


def test_the_prediction_interval_by_hand():
    # mean 20, sd 2, t(0.975, 4) = 2.776: 20 +- 2.776 * 2 * sqrt(1.2) = 20 +- 6.083
    values = [18.0, 18.0, 20.0, 22.0, 22.0]
    assert tables.prediction_interval(values) == pytest.approx((13.917, 26.083), abs=1e-3)


@pytest.mark.parametrize("values", [[], [1.0]])
def test_there_is_no_interval_without_a_spread(values):
    assert all(math.isnan(end) for end in tables.prediction_interval(values))


def test_the_interval_holds_the_next_run_as_often_as_it_says():
    runs = np.random.default_rng(0).normal(20, 2, size=(4000, 6))
    inside = [low <= new <= high for *ours, new in runs for low, high in [tables.prediction_interval(ours)]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.01)


# -- the verdict

FIVE = [18.0, 18.0, 20.0, 22.0, 22.0]  # mean 20, interval 13.9 to 26.1


@pytest.mark.parametrize(
    ("values", "published", "same_data", "expected"),
    [
        ([], 20.0, True, "not run"),
        ([], 20.0, False, "not run"),
        (FIVE, 20.0, False, "other data"),
        ([20.0], 20.0, False, "other data"),
        (FIVE[:4], 19.5, True, "too few seeds"),
        (FIVE[:4], 90.0, True, "too few seeds"),
        (FIVE, 20.0, True, "reproduced"),
        (FIVE, 21.0, True, "reproduced"),  # at most one point
        (FIVE, 19.0, True, "reproduced"),
        (FIVE, 21.01, True, "within noise"),
        (FIVE, 26.0, True, "within noise"),
        (FIVE, 14.0, True, "within noise"),
        (FIVE, 26.2, True, "not reproduced"),
        (FIVE, 13.8, True, "not reproduced"),
        ([20.0, 20.0, 20.0, 20.0, 20.1], 20.9, True, "not reproduced"),  # near, but far outside of the noise
    ],
)
def test_verdicts(values, published, same_data, expected):
    assert tables.verdict(values, published, same_data) == expected


# -- beside the paper


def test_the_published_rows_are_the_papers():
    table = tables.beside_paper(tidy(), TABLE_1, "coco27")
    assert table[["method", "metric", "paper"]].to_numpy().tolist() == [
        ["PiCIE", "accuracy", 48.09], ["PiCIE", "mIoU", 13.84],
        ["PiCIE+H", "accuracy", 49.99], ["PiCIE+H", "mIoU", 14.36],
        ["no training, k-means", "accuracy", 26.26], ["no training, k-means", "mIoU", 8.41],
    ]  # fmt: skip
    assert set(table["verdict"]) == {"not run"}
    assert set(table["ours"]) == set(table["our data"]) == {""}


def test_ours_stand_beside_the_number_of_their_method_and_metric():
    ours = tidy(
        *(("picie", "coco27", seed, 40 + seed, 13.84 + (seed - 3) / 10) for seed in range(1, 6)),
        ("picie+H", "coco27", 1, 50, 15),
        ("rgb", "coco27", 1, 10, 3),
    )
    table = tables.beside_paper(ours, TABLE_1, "coco27").set_index(["method", "metric"])
    assert table.loc[("PiCIE", "accuracy"), "ours"] == "43.00 ± 1.58 (n = 5)"
    assert table.loc[("PiCIE", "accuracy"), "verdict"] == "not reproduced"  # 48.09 > 43 + 2.776 * 1.58 * 1.095 = 47.8
    assert table.loc[("PiCIE", "mIoU"), "ours"] == "13.84 ± 0.16 (n = 5)"
    assert table.loc[("PiCIE", "mIoU"), "verdict"] == "reproduced"
    assert table.loc[("PiCIE+H", "mIoU"), ["ours", "verdict"]].tolist() == ["15.00 (n = 1)", "too few seeds"]
    assert table.loc[("no training, k-means", "mIoU"), "verdict"] == "not run"


def test_a_number_of_other_data_is_not_a_reproduction_however_near():
    ours = tidy(*(("picie", "scenes", seed, 48.09, 13.84) for seed in range(1, 8)))
    table = tables.beside_paper(ours, TABLE_1, "coco27").set_index(["method", "metric"])
    assert table.loc[("PiCIE", "mIoU"), ["paper's data", "our data", "verdict"]].tolist() == [
        "coco27", "scenes", "other data",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"dataset": "scenes"}, "picie are of 2 data sets: coco27, or scenes"),
        ({"recipe": "release"}, "picie are of 2 recipes: ours, or release"),
        ({"explicit": '{"epochs": 9, "seed": 2}'}, r'picie are of 2 settings: \{"epochs": 9\}, or \{\}'),
    ],
)
def test_what_cannot_be_averaged_is_not_joined(other, message):
    ours = tidy(("picie", "coco27", 1, 40, 13), ("picie", "coco27", 2, 40, 13, other))
    with pytest.raises(ValueError, match=message):
        tables.beside_paper(ours, TABLE_1, "coco27")


def test_methods_may_be_of_different_settings():
    ours = tidy(
        ("picie", "coco27", 1, 40, 13), ("untrained", "coco27", 1, 20, 8, {"explicit": '{"method": "untrained"}'})
    )
    assert len(tables.beside_paper(ours, TABLE_1, "coco27")) == 6


def test_a_table_with_several_numbers_of_a_method_is_refused():
    """Table 2 has things and stuff apart: neither is what a run scores over all classes."""
    with pytest.raises(
        ValueError, match=r"more than one number for PiCIE\+H and one metric: .*All.*; or .*Stuff.*; or .*Things"
    ):
        tables.beside_paper(tidy(), "picie_table2_partition", "coco27")


def test_a_published_table_that_is_not_there():
    with pytest.raises(
        FileNotFoundError, match=r"no published table 'table_one' in .*there are: .*picie_table1_coco_all"
    ):
        tables.published("table_one")


# -- as text


def test_markdown():
    table = pd.DataFrame({"method": ["PiCIE", "k-means"], "mIoU": [13.84, math.nan], "seeds": [5, 1]})
    assert tables.markdown(table) == (
        "| method | mIoU | seeds |\n| --- | --- | --- |\n| PiCIE | 13.8 | 5 |\n| k-means |  | 1 |\n"
    )


def test_as_text_tells_apart_what_differs_in_its_settings_alone():
    runs = tidy(
        (
            "picie",
            "scenes",
            1,
            10,
            5,
            {"explicit": '{"method": "picie", "epochs": 2, "scale": "small", "mse": "none"}'},
        ),
        ("picie", "scenes", 1, 20, 9, {"explicit": '{"method": "picie", "geometric": false, "scale": "small"}'}),
    )
    first, better, worse = tables.as_text(tables.over_seeds(runs)).splitlines()
    assert first.split()[-1] == "settings"
    assert better.split()[:2] == ["scenes", "PiCIE"]
    assert better.endswith("geometric=False")
    assert worse.endswith("epochs=2, mse=none")


def test_as_text_of_alike_rows_has_no_settings():
    text = tables.as_text(tables.over_seeds(tidy(("picie", "scenes", 1, 10.06, 5), ("rgb", "scenes", 1, 20, 9))))
    assert "settings" not in text
    assert text.splitlines()[2].split() == ["scenes", "PiCIE", "ours", "10.1", "5.0", "1", "10.0"]
