import csv
import gzip
import json
from importlib import resources

import numpy as np
import pytest

from picie_core import classes, scenes
from picie_core.classes import CAMVID, CITYSCAPES27, COCO27, COCO_STUFF15, SCENES, TABLES, VOC21, ClassTable

DATA = resources.files("picie_core") / "data"


@pytest.mark.parametrize("name", sorted(TABLES))
def test_tables_are_sound(name):
    t = TABLES[name]
    assert set(t.ids.values()) == set(range(len(t)))
    assert not t.void & set(t.ids)
    assert t.things | t.stuff == set(range(len(t)))
    assert t.colors.shape == (len(t), 3)
    assert ClassTable.from_dict(json.loads(json.dumps(t.to_dict()))) == t
    assert (ClassTable.from_dict(t.to_dict()).colors == t.colors).all()


def test_sizes_by_hand():
    sizes = {n: (len(t), len(t.things), len(t.ids)) for n, t in TABLES.items()}
    assert sizes == {
        "scenes": (12, 4, 12),
        "scenes_b": (12, 4, 12),
        "closeups": (12, 4, 12),
        "camvid": (11, 3, 11),
        "coco27": (27, 12, 182),
        "coco81": (81, 80, 183),
        "coco_stuff15": (15, 0, 91),
        "cityscapes27": (27, 10, 27),
        "cityscapes27_standard": (27, 10, 27),
        "voc21": (21, 20, 21),
        "voc21_2007": (21, 20, 21),
    }


def test_scenes_table_is_what_scenes_render():
    assert SCENES.names == scenes.CLASS_NAMES
    assert SCENES.things == scenes.THINGS
    assert (SCENES.colors == scenes.CLASS_COLORS).all()


def test_coco_known_ids():
    by_name = {i: COCO27.names[k] for i, k in COCO27.ids.items()}
    assert (by_name[0], by_name[2], by_name[90]) == ("person", "vehicle", "indoor")
    assert (by_name[105], by_name[168], by_name[148], by_name[177]) == ("sky", "plant", "ground", "water")
    assert all((k < 12) == (i <= 90) for i, k in COCO27.ids.items())
    assert COCO27.things == set(range(12))
    assert COCO27.void == {255}


def test_coco_order_is_the_papers():
    short = [name.split("-")[0] for name in COCO27.names]
    assert (
        short
        == (
            "electronic appliance food furniture indoor kitchen accessory animal outdoor person sports vehicle "
            "ceiling floor food furniture raw textile wall window building ground plant sky solid structural water"
        ).split()
    )


def test_stuff15_is_the_stuff_of_coco27():
    assert COCO_STUFF15.names == COCO27.names[12:]
    assert {i: k + 12 for i, k in COCO_STUFF15.ids.items()} == {i: k for i, k in COCO27.ids.items() if k >= 12}
    assert COCO_STUFF15.void == set(range(91)) | {255}


def test_cityscapes_known_ids():
    assert [CITYSCAPES27.names[CITYSCAPES27.ids[i]] for i in (7, 21, 23, 24, 26, 33)] == [
        "road", "vegetation", "sky", "person", "car", "bicycle",
    ]  # fmt: skip
    assert CITYSCAPES27.void >= {-1, 0, 1, 2, 3, 4, 5, 6}
    assert all(CITYSCAPES27.ids[i] == i - 7 for i in range(7, 34))
    assert CITYSCAPES27.colors[CITYSCAPES27.ids[26]].tolist() == [0, 0, 142]  # the blue cars of every figure


def test_camvid_and_voc():
    assert CAMVID.names[CAMVID.ids[3]] == "Road"
    assert CAMVID.void == {11}
    assert VOC21.names[15] == "person"
    assert VOC21.colors[[0, 1, 15, 20]].tolist() == [[0, 0, 0], [128, 0, 0], [192, 128, 128], [0, 64, 128]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"names": ("a", "a")}, "different names"),
        ({"ids": {0: 0}}, "must lead to each"),
        ({"void": frozenset({1})}, "both a class and void"),
        ({"things": frozenset({2})}, "not all class indices"),
        ({"colors": np.zeros((1, 3), np.uint8)}, "colors must be"),
    ],
)
def test_a_wrong_table_is_refused(change, reason):
    good = {
        "name": "t", "names": ("a", "b"), "ids": {0: 0, 1: 1}, "void": frozenset({255}), "things": frozenset({1}),
        "colors": np.zeros((2, 3), np.uint8),
    }  # fmt: skip
    ClassTable(**good)
    with pytest.raises(ValueError, match=reason):
        ClassTable(**(good | change))


def test_colors_are_distinct():
    for count in (2, 27, 100):
        colors = classes.distinct_colors(count)
        assert len(np.unique(colors, axis=0)) == count


def test_lists_that_come_with_the_package():
    for split, count, first in (("train", 49629, "000000000025"), ("val", 2175, "000000000139")):
        names = gzip.decompress((DATA / f"coco_curated_{split}.txt.gz").read_bytes()).decode().split()
        assert (len(names), len(set(names)), names[0]) == (count, count, first)
        assert names == sorted(names)
        assert all(len(name) == 12 and name.isdecimal() for name in names)
    rows = list(csv.DictReader((DATA / "coco_fine_to_coarse.csv").read_text().splitlines()))
    assert [int(r["fine_id"]) for r in rows] == list(range(182))
    assert all((r["kind"] == "thing") == (int(r["fine_id"]) <= 90) for r in rows)
