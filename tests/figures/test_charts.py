"""`charts`: what is drawn is what the table says."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from picie_core.figures import charts


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_effects_draw_points_intervals_and_the_papers_change():
    table = pd.DataFrame(
        [
            ["a", -2.0, -3.0, -1.0, -1.5, "yes"],
            ["b", np.nan, np.nan, np.nan, 0.5, "not run"],
            ["c", 1.0, np.nan, np.nan, np.nan, "undecided"],
        ],
        columns=["row", "difference", "low", "high", "paper", "agrees"],
    )
    (axis,) = charts.effects(table, "PiCIE").axes
    several, single = axis.containers
    assert several.lines[0].get_xydata().tolist() == [[-2, 0]]
    np.testing.assert_array_equal(several.lines[2][0].get_segments()[0][:, 0], [-3, -1])
    assert single.lines[0].get_xydata().tolist() == [[1, 2]]
    assert single.lines[0].get_markerfacecolor() == "white"
    assert [c.get_label() for c in (several, single)] == ["ours (95 % interval)", "ours, one seed"]
    paper = next(line for line in axis.lines if line.get_label().startswith("paper"))
    np.testing.assert_array_equal(paper.get_xdata(), [-1.5, 0.5, np.nan])
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b", "c"]
    assert [text.get_text() for text in axis.texts] == ["not run"]
    assert axis.texts[0].xy[1] == 1
    assert axis.yaxis_inverted()
    assert "PiCIE" in axis.get_xlabel()


def test_margins_have_an_axis_a_metric_a_row_a_method_and_a_colour_a_group():
    table = pd.DataFrame(
        [
            ["IIC", 5.4, 2.8, 8.0, "mIoU", 4, 7.1],
            ["position", 1.6, -1.1, 4.4, "mIoU", 4, np.nan],
            ["IIC", 10.3, np.nan, np.nan, "mIoU", 20, 7.1],
            ["position", 12.7, 9.0, 16.5, "accuracy", 4, np.nan],
        ],
        columns=["method", "difference", "low", "high", "metric", "epochs", "paper"],
    )
    figure = charts.margins(table, "PiCIE", "epochs")
    first, second = figure.axes
    assert [axis.get_title() for axis in figure.axes] == ["mIoU", "accuracy"]
    four, twenty = first.containers
    np.testing.assert_allclose(four.lines[0].get_xydata(), [[5.4, -0.17], [1.6, 0.83]])
    np.testing.assert_allclose([bar[:, 0] for bar in four.lines[2][0].get_segments()], [[2.8, 8.0], [-1.1, 4.4]])
    np.testing.assert_allclose(twenty.lines[0].get_xydata(), [[10.3, 0.17]])
    np.testing.assert_allclose(twenty.lines[2][0].get_segments()[0][:, 0], [10.3, 10.3])  # of one seed there is none
    assert four.lines[0].get_color() != twenty.lines[0].get_color()
    np.testing.assert_allclose(second.containers[0].lines[0].get_xydata(), [[12.7, 0.83]])
    papers = [next(line for line in a.lines if line.get_label().startswith("paper")) for a in figure.axes]
    assert [line.get_xydata().tolist() for line in papers] == [[[7.1, 0]], []]
    assert [label.get_text() for label in first.get_yticklabels()] == ["IIC", "position"]
    assert first.yaxis_inverted()
    assert "PiCIE" in first.get_xlabel()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["paper (COCO)", "4 epochs", "20 epochs"]


def test_without_the_papers_numbers_there_is_no_mark_for_them():
    table = pd.DataFrame(
        [["a", 1.0, 0.5, 1.5, np.nan, "undecided"]], columns=["row", "difference", "low", "high", "paper", "agrees"]
    )
    (axis,) = charts.effects(table, "x").axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["ours (95 % interval)"]


def test_a_curve_draws_seeds_their_mean_and_the_paper():
    table = pd.DataFrame({"k": [2, 1, 1], "seed": [1, 1, 2], "value": [5.0, 1.0, 3.0], "paper": [7.0, 8.0, 8.0]})
    (axis,) = charts.curve(table, "k").axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
    assert lines["ours, mean over seeds"] == [[1, 2], [2, 5]]
    assert lines["paper (COCO)"] == [[1, 8], [2, 7]]
    assert sorted(next(v for k, v in lines.items() if k.startswith("_"))) == [[1, 1], [1, 3], [2, 5]]
    assert axis.get_xlabel() == "k"


def test_strengths_have_an_axis_each_with_the_trained_range_and_agreement_is_boldest():
    table = pd.DataFrame(
        [("hue", -0.5, 10.0, 5.0, 90.0), ("hue", 0.5, 12.0, 6.0, 80.0), ("side", 0.5, 8.0, 4.0, 70.0)],
        columns=["transform", "strength", "accuracy", "mIoU", "agreement"],
    )
    figure = charts.strengths(table, {"hue": (-0.1, 0.1)})
    axes = figure.axes
    assert [axis.get_xlabel() for axis in axes] == ["hue (turns)", "side of the crop (share)"]
    assert [line.get_ydata().tolist() for line in axes[0].lines] == [[90, 80], [10, 12], [5, 6]]
    bold, *others = [line.get_linewidth() for line in axes[0].lines]
    assert bold > max(others)
    assert len(axes[0].patches) == 1
    assert not axes[1].patches
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["drawn in training", "agreement: pixels that keep their cluster", "accuracy", "mIoU"]


def test_by_epoch_has_a_line_a_run_and_dashes_the_normalised_ones():
    progress = pd.DataFrame({"epoch": [0, 1], "mean_iou_final": [5.0, 7.0]})
    figure = charts.by_epoch({"PiCIE": progress, "PiCIE, normalised": progress + 1, "IIC": progress})
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["PiCIE", "PiCIE, normalised", "IIC"]
    assert [line.get_linestyle() for line in lines] == ["-", "--", "-"]
    assert lines[0].get_color() == lines[1].get_color() != lines[2].get_color()
    assert lines[0].get_xydata().tolist() == [[1, 5], [2, 7]]  # epochs count from 1


def test_an_epochs_phases_lie_end_to_end_below_the_floor():
    measured = {"phases": {"cluster": 2.0, "label": 1.0, "train": 4.0}, "epoch": 8.0, "floor": 6.0}
    (axis,) = charts.epoch(measured).axes
    bars = {round(bar.get_y() + bar.get_height() / 2): [] for bar in axis.patches}
    for bar in axis.patches:
        bars[round(bar.get_y() + bar.get_height() / 2)].append((bar.get_x(), bar.get_width()))
    assert bars == {0: [(0, 6)], 1: [(0, 2), (2, 1), (3, 4), (7, 1)]}
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["floor: the network alone", "epoch"]
    assert [text.get_text() for text in axis.get_legend().get_texts()][-1] == "between"
    (axis,) = charts.epoch(measured | {"epoch": 7.05}).axes  # too little to be seen
    assert [text.get_text() for text in axis.get_legend().get_texts()][-1] == "train"


def test_hours_fall_along_the_devices():
    runs = {name: pd.DataFrame({"hours": [8.0, 1.0]}, index=pd.Index([1, 8], name="devices")) for name in "ab"}
    (axis,) = charts.hours(runs, "1 ms, estimated").axes
    assert axis.get_title() == "1 ms, estimated"
    drawn = [line for line in axis.lines if line.get_marker() == "o"]
    assert [line.get_label() for line in drawn] == ["a", "b"]
    np.testing.assert_array_equal(drawn[0].get_xydata(), [[1, 8], [8, 1]])
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")


def test_scores_are_dots_means_and_intervals_in_the_order_given():
    runs = pd.DataFrame(
        [("b", 4, 1.0), ("b", 4, 2.0), ("b", 4, 3.0), ("a", 4, 7.0), ("a", 20, 9.0), ("c", 4, 5.0)],
        columns=["method", "epochs", "value"],
    )
    (axis,) = charts.scores(runs, ["b", "not run", "a"], "epochs").axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["b", "a"]
    dots = [line.get_xydata().tolist() for line in axis.lines if line.get_marker() == "."]
    assert dots == [[[7, 0.83]], [[1, -0.17], [2, -0.17], [3, -0.17]], [[9, 1.17]]]
    means = {tuple(bar.lines[0].get_xydata()[0]): bar.lines[2][0].get_segments()[0][:, 0] for bar in axis.containers}
    assert sorted(means) == [(2, -0.17), (7, 0.83), (9, 1.17)]
    np.testing.assert_allclose(means[2, -0.17], [2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5], atol=1e-3)  # t(0.975, 2)
    np.testing.assert_array_equal(means[9, 1.17], [9, 9])  # of one run there is no interval
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["4 epochs", "20 epochs"]
