"""`selection`: the last epoch and the best one, by hand."""

import pandas as pd
import pytest

from picie_core.metrics import selection

PROGRESS = pd.DataFrame(
    {
        "epoch": [0, 1, 2, 3],
        "loss": [9.0, 9.0, 9.0, 9.0],
        "accuracy_view1": [40.0, 41.0, 44.0, 43.0],
        "mean_iou_view1": [14.0, 17.0, 16.0, 15.5],
        "mean_iou_view2": [12.0, 13.0, 13.5, 13.5],
    }
)


def test_the_gap_is_what_choosing_by_labels_adds():
    table = selection.last_and_best(PROGRESS)
    assert table.columns.tolist() == selection.COLUMNS
    assert table.to_numpy().tolist() == [["view1", 15.5, 17.0, 2, 1.5], ["view2", 13.5, 13.5, 3, 0.0]]


def test_each_metric_has_an_epoch_of_its_own():
    assert selection.last_and_best(PROGRESS, "accuracy").to_numpy().tolist() == [["view1", 43.0, 44.0, 3, 1.0]]


def test_a_run_without_epochs_has_nothing_to_choose():
    assert selection.last_and_best(pd.DataFrame()).columns.tolist() == selection.COLUMNS
    assert selection.last_and_best(pd.DataFrame()).empty


def test_epochs_without_scores_are_refused():
    with pytest.raises(
        ValueError, match=r"no epoch has a mean_iou: the run's scored split has no labels, .*: the last one counts"
    ):
        selection.last_and_best(PROGRESS[["epoch", "loss"]])


def test_a_real_run(tiny_run):
    table = selection.last_and_best(tiny_run.progress)
    assert table["prototypes"].tolist() == ["view1", "view2"]
    assert (table["gap"] == 0).all()  # of one epoch
    assert table["last"].tolist() == tiny_run.progress.iloc[-1][["mean_iou_view1", "mean_iou_view2"]].tolist()
