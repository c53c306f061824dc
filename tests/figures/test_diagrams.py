"""`diagrams`: the data behind the pictures."""

import math

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt

from picie_core.figures import diagrams
from picie_core.losses import mutual_information
from picie_core.metrics import Scores
from picie_core.training.traces import Trace

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def trace(*losses, before, after, changed):
    epochs = np.repeat([0, 1], len(losses) // 2)
    steps = pd.DataFrame({"epoch": epochs, "step": range(len(losses)), "loss": losses})
    table = {"epoch": [0, 1], "fit before": before, "fit after": after, "changed": changed}
    return Trace(steps, pd.DataFrame(table))


def lines(axis):
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines]


def test_classifiers_side_by_side():
    one = trace(2.0, 1.9, 1.8, 2.0, 1.5, 1.0, before=[10, 20], after=[30, 40], changed=[math.nan, 60.0])
    two = trace(1.0, 0.9, 0.8, 0.7, 0.6, 0.5, before=[90, 80], after=[70, 60], changed=[math.nan, 50.0])
    figure = diagrams.classifiers({"reset": one, "frozen": two}, k=12)
    loss, fit, changed = figure.axes
    assert lines(loss)[:2] == [
        ([1, 2, 3, 4, 5, 6], [2, 1.9, 1.8, 2, 1.5, 1]),
        ([1, 2, 3, 4, 5, 6], [1, 0.9, 0.8, 0.7, 0.6, 0.5]),
    ]
    assert [x for x, _ in lines(loss)[2:4]] == [[0.5, 0.5], [3.5, 3.5]]  # before each epoch's first step
    assert lines(loss)[4][1] == [math.log(12)] * 2
    guess = "a guess: loss log 12 (left), 8 % as labelled (middle)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["reset", "frozen", guess]
    assert lines(fit)[:4] == [
        ([0.7, 1.3], [10, 30]), ([1.7, 2.3], [20, 40]), ([0.7, 1.3], [90, 70]), ([1.7, 2.3], [80, 60]),
    ]  # fmt: skip
    assert lines(fit)[4][1] == [100 / 12] * 2
    assert [(x[1], y[1]) for x, y in lines(changed)] == [(2, 60), (2, 50)]


JOINTS = np.zeros((2, 3, 3, 3, 3))
JOINTS[0, 1, 1] = np.array([[4, 1, 1], [1, 2, 1], [1, 1, 1]])
JOINTS[1] = np.diag([2.0, 1.0, 5.0])
JOINTS[1, 0, 2] = 1.0  # one row up, one column to the right: no information
JOINTS[1, 2, 2] = [[0, 4, 0], [0, 0, 0], [0, 0, 0]]  # below it always the same: none either
ENTROPY = -sum(p * math.log(p) for p in (5 / 8, 2 / 8, 1 / 8))


def test_joint_distributions_stand_in_the_order_of_the_last_ones_sizes():
    figure = diagrams.joint_distributions({"before": JOINTS[0], "end": JOINTS[1]})
    before, end = (axis.images[0].get_array() for axis in figure.axes[:2])
    order = [2, 0, 1]
    expected = mutual_information.distribution(torch.from_numpy(JOINTS[0, 1, 1])).numpy()
    np.testing.assert_allclose(before, 100 * expected[np.ix_(order, order)])
    np.testing.assert_allclose(end, 100 * np.diag([5, 2, 1]) / 8)
    # 13 pairs, 4 1 1 / 1 2 1 / 1 1 1: how many in a cell, in its row, in its column
    cells = [(4, 6, 6), (2, 4, 4), (1, 3, 3), *2 * [(1, 6, 4), (1, 6, 3), (1, 4, 3)]]
    information = sum(n / 13 * math.log(13 * n / (a * b)) for n, a, b in cells)
    assert [axis.get_title() for axis in figure.axes[:2]] == [
        f"before: {information:.2f} of 1.10 nats", f"end: {ENTROPY:.2f} of 1.10 nats",
    ]  # fmt: skip


def test_information_by_displacement_of_the_pairs_and_made_symmetric():
    figure = diagrams.displacements(JOINTS[1])
    pairs, symmetric = (axis.images[0].get_array() for axis in figure.axes[:2])
    assert pairs[1, 1] == symmetric[1, 1] == pytest.approx(ENTROPY)
    assert symmetric[0, 2] == pytest.approx(0, abs=1e-9)
    assert (symmetric[2, 2], pairs[2, 2]) == (pytest.approx(math.log(2)), pytest.approx(0, abs=1e-9))
    assert [axis.get_title() for axis in figure.axes[:2]] == ["pairs as they are", "made symmetric (the loss)"]
    assert figure.axes[1].images[0].get_extent() == [-1.5, 1.5, 1.5, -1.5]  # negative displacements come first


def test_random_blocks_are_counted_and_the_marks_are_where_their_scores_are():
    blocks = np.array([[10.0, 1.0], [20.0, 2.0], [20.0, math.nan], [30.0, 3.0]])
    marks = {"things": Scores(25.0, 2.5, np.array([2.5])), "slice": Scores(12.0, 1.5, np.array([1.5]))}
    figure = diagrams.random_blocks(blocks, marks)
    accuracy, iou = figure.axes
    assert sum(bar.get_height() for bar in accuracy.patches) == 4
    assert sum(bar.get_height() for bar in iou.patches) == 3  # a block without a pixel has no score
    assert [x[0] for x, _ in lines(accuracy)] == [25, 12]
    assert [x[0] for x, _ in lines(iou)] == [2.5, 1.5]
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["random blocks", "things", "slice"]
    figure.canvas.draw()
    assert not any(legend.get_window_extent().overlaps(axis.get_tightbbox()) for axis in figure.axes)


def test_iou_by_class_has_a_row_a_method_and_leaves_out_what_is_not_there():
    table = pd.DataFrame({"PiCIE": [50.0, 10.4, 7.0], "IIC": [math.nan, 20.0, 8.0]}, index=["sky", "car", "boat"])
    axis = diagrams.iou_by_class(table).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["PiCIE", "IIC"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["sky", "car", "boat"]
    assert [text.get_text() for text in axis.texts] == ["50", "10", "7", "20", "8"]
