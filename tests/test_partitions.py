"""`partitions`: three definitions by hand, against loops over the formulas, and the published recomputation."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from picie_core import metrics, partitions, published
from picie_core.classes import COCO27, COCO_STUFF15, SCENES

# Four classes in four clusters, 0 and 1 are S; clusters 0, 1, 2, 3 match classes 1, 0, 3, 2.
MATRIX = np.array([[2, 6, 1, 1], [9, 0, 0, 3], [0, 2, 1, 4], [4, 0, 8, 0]])
CLASSES = np.array([1, 0, 3, 2])
# In class order, true class by predicted class: [[6, 2, 1, 1], [0, 9, 3, 0], [2, 0, 4, 1], [0, 4, 0, 8]].


def test_the_block_by_hand():
    scores = partitions.block(MATRIX, CLASSES, {1, 0})
    assert scores.accuracy == pytest.approx(100 * 15 / 17)
    assert scores.iou.tolist() == pytest.approx([100 * 6 / 8, 100 * 9 / 11])
    assert scores.mean_iou == pytest.approx((75 + 900 / 11) / 2)


def test_the_rows_by_hand():
    scores = partitions.rows(MATRIX, CLASSES, {1, 0})
    assert scores.accuracy == pytest.approx(100 * 15 / 22)
    assert scores.iou.tolist() == pytest.approx([100 * 6 / 12, 100 * 9 / 18])
    assert scores.mean_iou == pytest.approx(50)


def test_the_class_mean_by_hand():
    scores = partitions.class_mean(MATRIX, CLASSES, {1, 0})
    assert scores.accuracy == pytest.approx((60 + 75) / 2)
    assert scores.mean_iou == pytest.approx(50)


def test_a_class_that_leaves_the_block_is_nan_there_and_0_in_its_row():
    matrix = np.array([[0, 0, 5], [0, 4, 0], [1, 0, 9]])  # every pixel of class 0 is taken for class 2
    identity = np.arange(3)
    block, rows = partitions.block(matrix, identity, [0, 1]), partitions.rows(matrix, identity, [0, 1])
    assert np.isnan(block.iou[0])
    assert (block.accuracy, block.mean_iou) == (100, 100)
    assert rows.iou.tolist() == [0, 100]
    assert partitions.class_mean(matrix, identity, [0, 1]).accuracy == 50


def test_an_absent_class_is_left_out_of_the_class_mean():
    matrix = np.diag([3, 0, 2])
    scores = partitions.class_mean(matrix, np.arange(3), [0, 1])
    assert (scores.accuracy, scores.mean_iou) == (100, 100)


def test_a_partition_without_pixels_is_nan_and_not_an_error():
    for definition in partitions.DEFINITIONS.values():
        scores = definition(np.diag([3, 0, 0]), np.arange(3), [1, 2])
        assert np.isnan([scores.accuracy, scores.mean_iou]).all()


def test_clusters_of_no_class_are_missed_pixels_of_the_rows_and_outside_of_the_block():
    matrix, classes = np.array([[4, 1, 6], [0, 5, 0]]), np.array([0, 1, -1])
    assert partitions.rows(matrix, classes, [0]).accuracy == pytest.approx(100 * 4 / 11)
    assert partitions.block(matrix, classes, [0, 1]).accuracy == pytest.approx(100 * 9 / 10)


def naive(matrix, classes, members):
    """(accuracy, mIoU) of block, rows and class mean, by loops over pixels' counts."""
    inside_hits = inside = hits = truth = 0
    block_iou, iou, recall = [], [], []
    for c in members:
        tp = fn = fn_inside = fp = fp_inside = 0
        for d, k in itertools.product(range(len(matrix)), range(len(classes))):
            if d == c and classes[k] == c:
                tp += matrix[d, k]
            elif d == c:
                fn += matrix[d, k]
                fn_inside += matrix[d, k] if classes[k] in members else 0
            elif classes[k] == c:
                fp += matrix[d, k]
                fp_inside += matrix[d, k] if d in members else 0
        inside_hits, inside, hits, truth = inside_hits + tp, inside + tp + fn_inside, hits + tp, truth + tp + fn
        block_iou += [tp / (tp + fn_inside + fp_inside)] if tp + fn_inside + fp_inside else []
        iou += [tp / (tp + fn + fp)] if tp + fn + fp else []
        recall += [tp / (tp + fn)] if tp + fn else []

    def ratio(part, whole):
        return 100 * part / whole if whole else np.nan

    block = ratio(inside_hits, inside), ratio(sum(block_iou), len(block_iou))
    return block, (ratio(hits, truth), ratio(sum(iou), len(iou))), (
        ratio(sum(recall), len(recall)), ratio(sum(iou), len(iou)),
    )  # fmt: skip


