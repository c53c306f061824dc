"""Class tables: what the label ids in a data set's files mean.

A table maps the ids found in label files to class indices 0 to K - 1, says which ids are void, which classes are
things (countable objects) and which are stuff, and gives each class a colour. Everything after `datasets` sees class
indices and `VOID` only.
"""

import colorsys
import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from types import MappingProxyType
from typing import Any, Self

import numpy as np

VOID = 255
"""The class index of pixels that no score counts."""


@dataclass(frozen=True)
class ClassTable:
    """The classes of a data set.

    Attributes:
        name: of the table.
        names: class names by class index, K of them, each once.
        ids: label id in the files -> class index; several ids may share a class (fine to coarse).
        void: label ids that become `VOID`. Every other id in a file is an error.
        things: class indices of things; the others are stuff.
        colors: uint8 (K, 3), RGB, one colour a class.
    """

    name: str
    names: tuple[str, ...]
    ids: Mapping[int, int] = field(hash=False)
    void: frozenset[int]
    things: frozenset[int]
    colors: np.ndarray = field(compare=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < len(self.names) <= VOID or len(set(self.names)) != len(self.names):
            raise ValueError(f"class table {self.name}: expected 1 to {VOID} different names, got {self.names}")
        if set(self.ids.values()) != set(range(len(self.names))):
            raise ValueError(f"class table {self.name}: the ids must lead to each of the {len(self.names)} classes")
        if both := self.void & set(self.ids):
            raise ValueError(f"class table {self.name}: ids {sorted(both)} are both a class and void")
        if not self.things <= set(range(len(self.names))):
            raise ValueError(f"class table {self.name}: things {sorted(self.things)} are not all class indices")
        if self.colors.shape != (len(self.names), 3) or self.colors.dtype != np.uint8:
            raise ValueError(f"class table {self.name}: colors must be uint8 ({len(self.names)}, 3)")

    def __len__(self) -> int:
        """The number of classes, K."""
        return len(self.names)

    @property
    def stuff(self) -> frozenset[int]:
        """Class indices that are not things."""
        return frozenset(range(len(self.names))) - self.things

    def to_dict(self) -> dict[str, Any]:
        """The table as JSON knows it; `from_dict` reads it."""
        return {
            "name": self.name,
            "names": list(self.names),
            "ids": [[int(i), int(k)] for i, k in sorted(self.ids.items())],
            "void": sorted(self.void),
            "things": sorted(self.things),
            "colors": self.colors.tolist(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """The table that `to_dict` wrote."""
        return cls(
            name=record["name"],
            names=tuple(record["names"]),
            ids=MappingProxyType({int(i): int(k) for i, k in record["ids"]}),
            void=frozenset(record["void"]),
            things=frozenset(record["things"]),
            colors=np.array(record["colors"], dtype=np.uint8).reshape(-1, 3),
        )


def distinct_colors(count: int) -> np.ndarray:
    """`count` colours for classes that have none of their own: uint8 (count, 3), the same on every platform.

    Hues turn by the golden angle, so that neighbours in the table differ most; lightness alternates in three steps.
    """
    hues = [(i * 0.618033988749895) % 1.0 for i in range(count)]
    rgb = [colorsys.hls_to_rgb(hue, (0.5, 0.35, 0.68)[i % 3], 0.65) for i, hue in enumerate(hues)]
    return np.array([[round(255 * c) for c in color] for color in rgb], dtype=np.uint8).reshape(-1, 3)


def _plain(
    name: str, names: tuple[str, ...], *, things: set[int], void: set[int], colors: np.ndarray | None = None
) -> ClassTable:
    """A table whose label ids are the class indices."""
    return ClassTable(
        name=name,
        names=names,
        ids=MappingProxyType({i: i for i in range(len(names))}),
        void=frozenset(void),
        things=frozenset(things),
        colors=distinct_colors(len(names)) if colors is None else colors,
    )


def _rows(file: str) -> list[dict[str, str]]:
    text = (resources.files("picie_core") / "data" / file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _coco27() -> ClassTable:
    """182 fine ids (0 to 90 things, 91 to 181 stuff) -> 12 things, then 15 stuff; 255 is unlabelled."""
    rows = _rows("coco_fine_to_coarse.csv")
    names = {int(r["coarse_id"]): r["coarse_name"] for r in rows}
    return ClassTable(
        name="coco27",
        names=tuple(names[k] for k in sorted(names)),
        ids=MappingProxyType({int(r["fine_id"]): int(r["coarse_id"]) for r in rows}),
        void=frozenset({255}),
        things=frozenset(int(r["coarse_id"]) for r in rows if r["kind"] == "thing"),
        colors=distinct_colors(len(names)),
    )


def _coco_stuff15(all27: ClassTable) -> ClassTable:
    """The 15 stuff classes of COCO-Stuff-27 as 0 to 14; things are void, as in the evaluation of Table 4.

    Differs from the release, whose shift by 12 acts on no pixel, so that it evaluates 12 things and 3 stuff classes
    as classes 0 to 14.
    """
    stuff = sorted(all27.stuff)
    return ClassTable(
        name="coco_stuff15",
        names=tuple(all27.names[k] for k in stuff),
        ids=MappingProxyType({i: stuff.index(k) for i, k in all27.ids.items() if k in all27.stuff}),
        void=all27.void | {i for i, k in all27.ids.items() if k in all27.things},
        things=frozenset(),
        colors=all27.colors[stuff],
    )


def _coco81() -> ClassTable:
    """Background (all stuff, and what is unlabelled) and the 80 objects of COCO, by their fine ids (COMUS, Table 3).

    The 11 fine ids of things that COCO never annotated lead to the background too; no file holds them.
    """
    rows = {int(r["fine_id"]): r for r in _rows("coco_fine_to_coarse.csv")}
    objects = [i for i, r in sorted(rows.items()) if r["kind"] == "thing" and i not in _COCO_UNUSED]
    return ClassTable(
        name="coco81",
        names=("background", *(rows[i]["fine_name"] for i in objects)),
        ids=MappingProxyType({i: objects.index(i) + 1 if i in objects else 0 for i in (*rows, 255)}),
        void=frozenset(),
        things=frozenset(range(1, len(objects) + 1)),
        colors=np.concatenate([np.zeros((1, 3), np.uint8), distinct_colors(len(objects))]),
    )


_COCO_UNUSED = {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}
"""street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door, blender, hair brush: counted from 0."""

# The colours of the Cityscapes label definition, by class index.
_CITYSCAPES_COLORS = """
    128 64 128  244 35 232  250 170 160  230 150 140  70 70 70  102 102 156  190 153 153  180 165 180  150 100 100
    150 120 90  153 153 153  153 153 153  250 170 30  220 220 0  107 142 35  152 251 152  70 130 180  220 20 60
    255 0 0  0 0 142  0 0 70  0 60 100  0 0 90  0 0 110  0 80 100  0 0 230  119 11 32
"""


def _cityscapes27() -> ClassTable:
    """Label ids 7 to 33 -> 0 to 26; 0 to 6 and the licence plate (-1, which an 8-bit file may hold as 255) are void.

    Things are the classes of which Cityscapes labels instances: people, riders and vehicles.
    """
    rows = _rows("cityscapes_27.csv")
    classes = [r for r in rows if r["train27"] != "-1"]
    return ClassTable(
        name="cityscapes27",
        names=tuple(r["name"] for r in sorted(classes, key=lambda r: int(r["train27"]))),
        ids=MappingProxyType({int(r["id"]): int(r["train27"]) for r in classes}),
        void=frozenset(int(r["id"]) for r in rows if r["train27"] == "-1") | {255},
        things=frozenset(int(r["train27"]) for r in classes if r["category"] in ("human", "vehicle")),
        colors=_colors(_CITYSCAPES_COLORS),
    )


def _voc21() -> ClassTable:
    """Background and the 20 objects of PASCAL VOC; 255 (borders and difficult objects) is void."""
    names = (
        "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
        "pottedplant sheep sofa train tvmonitor"
    ).split()
    # VOC's colour map: bits 0, 1, 2 of the index, then 3, 4, 5, ... go to R, G, B from the highest bit down
    bits = [[sum((k >> (3 * j + c) & 1) << (7 - j) for j in range(3)) for c in range(3)] for k in range(21)]
    return _plain("voc21", tuple(names), things=set(range(1, 21)), void={255}, colors=np.array(bits, dtype=np.uint8))


def _colors(text: str) -> np.ndarray:
    return np.array(text.split(), dtype=np.uint8).reshape(-1, 3)


SCENES = _plain(
    "scenes",
    (
        "sky", "mountain", "tree", "grass", "water", "sand", "road", "building", "car", "person", "animal", "boat"
    ),
    things={8, 9, 10, 11},
    void=set(),
    colors=_colors(
        "170 214 245  122 98 150  10 92 60  152 200 80  20 90 180  245 222 150  80 80 86  190 150 130  214 48 39 "
        "250 150 30  110 50 20  240 90 190"
    ),
)  # fmt: skip
"""The embedded scenes: `picie_core.scenes` renders these indices (a test keeps the two in step); no void."""

CAMVID = _plain(
    "camvid",
    (
        "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist"
    ),
    things={8, 9, 10},
    void={11},
    colors=_colors(
        "128 128 128  128 0 0  192 192 128  128 64 128  60 40 222  128 128 0  192 128 128  64 64 128  64 0 128 "
        "64 64 0  0 128 192"
    ),
)  # fmt: skip
"""CamVid's 11 classes as published with SegNet; 11 is void. Things by the rule of Cityscapes: road users."""

COCO27 = _coco27()
COCO81 = _coco81()
COCO_STUFF15 = _coco_stuff15(COCO27)
CITYSCAPES27 = _cityscapes27()
VOC21 = _voc21()

TABLES: Mapping[str, ClassTable] = MappingProxyType(
    {
        "scenes": SCENES,
        "scenes_b": SCENES,
        "closeups": SCENES,
        "camvid": CAMVID,
        "coco27": COCO27,
        "coco_stuff15": COCO_STUFF15,
        "coco81": COCO81,
        "cityscapes27": CITYSCAPES27,
        "cityscapes27_standard": CITYSCAPES27,
        "voc21": VOC21,
        "voc21_2007": VOC21,
    }
)
"""The tables by data set. A `folder`'s classes are found in its labels or in its classes.csv."""

COCO_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "aeroplane": "airplane",
        "diningtable": "dining table",
        "motorbike": "motorcycle",
        "pottedplant": "potted plant",
        "sofa": "couch",
        "tvmonitor": "tv",
    }
)
"""What VOC calls a thing -> what COCO does, where the names differ by more than their case."""


def common_name(name: str) -> str:
    """The name that data sets have in common for a class: without regard to case, COCO's for VOC's."""
    return COCO_NAMES.get(name.casefold(), name.casefold())
