"""`findings`: the release's slice, built as the release builds it, and blocks at random."""

import numpy as np
import pytest

from picie_core import metrics
from picie_core.metrics import findings, partitions

GENERATOR = np.random.default_rng(0)
MATRIX = (GENERATOR.integers(0, 40, (9, 9)) + np.diag(60 + 40 * np.arange(9)))[:, GENERATOR.permutation(9)]


def sliced(matrix, first, last):
    """The release's steps: rows put in the order of the clusters, then a square cut out."""
    ordered = np.zeros_like(matrix)
    for cluster, label in enumerate(metrics.match(matrix)):
        ordered[cluster] = matrix[label]
    part = ordered[first:last, first:last]
    hits = np.diag(part)
    iou = hits / (part.sum(0) + part.sum(1) - hits)
    return 100 * hits.sum() / part.sum(), 100 * iou.mean()


def test_the_released_partition_is_a_slice_in_the_order_of_the_clusters():
    things, stuff = findings.released_partition(MATRIX, 4)
    assert (things.accuracy, things.mean_iou) == pytest.approx(sliced(MATRIX, 0, 4))
    assert (stuff.accuracy, stuff.mean_iou) == pytest.approx(sliced(MATRIX, 4, 9))


def test_renaming_clusters_changes_the_released_partition_and_no_score():
    true, released = set(), []
    for seed in range(10):
        renamed = MATRIX[:, np.random.default_rng(seed).permutation(9)]
        true.add(
            (metrics.score(renamed).mean_iou, partitions.block(renamed, metrics.match(renamed), range(4)).accuracy)
        )
        released.append(findings.released_partition(renamed, 4)[0].mean_iou)
    assert len(true) == 1
    assert max(released) - min(released) > 5


def test_clusters_that_are_in_class_order_hide_the_defect():
    matrix = np.diag([9, 8, 7, 6]) + 1
    things, stuff = findings.released_partition(matrix, 2)
    assert things.accuracy == partitions.block(matrix, np.arange(4), [0, 1]).accuracy
    assert stuff.mean_iou == partitions.block(matrix, np.arange(4), [2, 3]).mean_iou


def test_random_blocks_are_blocks_of_some_classes():
    found = findings.random_blocks(MATRIX, 2, 50, seed=1)
    classes = metrics.match(MATRIX)
    scores = [partitions.block(MATRIX, classes, [a, b]) for a in range(9) for b in range(a)]
    possible = {(s.accuracy, s.mean_iou) for s in scores}
    assert found.shape == (50, 2)
    assert {tuple(row) for row in found.tolist()} <= possible
    assert len({tuple(row) for row in found.tolist()}) > 10
    np.testing.assert_array_equal(found, findings.random_blocks(MATRIX, 2, 50, seed=1))
    np.testing.assert_array_equal(found[:7], findings.random_blocks(MATRIX, 2, 7, seed=1))
    assert (found != findings.random_blocks(MATRIX, 2, 50, seed=2)).any()


def test_the_block_of_all_classes_is_the_score():
    whole = metrics.score(MATRIX)
    assert findings.random_blocks(MATRIX, 9, 1, seed=0).tolist() == [[whole.accuracy, pytest.approx(whole.mean_iou)]]
    assert findings.random_blocks(MATRIX, 3, 0, seed=0).shape == (0, 2)


def test_what_has_no_such_slice_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\): the release knows as many clusters as classes"):
        findings.released_partition(np.ones((2, 3)), 1)
    for things in (0, 9):
        with pytest.raises(ValueError, match="expected 1 to 8"):
            findings.released_partition(MATRIX, things)
    with pytest.raises(ValueError, match="blocks of 10 classes: expected 1 to 9"):
        findings.random_blocks(MATRIX, 10, 1, seed=0)
