"""`seeds`: intervals and paired comparisons, by hand and against scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from picie_core.metrics import seeds

FIVE = [18.0, 18.0, 20.0, 22.0, 22.0]  # mean 20, sd 2, t(0.975, 4) = 2.776
samples = st.lists(st.floats(0, 100), min_size=2, max_size=12)
levels = st.sampled_from([0.5, 0.9, 0.95])


# -- one method


def test_the_spread_by_hand():
    found = seeds.spread(FIVE)
    assert (found.n, found.mean, found.sd) == (5, 20, 2)
    assert (found.low, found.high) == pytest.approx(
        (20 - 2.776 * 2 / math.sqrt(5), 20 + 2.776 * 2 / math.sqrt(5)), abs=1e-3
    )


@given(samples, levels)
def test_the_interval_of_the_mean_is_scipys(values, level):
    found, sd = seeds.spread(values, level), np.std(values, ddof=1)
    if sd > 0:
        expected = stats.t.interval(level, df=len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert (found.low, found.high) == pytest.approx(expected)
    else:
        assert found.low == found.high == found.mean


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    runs = np.random.default_rng(1).normal(20, 2, size=(4000, 4))
    inside = [found.low <= 20 <= found.high for row in runs for found in [seeds.spread(row)]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.01)


def test_one_seed_has_a_mean_and_no_spread():
    found = seeds.spread([7.0])
    assert (found.n, found.mean) == (1, 7)
    assert np.isnan([found.sd, found.low, found.high]).all()
    with pytest.raises(ValueError, match="run at least one seed"):
        seeds.spread([])


@given(samples, levels)
def test_the_prediction_interval_is_scipys(values, level):
    n, sd = len(values), np.std(values, ddof=1)
    low, high = seeds.prediction_interval(values, level)
    if sd > 0:
        expected = stats.t.interval(level, df=n - 1, loc=np.mean(values), scale=sd * np.sqrt(1 + 1 / n))
        assert (low, high) == pytest.approx(expected)
    else:
        assert low == high == pytest.approx(values[0])


def test_the_prediction_interval_by_hand():
    # 20 +- 2.776 * 2 * sqrt(1.2) = 20 +- 6.083
    assert seeds.prediction_interval(FIVE) == pytest.approx((13.917, 26.083), abs=1e-3)


@pytest.mark.parametrize("values", [[], [1.0]])
def test_there_is_no_prediction_without_a_spread(values):
    assert all(math.isnan(end) for end in seeds.prediction_interval(values))


def test_the_prediction_holds_the_next_run_as_often_as_it_says():
    runs = np.random.default_rng(0).normal(20, 2, size=(4000, 6))
    inside = [low <= new <= high for *ours, new in runs for low, high in [seeds.prediction_interval(ours)]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.01)


# -- two methods


def test_a_comparison_by_hand():
    found = seeds.compare({3: 30.0, 1: 12.0, 2: 21.0}, {1: 10.0, 2: 20.0, 3: 27.0})
    assert found.seeds == (1, 2, 3)
    assert (found.difference, found.sd) == (2, 1)  # 2, 1, 3
    # t(0.975, 2) = 4.303; t = 2 / (1 / sqrt 3) = 3.464, p = 0.0742
    assert (found.low, found.high) == pytest.approx((2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)), abs=1e-3)
    assert found.p == pytest.approx(0.0742, abs=1e-4)
    assert found.verdict == "undecided"


def test_holms_correction_by_hand():
    # In order 0.01, 0.02, 0.03, 0.6: times 4, 3, 2, 1; the third would be 0.06 too.
    expected = pytest.approx([0.6, 0.04, math.nan, 0.06, 0.06], nan_ok=True)
    assert seeds.holm([0.6, 0.01, math.nan, 0.03, 0.02]) == expected
    assert seeds.holm([0.9, 0.5, 0.5]) == [1, 1, 1]
    assert seeds.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.001, 0.5))
def test_holms_findings_are_those_of_stepping_down(p, level):
    findings = [value <= level for value in seeds.holm(p)]
    steps = sorted(p)
    passed = next((k for k, value in enumerate(steps) if value * (len(p) - k) > level), len(p))
    assert sum(findings) == passed
    assert all(value <= level for value, found in zip(p, findings, strict=True) if found)


def test_what_counts_is_the_seeds_that_both_have():
    both = seeds.compare({1: 12.0, 2: 21.0}, {1: 10.0, 2: 20.0})
    assert seeds.compare({1: 12.0, 2: 21.0, 7: 99.0}, {2: 20.0, 1: 10.0, 5: 0.0}) == both


def test_a_comparison_as_a_row_of_a_table():
    row = seeds.compare({3: 30.0, 1: 12.0, 2: 21.0}, {1: 10.0, 2: 20.0, 3: 27.0}).row
    assert list(row) == ["difference", "low", "high", "p", "seeds"]
    assert (row["difference"], row["seeds"]) == (2, "1, 2, 3")
    assert (row["low"], row["high"], row["p"]) == pytest.approx((-0.484, 4.484, 0.0742), abs=1e-3)


@given(st.dictionaries(st.integers(0, 99), st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2), levels)
def test_comparisons_are_scipys(pairs, level):
    first, second = ({seed: pair[i] for seed, pair in pairs.items()} for i in (0, 1))
    found = seeds.compare(first, second, level)
    if found.sd > 1e-9:
        expected = stats.ttest_rel([first[s] for s in pairs], [second[s] for s in pairs])
        interval = expected.confidence_interval(level)
        assert found.p == pytest.approx(expected.pvalue)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
        swapped = seeds.compare(second, first, level)
        assert (swapped.difference, swapped.low) == pytest.approx((-found.difference, -found.high))


def test_what_a_seed_does_to_both_methods_cancels_out():
    noise = dict(enumerate(np.random.default_rng(0).normal(0, 10, 5)))
    found = seeds.compare({s: 21 + v + 0.1 * (s % 2) for s, v in noise.items()}, {s: 20 + v for s, v in noise.items()})
    assert found.verdict == "higher"
    assert found.p < 1e-4


@pytest.mark.parametrize(("shift", "verdict"), [(2.0, "higher"), (-2.0, "lower"), (0.0, "undecided")])
def test_a_difference_that_is_the_same_on_every_seed(shift, verdict):
    found = seeds.compare({1: 4.0 + shift, 2: 8.0 + shift}, {1: 4.0, 2: 8.0})
    assert (found.low, found.high, found.p, found.verdict) == (shift, shift, float(shift == 0), verdict)


def test_one_seed_decides_nothing():
    found = seeds.compare({1: 30.0}, {1: 10.0})
    assert found.difference == 20
    assert np.isnan([found.low, found.high, found.p]).all()
    assert found.verdict == "undecided"


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({1: 1.0}, {3: 1.0, 2: 1.0}, "the first has 1, the second 2, 3. Run both on the same seeds"),
        ({}, {1: 1.0}, "the first has none, the second 1"),
    ],
)
def test_two_methods_without_a_seed_in_common_are_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        seeds.compare(first, second)
