"""`protocols`: the same confusion by both papers' rules, counted by hand."""

import dataclasses
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from picie_core import records
from picie_core.classes import COCO81, VOC21, ClassTable, distinct_colors
from picie_core.datasets import Prepared
from picie_core.datasets.problems import DataError, Unlabelled
from picie_core.metrics import match, score
from picie_core.settings import Settings
from picie_core.studies import protocols

#        clusters  0   1   2   3
SKY, GRASS, CAT, DOG = [50, 0, 0, 10], [0, 30, 0, 0], [0, 12, 10, 0], [0, 0, 5, 5]
COUNTS = np.array([SKY, GRASS, CAT, DOG])


def table(*names, things=("cat", "dog")):
    numbers = {name: k for k, name in enumerate(names)}
    ids = MappingProxyType({k: k for k in numbers.values()})
    chosen = frozenset(k for name, k in numbers.items() if name in things)
    return ClassTable("by hand", names, ids, frozenset(), chosen, distinct_colors(len(names)))


def run(tmp_path, counts=COUNTS, method="untrained", classes=None):
    classes = classes or table("sky", "grass", "cat", "dog")
    scores = score(counts, match(counts))
    settings = Settings(method=method, dataset="scenes")
    return records.Run(settings, scores, counts, pd.DataFrame(), tmp_path, {"classes": classes.to_dict()})


def test_one_cluster_alone_can_be_the_background(tmp_path):
    one = run(tmp_path)
    found = protocols.iou(one.confusion, one.classes)
    # background -> 0: 50 of 90; cat -> 2: 10 of 22 + 15 - 10 (by pixels it would be 1); dog -> 3: 5 of 10 + 15 - 5
    assert found.tolist() == pytest.approx([100 * 50 / 90, 100 * 10 / 27, 25])


def test_by_vote_several_are(tmp_path):
    found = protocols.by_kind({"ours": run(tmp_path)})
    assert found["kind"].tolist() == ["background", "cat", "dog"]
    # background -> 0 and 1: 80 of 90 + 92 - 80
    assert found["ours"].tolist() == pytest.approx([100 * 80 / 102, 100 * 10 / 27, 25])


def test_what_was_taught_the_classes_keeps_its_own(tmp_path):
    swapped = COUNTS[:, [0, 1, 3, 2]]  # it takes dogs for cats
    found = protocols.by_kind({"taught": run(tmp_path, swapped, "supervised"), "free": run(tmp_path, swapped)})
    # cat: none of 22 right; dog: 5 of 10 + 15 - 5
    assert found["taught"].tolist() == pytest.approx([100 * 80 / 102, 0, 25])
    assert found["free"].tolist() == pytest.approx([100 * 80 / 102, 100 * 10 / 27, 25])


def test_a_table_by_kind_names_its_runs(tmp_path):
    one = run(tmp_path)
    assert set(protocols.by_kind({"ours": one})["runs"]) == {f"{records.digest(one.settings)}:1"}


def test_runs_that_know_no_objects_are_refused(tmp_path):
    unlabelled = dataclasses.replace(run(tmp_path), scores=None, confusion=None, result={"classes": None})
    with pytest.raises(Unlabelled, match="has no labels: what is an object and what background is not known"):
        protocols.by_kind({"ours": unlabelled})
    stuff = run(tmp_path, classes=table("sky", "grass", "wool", "hay"))
    with pytest.raises(DataError, match="scenes has no things, or nothing else"):
        protocols.by_kind({"ours": stuff})


def test_what_is_discovered_and_how_large_it_is(tmp_path):
    labels = np.zeros((2, 4, 4), dtype=np.uint8)
    labels[0, :2] = 2  # half of one image is a cat
    labels[:, 3, :2] = 3  # an eighth of each a dog
    # background -> 0: 50 of 150; cat -> 2: all; dog -> 3: 5 of 5 + 55 - 5
    one = run(tmp_path, np.array([[50, 0, 0, 50], [0, 50, 0, 0], [0, 0, 20, 0], [0, 0, 0, 5]]))
    data = Prepared(tmp_path, {}, images=labels, labels=labels, classes=one.classes)
    found = protocols.discovered({"ours": one}, data).iloc[0]
    assert (found["row"], found["count"], found["with_cluster"]) == ("ours", 2, 3)
    assert found["mean_iou"] == pytest.approx((100 / 3 + 100) / 2)
    assert found["Spearman"] == pytest.approx(1)  # the larger is the better one


def test_elsewhere_only_what_both_have_counts(tmp_path, monkeypatch):
    """Learned with dogs and cats, scored where there are cats, cows and no dogs."""
    other = table("cow", "Cat", "sea", things=("cow", "Cat"))
    counts = np.array([[10, 0, 0, 0], [0, 0, 20, 0], [60, 0, 0, 10]])
    fabric = SimpleNamespace(device="cpu")
    monkeypatch.setattr(protocols.training, "restore", lambda run: (None, fabric))
    monkeypatch.setattr(protocols.evaluation, "confusions", lambda *rest: {"final": counts})
    data = Prepared(tmp_path, {}, images=counts, labels=counts, classes=other)
    found = protocols.elsewhere({"ours": run(tmp_path)}, data).iloc[0]
    assert found["cat"] == 100
    assert found["background"] == pytest.approx(100 * 70 / 80)  # cows are background: 0 -> 70 of 80
    assert found["mIoU elsewhere"] == pytest.approx((100 + 100 * 70 / 80) / 2)
    assert found["mIoU here"] == pytest.approx((100 * 50 / 90 + 100 * 10 / 27 + 25) / 3)
    assert "dog" not in found
    with pytest.raises(Unlabelled, match="there is nothing to compare the clusters with"):
        protocols.elsewhere({}, Prepared(tmp_path, {}, images=counts, labels=None, classes=None))


@pytest.mark.parametrize(("learned", "other"), [(VOC21, COCO81), (COCO81, VOC21)], ids=["VOC", "COCO"])
def test_voc_and_coco_are_scored_by_all_twenty_things(tmp_path, monkeypatch, learned, other):
    """Each thing alone in its cluster, but half of the sofas (or couches) in that of the chairs."""
    counts = np.diag(np.full(len(other), 10))
    sofa, chair = other.names.index("sofa" if other is VOC21 else "couch"), other.names.index("chair")
    counts[sofa, [sofa, chair]] = 5
    monkeypatch.setattr(protocols.training, "restore", lambda run: (None, SimpleNamespace(device="cpu")))
    monkeypatch.setattr(protocols.evaluation, "confusions", lambda *rest: {"final": counts})
    here = run(tmp_path, np.diag(np.full(len(learned), 10)), classes=learned)
    found = protocols.elsewhere(
        {"ours": here}, Prepared(tmp_path, {}, images=counts, labels=counts, classes=other)
    ).iloc[0]
    kinds = found.drop(["row", "mIoU here", "mIoU elsewhere", "runs"])
    assert len(kinds) == 1 + 20
    expected = dict.fromkeys(kinds.index, 100.0) | {"chair": 100 * 10 / 15}
    expected |= {"sofa" if learned is VOC21 else "couch": 50.0}
    expected |= {"background": 100 * 10 / (10 * (len(other) - 20))}  # one cluster, of all that are background
    assert kinds.to_dict() == pytest.approx(expected)
    assert found["mIoU elsewhere"] == pytest.approx(np.mean(list(expected.values())))
