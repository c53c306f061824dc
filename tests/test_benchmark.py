"""`benchmark`: what it measures is there and adds up; how long anything takes is no matter of a test."""

import pytest
from tiny_runs import shrink, tiny

from picie_core import benchmark
from picie_core.settings import SettingsError


@pytest.fixture
def measured(tmp_path, monkeypatch):
    shrink(monkeypatch.setattr)
    return benchmark.benchmark(tiny(tmp_path, epochs=2), repeats=1, beside=("deepcluster",))


def test_a_method_that_does_not_exist_is_refused_before_anything_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "_timed", lambda settings: pytest.fail("an epoch was timed"))
    with pytest.raises(SettingsError, match=r"method = 'deepclutser': did you mean 'deepcluster'\?"):
        benchmark.benchmark(tiny(tmp_path), beside=("deepclutser",))


def test_the_floor_is_four_forwards_and_two_with_backwards_of_the_fastest_layout(measured):
    floors = [4 * cost["forward"] + 2 * cost["forward and backward"] for cost in measured["bare"].values()]
    assert measured["floor"] == min(floors)
    assert measured["share"] == measured["floor"] / measured["epoch"]


def test_the_phases_are_an_epochs_passes_and_no_more_than_the_epoch(measured):
    assert set(measured["phases"]) == {"cluster", "label", "train"}
    assert 0 < sum(measured["phases"].values()) <= measured["epoch"]
    assert measured["images"] == 8


def test_it_says_all_of_it_and_leaves_no_run_behind(measured, tmp_path):
    text = benchmark.report(measured)
    for word in ("cluster", "label", "train", "epoch", "floor", "share of the floor", "epoch of deepcluster"):
        assert f"\n{word} " in text, word
    assert f"{measured['beside']['deepcluster'] / measured['epoch']:.2f} of the above" in text
    assert not list(tmp_path.iterdir())
