"""`partitions`: three definitions by hand, against loops over the formulas, and the published recomputation."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from picie_core import metrics
from picie_core.classes import CAMVID, CITYSCAPES27, COCO27, COCO81, COCO_STUFF15, SCENES, VOC21
from picie_core.metrics import partitions
from picie_core.tables import published

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


# -- things on one background


def test_objects_by_hand():
    matrix = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]])
    found = partitions.objects(matrix, {3, 1})
    assert found.tolist() == [[8, 10, 12], [4, 5, 6], [10, 11, 12]]
    assert found.dtype == matrix.dtype
    assert partitions.objects(matrix, range(4)).tolist() == [[0, 0, 0], *matrix.tolist()]
    assert partitions.object_classes(np.array([3, -1, 0, 1, 2]), {3, 1}).tolist() == [2, -1, 0, 1, 0]
    for things in ([], [4], [-1, 0]):
        with pytest.raises(ValueError, match="one or more of 0 to 3"):
            partitions.objects(matrix, things)


@given(cases)
def test_objects_are_scored_as_if_the_labels_had_been_folded(case):
    matrix, classes, things = case
    folded = {c: 1 + sorted(things).index(c) if c in things else 0 for c in range(len(matrix))}
    expected = np.zeros((1 + len(things), matrix.shape[1]), dtype=np.int64)
    for c, k in itertools.product(range(len(matrix)), range(matrix.shape[1])):
        expected[folded[c], k] += matrix[c, k]
    np.testing.assert_array_equal(partitions.objects(matrix, things), expected)
    assert partitions.object_classes(classes, things).tolist() == [folded.get(c, -1) for c in classes.tolist()]


def test_the_background_of_voc_is_a_row_already():
    matrix = np.random.default_rng(0).integers(0, 99, (21, 30))
    np.testing.assert_array_equal(partitions.objects(matrix, VOC21.things), matrix)


def test_the_foreground_by_hand():
    """Of two images, added up: masks of 1 and of 3 pixels, things (classes 1 and 2) in 2 and 3 places, 255 nowhere."""
    labels = [np.array([[0, 1], [2, 255]]), np.array([[1, 1], [2, 0]])]
    masks = [np.array([[0, 1], [0, 1]]), np.array([[1, 1], [0, 1]])]
    counts = sum(metrics.confusion(a, b, 3, 2) for a, b in zip(labels, masks, strict=True))
    assert partitions.foreground_iou(counts, {1, 2}) == pytest.approx(100 * 3 / 6)
    assert partitions.foreground_iou(counts, {2}) == 0
    assert partitions.foreground_iou(np.array([[5, 0], [0, 7]]), {1}) == 100
    assert np.isnan(partitions.foreground_iou(np.array([[5, 0], [0, 0]]), {1}))
    with pytest.raises(ValueError, match=r"shape \(3, 4\): expected \(classes, 2\)"):
        partitions.foreground_iou(np.zeros((3, 4)), {1})


def test_shared_things_by_hand():
    """Of Cityscapes, by a run on scenes: car and person, in the order of scenes; everything else is background."""
    matrix = np.arange(27 * 2).reshape(27, 2)
    found, names = partitions.shared(matrix, SCENES, CITYSCAPES27)
    car, person = (CITYSCAPES27.names.index(name) for name in ("car", "person"))
    assert names == ("background", "car", "person")
    assert found[1:].tolist() == matrix[[car, person]].tolist()
    assert found.sum(axis=0).tolist() == matrix.sum(axis=0).tolist()


def test_case_does_not_part_things():
    matrix = np.arange(11 * 3).reshape(11, 3)
    found, names = partitions.shared(matrix, SCENES, CAMVID)
    assert names == ("background", "car")  # CamVid's "Car"; its "Pedestrian" is no "person" by name
    assert found[1:].tolist() == matrix[[8]].tolist()


@pytest.mark.parametrize(("learned", "scored"), [(VOC21, COCO81), (COCO81, VOC21)], ids=["VOC", "COCO"])
def test_voc_and_coco_share_the_twenty_things_of_voc(learned, scored):
    """Both ways, as COMUS's Table 4 has them."""
    matrix = np.arange(len(scored) * 2).reshape(-1, 2)
    found, (background, *names) = partitions.shared(matrix, learned, scored)
    assert (background, len(names)) == ("background", 20)
    assert names == [name for name in learned.names if name in names]  # in its order
    differ = [("aeroplane", "airplane"), ("diningtable", "dining table"), ("motorbike", "motorcycle"),
              ("pottedplant", "potted plant"), ("sofa", "couch"), ("tvmonitor", "tv")]  # fmt: skip
    called = dict(differ if learned is VOC21 else [(coco, voc) for voc, coco in differ])
    assert set(called) < set(names)
    rows = [scored.names.index(called.get(name, name)) for name in names]
    assert found[1:].tolist() == matrix[rows].tolist()
    assert found.sum(axis=0).tolist() == matrix.sum(axis=0).tolist()


def test_the_same_data_set_shares_all_its_things():
    matrix = np.random.default_rng(0).integers(0, 9, (12, 5))
    np.testing.assert_array_equal(
        partitions.shared(matrix, SCENES, SCENES)[0], partitions.objects(matrix, SCENES.things)
    )


@pytest.mark.parametrize("learned", [COCO27, COCO_STUFF15], ids=lambda table: table.name)
def test_what_shares_no_things(learned):
    said = rf"{learned.name} \(\d+ things\) and camvid \(\d+\) have no things in common: expected one"
    with pytest.raises(ValueError, match=said):
        partitions.shared(np.zeros((11, 3), int), learned, CAMVID)


@pytest.mark.parametrize("name", ["CAR", "Couch"])
def test_two_things_of_one_name(name):
    """Which of them is the other data set's is not known."""
    odd = dataclasses.replace(SCENES, names=tuple({"person": name, "animal": "sofa"}.get(n, n) for n in SCENES.names))
    for learned, scored in ((odd, SCENES), (SCENES, odd)):
        with pytest.raises(ValueError, match=r"scenes: things '\w+' and '\w+' are the same .*give them one class"):
            partitions.shared(np.zeros((12, 3), int), learned, scored)


def test_a_matrix_of_another_data_set_shares_nothing():
    with pytest.raises(ValueError, match="12 classes where camvid has 11"):
        partitions.shared(np.zeros((12, 3), int), SCENES, CAMVID)
