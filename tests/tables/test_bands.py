"""`tables.bands`: bands by hand, what lies in them and what does not, and the command that measures them."""

import math
from types import SimpleNamespace

import pandas as pd
import pytest
from scipy import stats

from picie_core import records
from picie_core.settings import Settings
from picie_core.tables import bands
from picie_core.tables.bands import MovedError


def made(value, seed=1, losses=(), **changes):
    """A run as far as `bands` looks at it: accuracy, and mIoU of half of it."""
    settings = Settings(**{"dataset": "scenes", "seed": seed, **changes})
    scores = None if value is None else SimpleNamespace(accuracy=value, mean_iou=value / 2)
    progress = pd.DataFrame({"loss": losses}) if losses else pd.DataFrame()
    return SimpleNamespace(settings=settings, scores=scores, progress=progress)


FIVE = [made(value, seed, losses=(9.0, 2.0 + seed / 10)) for seed, value in enumerate((20, 22, 24, 26, 28), start=1)]


def test_a_band_by_hand():
    table = bands.measured(FIVE).set_index("number")
    assert table.index.tolist() == ["accuracy", "mIoU", "loss, first epoch", "loss, last epoch"]
    row = table.loc["accuracy"]
    half = 8.610 * math.sqrt(10) * math.sqrt(1.2)  # t(0.9995, 4) = 8.610, the deviations -4 -2 0 2 4: sd = sqrt(40 / 4)
    assert (row["mean"], row["sd"], row["seeds"]) == (24, pytest.approx(math.sqrt(10)), 5)
    assert (row["low"], row["high"]) == pytest.approx((24 - half, 24 + half), abs=0.01)
    assert stats.t.ppf(1 - (1 - bands.LEVEL) / 2, 4) == pytest.approx(8.610, abs=1e-3)
    assert (row["dataset"], row["method"], row["digest"]) == ("scenes", "PiCIE", records.digest(Settings()))
    assert table.loc["mIoU", "mean"] == 12
    assert table.loc["loss, last epoch", "mean"] == pytest.approx(2.3)


def test_four_seeds_are_too_few_and_a_seed_made_twice_counts_once():
    assert bands.measured(FIVE[:4]).empty
    assert bands.measured([*FIVE[:4], FIVE[0]]).empty
    again = bands.measured([made(0, 1), *FIVE]).set_index("number")  # the last of a seed counts
    assert again.loc["accuracy", "mean"] == 24


def test_other_settings_are_other_bands():
    others = [made(50 + run.settings.seed, run.settings.seed, epochs=9) for run in FIVE]
    table = bands.measured([*FIVE, *others])
    assert table[table["number"] == "mIoU"]["mean"].tolist() == [12, 26.5]


def test_what_lies_in_its_band_is_shown_beside_it():
    known = bands.measured(FIVE)
    table = bands.held([made(30, 7, losses=(9.0, 2.2)), made(99, method="random")], known)
    assert table.columns.tolist() == ["method", "number", "value", "low", "high", "mean", "seeds"]
    assert table["value"].tolist() == [30, 15, 9.0, 2.2]  # of the other configuration there is no band


def test_a_number_that_has_moved_is_named():
    with pytest.raises(MovedError) as error:
        bands.held([made(24, losses=(9.0, 4.5))], bands.measured(FIVE))
    said, advice = str(error.value).split(". ", 1)
    assert said == "1 of 4 numbers have moved: PiCIE, loss, last epoch: 4.5, where 5 seeds make it 0.8087 to 3.791"
    for part in ("one in 1000", "picie grid bands", "CHANGELOG.md"):
        assert part in advice


def test_a_band_of_scores_begins_at_0_and_one_of_losses_where_it_does():
    wide = [made(value, seed, losses=(value, value)) for seed, value in enumerate((1, 20, 1, 20, 1), start=1)]
    known = bands.measured(wide)
    assert (known["low"] < 0).all()
    table = bands.held(wide[:1], known).set_index("number")
    assert table["low"].tolist()[:2] == [0, 0]
    assert (table["low"].tolist()[2:] == known["low"][2:]).all()
    assert bands.over_seeds(wide[:1], known=known)["one run from"].tolist() == [0]


def test_what_the_seeds_say_of_the_mean_and_of_one_more_run_by_hand():
    others = [made(value + 50, seed, method="random") for seed, value in enumerate((1, 2, 3, 4, 5), start=1)]
    known = bands.measured([*FIVE, *others])
    table = bands.over_seeds([FIVE[0], made(9, method="rgb"), others[0]], "accuracy", known)
    assert table["method"].tolist() == ["random partition", "PiCIE"]  # the highest first; of the third there is none
    row = table.iloc[1]
    sd, t = math.sqrt(10), 2.776  # of 4 degrees of freedom
    assert (row["accuracy"], row["seeds"]) == (24, 5)
    ends = [24 - t * sd / math.sqrt(5), 24 + t * sd / math.sqrt(5)]
    assert row[["mean from", "mean to"]].tolist() == pytest.approx(ends, abs=0.01)
    ends = [24 - t * sd * math.sqrt(1.2), 24 + t * sd * math.sqrt(1.2)]
    assert row[["one run from", "one run to"]].tolist() == pytest.approx(ends, abs=0.01)
    assert bands.over_seeds([made(1, method="rgb")], known=known).empty


@pytest.mark.parametrize(
    "run", [made(math.nan), made(None, losses=(9.0, 2.2)), made(24)], ids=["nan", "none", "no loss"]
)
def test_a_number_that_is_missing_has_moved(run):
    with pytest.raises(MovedError):
        bands.held([run], bands.measured(FIVE))


def test_without_the_file_nothing_is_held(monkeypatch, tmp_path):
    monkeypatch.setenv("PICIE_HOME", str(tmp_path))
    assert bands.held(FIVE).empty
