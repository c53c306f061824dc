"""`tables.excerpt`: what is left out and what is put into words, cell by cell."""

import numpy as np
import pandas as pd
import pytest

from picie_core.tables import excerpt

COMPARED = pd.DataFrame(
    [
        ["a", 2.693, 0.076, 5.31, 0.04, 0.4041, "1, 2, 3, 4", 4.05, "x:1"],
        ["b", -0.04, -0.957, 0.35, 0.0099, 0.0035, "1, 3, 5, 6", 0.52, "y:1"],
        ["c", 1.25, np.nan, np.nan, np.nan, np.nan, "7", np.nan, "z:7"],
        ["d", np.nan, np.nan, np.nan, np.nan, np.nan, "not run", np.nan, ""],
    ],
    columns=["row", "difference", "low", "high", "p", "p of all", "seeds", "paper", "runs"],
)


def test_a_comparison_is_one_text_with_its_interval():
    found = excerpt.brief(COMPARED)
    assert found.columns.tolist() == ["row", "difference", "p", "p of all", "seeds", "paper"]
    assert found["difference"].tolist() == ["2.7 [0.1, 5.3]", "0.0 [-1.0, 0.4]", "1.3", ""]  # no "-0.0"
    assert found["p"].tolist() == ["0.04", "< 0.01", "", ""]
    assert found["p of all"].tolist() == ["0.40", "< 0.01", "", ""]
    assert found["seeds"].tolist() == ["1-4", "1, 3, 5-6", "7", "not run"]
    assert found["paper"].tolist()[:2] == [4.1, 0.5]


def test_digits_are_those_asked_for():
    assert excerpt.brief(COMPARED, 2)["difference"].tolist()[0] == "2.69 [0.08, 5.31]"


def test_what_is_saved_stays_as_it_is():
    before = COMPARED.copy()
    excerpt.brief(COMPARED)
    pd.testing.assert_frame_equal(COMPARED, before)


def test_columns_without_a_word_are_not_shown():
    table = pd.DataFrame({"row": ["a", "b"], "paper": [np.nan, np.nan], "verdict": ["", ""], "mIoU": [1.0, np.nan]})
    assert excerpt.brief(table).columns.tolist() == ["row", "mIoU"]


def test_of_one_seed_the_empty_ends_go_and_the_difference_stays():
    assert excerpt.brief(COMPARED.iloc[[2]])["difference"].tolist() == ["1.3"]
    assert excerpt.brief(COMPARED.iloc[[3]]).columns.tolist() == ["row", "seeds"]


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(3.65, 1, 3.7), (-3.65, 1, -3.7), (10.04866, 1, 10.0), (2.675, 2, 2.68), (11.35, 1, 11.4), (0.1 + 0.2, 1, 0.3)],
)
def test_halves_are_rounded_away_from_zero(value, digits, expected):
    assert excerpt.rounded(value, digits) == expected


def test_what_is_no_number_stays():
    assert np.isnan(excerpt.rounded(np.nan, 1))
    assert excerpt.rounded(-np.inf, 1) == -np.inf


def test_a_number_of_seeds_is_no_list_of_them():
    assert excerpt.brief(pd.DataFrame({"seeds": [5, 10]}))["seeds"].tolist() == [5, 10]


@pytest.mark.parametrize(
    ("seeds", "said"),
    [("1, 2, 3, 4, 5, 6, 7, 8, 9, 10", "1-10"), ("1, 2", "1-2"), ("3, 1, 2, 9", "1-3, 9"), ("4", "4"), ("", "")],
)
def test_neighbouring_seeds_are_a_range(seeds, said):
    assert excerpt.ranges(seeds) == said


def test_what_all_rows_share_is_said_once():
    table = pd.DataFrame(
        {
            "method": ["a", "b", "c"],
            "data": ["scenes", "", "scenes"],
            "metric": ["mIoU", "mIoU", "mIoU"],
            "verdict": ["other data", "not run", "other data"],
            "difference": [np.nan, np.nan, np.nan],
        }
    )
    words, rest = excerpt.alike(table, ["metric", "data", "verdict", "difference", "a column that it does not have"])
    assert words == "metric: mIoU; data: scenes"
    assert rest.columns.tolist() == ["method", "verdict", "difference"]  # nothing can be said of what is empty
    assert excerpt.alike(table, ["verdict"])[0] == ""
    assert excerpt.alike(table.iloc[[0, 2]], ["verdict"])[0] == "verdict: other data"


BESIDE = pd.DataFrame(
    [["a", "1, 2", "5.0", 14.1, "other data"], ["b", "not run", "", 13.2, "not run"], ["c", "1", "6.0", np.nan, ""]],
    columns=["row", "seeds", "mIoU", "mIoU, paper", "verdict"],
)


def test_on_other_data_what_was_run_stands_alone():
    found = excerpt.measured(BESIDE)
    assert found.to_dict("list") == {"row": ["a", "c"], "seeds": ["1, 2", "1"], "mIoU": ["5.0", "6.0"]}
    assert found.index.tolist() == [0, 1]


@pytest.mark.parametrize(
    "changed",
    [
        BESIDE.assign(verdict=["in the interval", "not run", ""]),  # one row is on the paper's data
        BESIDE.assign(seeds="not run", verdict="not run"),  # there is nothing to show but the paper's
        BESIDE.drop(columns=["verdict", "mIoU, paper"]),  # of a grid of which nothing is published
    ],
)
def test_else_the_table_stays(changed):
    pd.testing.assert_frame_equal(excerpt.measured(changed), changed)
