"""`metrics`: confusions counted by hand, matching against every permutation, scores against torchmetrics."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix, MulticlassJaccardIndex

from picie_core import metrics

LABELS = np.array([[0, 0, 1], [2, 255, 1], [2, 2, 255]], dtype=np.uint8)
CLUSTERS = np.array([[1, 1, 0], [2, 2, 1], [2, 0, 3]])


def test_confusion_counted_by_hand_without_void():
    found = metrics.confusion(LABELS, CLUSTERS, 3, 4)
    assert found.tolist() == [[0, 2, 0, 0], [1, 1, 0, 0], [1, 0, 2, 0]]
    assert found.dtype == np.int64
    assert metrics.confusion(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), int), 3, 4).tolist() == [[0] * 4] * 3


def test_confusion_does_not_overflow_small_integers():
    labels, clusters = np.full(9, 200, np.uint8), np.full(9, 99, np.uint8)
    assert metrics.confusion(labels, clusters, 254, 100)[200, 99] == 9


@given(npst.arrays(np.uint8, 40, elements=st.sampled_from([0, 1, 2, 3, 255])), st.integers(0, 2**31))
def test_confusion_is_torchmetrics(labels, seed):
    clusters = np.random.default_rng(seed).integers(0, 4, 40)
    expected = MulticlassConfusionMatrix(4, ignore_index=255)(
        torch.from_numpy(clusters), torch.from_numpy(labels).long()
    )
    np.testing.assert_array_equal(metrics.confusion(labels, clusters, 4, 4), expected)


@pytest.mark.parametrize(
    ("labels", "clusters", "message"),
    [
        ([0, 3], [0, 1], "labels 0 to 3 where 0 to 2"),
        ([0, 1], [0, 4], "clusters 0 to 4 where 0 to 3"),
        ([0, 1], [-1, 2], "clusters -1 to 2 where 0 to 3"),
        ([0, 1], [[0, 1]], "differ in shape"),
    ],
)
def test_what_would_be_counted_as_another_class_is_refused(labels, clusters, message):
    with pytest.raises(ValueError, match=message):
        metrics.confusion(np.array(labels), np.array(clusters), 3, 4)
    assert metrics.confusion(np.array([0, 255]), np.array([0, 99]), 3, 4).sum() == 1  # below void nobody looks


counts = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: npst.arrays(np.int64, shape, elements=st.integers(0, 20))
)


@given(counts)
def test_matching_is_the_best_of_all_permutations(matrix):
    classes, clusters = matrix.shape
    found = metrics.match(matrix)
    used = found[found >= 0]
    assert found.shape == (clusters,)
    assert len(set(used)) == len(used) == min(classes, clusters)
    if clusters >= classes:
        best = max(
            sum(matrix[c, k] for c, k in enumerate(chosen))
            for chosen in itertools.permutations(range(clusters), classes)
        )
    else:
        best = max(
            sum(matrix[c, k] for k, c in enumerate(chosen))
            for chosen in itertools.permutations(range(classes), clusters)
        )
    assert sum(matrix[c, k] for k, c in enumerate(found) if c >= 0) == best


def test_matching_maximises_pixels_and_not_iou():
    matrix = np.array([[100, 50], [40, 1]])
    # pixels: 100 + 1 against 50 + 40; the sum of IoU would have it the other way: 0.526 + 0.011 against 0.331 + 0.284
    assert metrics.match(matrix).tolist() == [0, 1]
    assert metrics.score(matrix).mean_iou < metrics.score(matrix, np.array([1, 0])).mean_iou


@given(counts)
def test_matching_by_iou_is_the_best_of_all_permutations(matrix):
    def total(pairs):
        union = [matrix[c].sum() + matrix[:, k].sum() - matrix[c, k] for c, k in pairs]
        return sum(matrix[c, k] / u for (c, k), u in zip(pairs, union, strict=True) if u)

    classes, clusters = matrix.shape
    found = metrics.match_iou(matrix)
    pairs = [(c, k) for k, c in enumerate(found) if c >= 0]
    assert len({c for c, _ in pairs}) == len(pairs) == min(classes, clusters)
    if clusters >= classes:
        possible = (list(enumerate(chosen)) for chosen in itertools.permutations(range(clusters), classes))
    else:
        possible = (
            [(c, k) for k, c in enumerate(chosen)] for chosen in itertools.permutations(range(classes), clusters)
        )
    assert total(pairs) == pytest.approx(max(map(total, possible)))


def test_matching_by_iou_by_hand():
    matrix = np.array([[100, 50], [40, 1]])
    # the sum of IoU: 50 / 151 + 40 / 141 against 100 / 190 + 1 / 91
    assert metrics.match_iou(matrix).tolist() == [1, 0]
    scores = metrics.score(matrix, metrics.match_iou(matrix))
    assert scores.accuracy == pytest.approx(100 * 90 / 191)
    assert scores.iou.tolist() == pytest.approx([100 * 50 / 151, 100 * 40 / 141])
    # 0 + 7 / 12 against 2 / 9 + 3 / 10; by Dice, 2 m / (n_c + n_k), it would be the other way
    assert metrics.match_iou(np.array([[0, 2], [3, 7]])).tolist() == [0, 1]
    assert metrics.match_iou(np.array([[0, 0, 0], [0, 7, 3]])).tolist()[1] == 1  # an absent class takes no cluster away


def test_majority_by_hand():
    assert metrics.majority(np.array([[1, 5, 0], [2, 4, 0]])).tolist() == [1, 0, -1]


def test_the_vote_by_iou_by_hand():
    # cluster 0: 10 / 110 of class 0 against 5 / 11 of class 1, which is small; cluster 1: 90 / 100 against 1 / 96
    matrix = np.array([[10, 90, 0], [5, 1, 0]])
    assert metrics.majority(matrix).tolist() == [0, 0, -1]
    assert metrics.majority_iou(matrix).tolist() == [1, 0, -1]
    # both clusters for class 1, and none for class 0, whose pixels are fewer in each
    assert metrics.majority_iou(np.array([[1, 1], [6, 7]])).tolist() == [1, 1]
    # by Dice or by share of the cluster it would not be: 8 / 28 of class 0 against 4 / 15 of class 1
    assert metrics.majority_iou(np.array([[8, 17], [4, 0], [0, 9]])).tolist() == [1, 0]


@given(counts)
def test_the_vote_by_iou_is_the_best_class_of_each_cluster(matrix):
    for k, found in enumerate(metrics.majority_iou(matrix)):
        ious = []
        for c in range(len(matrix)):
            union = matrix[c].sum() + matrix[:, k].sum() - matrix[c, k]
            ious.append(matrix[c, k] / union if union else 0)
        assert found == (ious.index(max(ious)) if matrix[:, k].sum() else -1)


def test_many_clusters_by_majority_by_hand():
    matrix = np.array([[4, 0, 3, 0, 0], [1, 6, 2, 0, 0], [0, 2, 2, 0, 0]])  # votes: 0, 1, 0, none, none
    scores = metrics.score(matrix, metrics.majority(matrix))
    assert scores.accuracy == pytest.approx(100 * 13 / 20)
    assert scores.iou.tolist() == pytest.approx([100 * 7 / 12, 100 * 6 / 11, 0])


@given(counts)
def test_no_matching_is_more_accurate_than_its_kind(matrix):
    if matrix.sum():
        accuracy = {name: metrics.score(matrix, rule(matrix)).accuracy for name, rule in metrics.MATCHINGS.items()}
        assert accuracy["Hungarian by IoU"] <= accuracy["Hungarian by pixels"] <= accuracy["majority vote"]
        assert accuracy["majority vote"] == pytest.approx(100 * matrix.max(axis=0).sum() / matrix.sum())


def test_what_counts_is_the_papers_matching():
    matrix = np.array([[100, 50], [40, 1]])
    first = next(iter(metrics.MATCHINGS.values()))
    assert metrics.score(matrix, first(matrix)).accuracy == metrics.score(matrix).accuracy == 100 * 101 / 191


def test_counts_by_class_add_up_clusters_and_leave_out_those_of_none():
    matrix = np.array([[4, 3, 1, 2], [1, 0, 5, 6]])
    assert metrics.by_class(matrix, np.array([1, 0, 0, -1])).tolist() == [[4, 4], [5, 1]]


def test_scores_by_hand():
    scores = metrics.score(np.array([[0, 2, 0, 0], [1, 1, 0, 0], [1, 0, 2, 0]]))  # classes of clusters: 1, 0, 2, none
    assert scores.accuracy == pytest.approx(100 * 5 / 7)
    assert scores.iou.tolist() == pytest.approx([200 / 3, 100 / 3, 200 / 3])
    assert scores.mean_iou == pytest.approx(500 / 9)


def test_clusters_beyond_the_classes_count_as_wrong():
    scores = metrics.score(np.array([[4, 0, 2], [0, 3, 1]]))
    assert scores.accuracy == 70
    assert scores.iou.tolist() == pytest.approx([100 * 4 / 6, 100 * 3 / 4])  # their pixels are missed, not predicted


def test_a_present_class_without_a_cluster_scores_0():
    scores = metrics.score(np.array([[5, 0], [0, 3], [1, 1]]))
    assert scores.accuracy == 80
    assert scores.iou.tolist() == pytest.approx([500 / 6, 75, 0])
    assert scores.mean_iou == pytest.approx((500 / 6 + 75) / 3)


def test_a_class_that_is_nowhere_is_nan_and_left_out():
    scores = metrics.score(np.array([[5, 1, 0], [0, 4, 0], [0, 0, 0]]))
    assert scores.iou[:2].tolist() == pytest.approx([500 / 6, 80])
    assert np.isnan(scores.iou[2])
    assert scores.mean_iou == pytest.approx((500 / 6 + 80) / 2)


def test_a_class_that_is_only_predicted_scores_0():
    scores = metrics.score(np.array([[5, 1], [0, 0]]))
    assert scores.iou.tolist() == pytest.approx([500 / 6, 0])


def test_a_matching_can_be_given_and_may_join_clusters():
    scores = metrics.score(np.array([[4, 3, 0], [1, 0, 2]]), np.array([0, 0, 1]))
    assert scores.accuracy == 90
    assert scores.iou.tolist() == pytest.approx([100 * 7 / 8, 100 * 2 / 3])
    assert metrics.score(np.array([[4, 0], [0, 4]]), np.array([1, 0])).accuracy == 0


def test_an_empty_matrix_is_refused():
    with pytest.raises(ValueError, match="no labelled pixel"):
        metrics.score(np.zeros((3, 3), dtype=np.int64))


@given(st.integers(2, 5), st.integers(0, 2**31))
def test_scores_are_torchmetrics(k, seed):
    generator = np.random.default_rng(seed)
    labels, clusters = generator.integers(0, k, 60), generator.integers(0, k, 60)
    labels[:6] = 255
    labels[6 : 6 + k] = np.arange(k)  # every class is there
    classes = metrics.match(metrics.confusion(labels, clusters, k, k))
    scores = metrics.score(metrics.confusion(labels, clusters, k, k))
    predicted, truth = torch.from_numpy(classes[clusters]), torch.from_numpy(labels)
    accuracy = MulticlassAccuracy(k, average="micro", ignore_index=255)(predicted, truth)
    iou = MulticlassJaccardIndex(k, average="none", ignore_index=255)(predicted, truth)
    assert scores.accuracy == pytest.approx(100 * float(accuracy), abs=1e-4)
    np.testing.assert_allclose(scores.iou, 100 * iou.numpy(), atol=1e-4)
    assert scores.mean_iou == pytest.approx(100 * float(iou.mean()), abs=1e-4)


def test_align_renames_and_counts_agreement():
    first = np.array([[0, 0, 1], [1, 2, 2]])
    second = np.array([[2, 2, 0], [0, 1, 0]])  # 2 -> 0, 0 -> 1, 1 -> 2; the last pixel disagrees
    renamed, share = metrics.align(first, second, 3)
    assert renamed.tolist() == [[0, 0, 1], [1, 2, 1]]
    assert share == pytest.approx(100 * 5 / 6)


# -- the spectrum of features


def test_the_spectrum_of_a_stretched_cross_by_hand():
    points = np.array([[3.0, 0, 7], [-3, 0, 7], [0, 1, 7], [0, -1, 7]])  # variances 18/4, 2/4, 0; the mean is left out
    np.testing.assert_allclose(metrics.spectrum(points), [0.9, 0.1, 0], atol=1e-12)
    maps = points.reshape(2, 2, 1, 3).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(metrics.spectrum(maps), [0.9, 0.1, 0], atol=1e-12)


def test_the_spectrum_does_not_turn_with_the_features_or_grow_with_them():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(500, 6)) * [5, 3, 2, 1, 0.5, 0.1]
    turned = 9 * points @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    np.testing.assert_allclose(metrics.spectrum(turned), metrics.spectrum(points), atol=1e-9)
    singular = np.linalg.svd(points - points.mean(axis=0), compute_uv=False) ** 2
    np.testing.assert_allclose(metrics.spectrum(points), singular / singular.sum(), atol=1e-9)


def test_features_that_are_the_same_everywhere_have_no_spectrum():
    with pytest.raises(ValueError, match="the same everywhere"):
        metrics.spectrum(np.ones((4, 3)))


# -- what the place explains


def test_what_the_place_explains_by_hand():
    # two images of two cells, one channel: cells' means 1 and 6; SSW = 4, SST = 4 + 4 * 6.25 = 29; n = 4, c = 2
    maps = np.array([0.0, 5, 2, 7]).reshape(2, 1, 1, 2)
    assert metrics.explained_by_place(maps) == pytest.approx(1 - (4 / 2) / (29 / 3))


def test_what_the_place_explains_at_its_ends():
    rng = np.random.default_rng(0)
    same = np.broadcast_to(rng.normal(size=(1, 3, 4, 5)), (6, 3, 4, 5))
    assert metrics.explained_by_place(same) == pytest.approx(1)
    assert abs(metrics.explained_by_place(rng.normal(size=(200, 4, 6, 6)))) < 0.01
    by_image = np.broadcast_to(rng.normal(size=(50, 3, 1, 1)), (50, 3, 4, 4))
    assert -1 / 49 <= metrics.explained_by_place(by_image) < 0


@pytest.mark.parametrize(
    ("maps", "message"), [(np.ones((1, 2, 3, 3)), "two images"), (np.ones((4, 2, 3, 3)), "same everywhere")]
)
def test_what_the_place_cannot_explain(maps, message):
    with pytest.raises(ValueError, match=message):
        metrics.explained_by_place(maps)