cases = st.tuples(st.integers(2, 5), st.integers(1, 6)).flatmap(
    lambda shape: st.tuples(
        npst.arrays(np.int64, shape, elements=st.integers(0, 9)),
        npst.arrays(np.int64, shape[1], elements=st.integers(-1, shape[0] - 1)),
        st.sets(st.integers(0, shape[0] - 1), min_size=1),
    )
)


@given(cases)
def test_definitions_are_the_formulas(case):
    for definition, expected in zip(partitions.DEFINITIONS.values(), naive(*case), strict=True):
        scores = definition(*case)
        np.testing.assert_allclose((scores.accuracy, scores.mean_iou), expected)


@given(cases)
def test_all_classes_are_one_partition(case):
    matrix, classes, _ = case
    everything = range(len(matrix))
    if matrix.sum():
        whole = metrics.score(matrix, classes)
        assert partitions.rows(matrix, classes, everything).accuracy == whole.accuracy
        assert partitions.rows(matrix, classes, everything).mean_iou == pytest.approx(whole.mean_iou, nan_ok=True)
    if matrix.sum() and (classes >= 0).all():
        assert partitions.block(matrix, classes, everything).accuracy == metrics.score(matrix, classes).accuracy


def test_the_rows_of_the_parts_weigh_up_to_the_whole():
    matrix = np.random.default_rng(0).integers(1, 50, (27, 27)) + 200 * np.eye(27, dtype=int)
    found = partitions.things_and_stuff(matrix, COCO27)
    things, stuff = found["things", "rows"], found["stuff", "rows"]
    pixels = np.array([matrix[:12].sum(), matrix[12:].sum()])
    whole = metrics.score(matrix)
    assert pixels @ [things.accuracy, stuff.accuracy] / pixels.sum() == pytest.approx(whole.accuracy)
    assert (12 * things.mean_iou + 15 * stuff.mean_iou) / 27 == pytest.approx(whole.mean_iou)


def test_the_published_recomputation_counts_as_the_rows_do():
    """Of the authors' confusion matrix: its IoU "by rows" weigh up to that of all classes, so false positives count."""
    table = published.read("picie_partition_recheck").set_index(["setting", "metric"])["value"]
    things, stuff = (
        f"partition={p}; GT rows only, all clusters kept (recall; IoU with all FP)" for p in ("Things", "Stuff")
    )
    mean = (12 * table[things, "mIoU"] + 15 * table[stuff, "mIoU"]) / 27
    assert mean == pytest.approx(table["All; Hungarian on counts", "mIoU"], abs=0.01)
    share = 0.1201  # of the labelled validation pixels are things
    accuracy = share * table[things, "accuracy"] + (1 - share) * table[stuff, "accuracy"]
    assert accuracy == pytest.approx(table["All; Hungarian on counts", "accuracy"], abs=0.01)


def test_things_and_stuff_are_those_of_the_table_in_class_order():
    """In COCO-Stuff-27 clusters come in an order of their own: partitions follow the classes they match."""
    order = np.random.default_rng(1).permutation(27)
    matrix = np.zeros((27, 27), dtype=np.int64)
    matrix[np.arange(27), order] = np.arange(1, 28)
    matrix[0, order[26]] = 1000  # things taken for stuff
    matrix[26, order[26]] = 5000
    found = partitions.things_and_stuff(matrix, COCO27)
    assert list(found) == [(p, d) for p in ("things", "stuff") for d in ("block", "rows", "class mean")]
    assert found["things", "block"].accuracy == found["stuff", "block"].accuracy == 100
    assert found["things", "rows"].accuracy == pytest.approx(100 * 78 / 1078)
    assert found["stuff", "rows"].accuracy == 100
    assert len(found["things", "block"].iou) == 12


def test_only_partitions_that_have_classes():
    assert {part for part, _ in partitions.things_and_stuff(np.eye(15, dtype=int), COCO_STUFF15)} == {"stuff"}


def test_what_is_no_partition_is_refused():
    with pytest.raises(ValueError, match="27 classes where scenes has 12"):
        partitions.things_and_stuff(np.eye(27, dtype=int), SCENES)
    for members in ([], [0, 4], [-1]):
        with pytest.raises(ValueError, match="one or more of 0 to 3"):
            partitions.block(MATRIX, CLASSES, members)
