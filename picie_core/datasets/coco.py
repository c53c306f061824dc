"""COCO-Stuff (164k): the curated images with 27 coarse classes, or with the 15 stuff classes alone."""

import gzip
from importlib import resources
from pathlib import Path

from picie_core.classes import COCO27, COCO81, COCO_STUFF15, ClassTable
from picie_core.datasets import framing
from picie_core.datasets.listing import Dataset, FileItem, Listing, files_in, require

LAYOUT = """\
images/train2017/000000000025.jpg   annotations/train2017/000000000025.png
images/val2017/000000000139.jpg     annotations/val2017/000000000139.png
where a label pixel is 0 to 181 (the fine class: 0 to 90 things, 91 to 181 stuff) or 255 (unlabelled); of all images
only the curated ones are needed, 49,629 of train2017 and 2,175 of val2017"""

_CURATED = {"train": 49629, "val": 2175}


def curated(split: str) -> list[str]:
    """The image ids of the benchmark (IIC's list): both sides at least 360 pixels, at least 75 % of them stuff."""
    packed = (resources.files("picie_core") / "data" / f"coco_curated_{split}.txt.gz").read_bytes()
    return gzip.decompress(packed).decode("ascii").split()


def _items(root: Path, split: str) -> list[FileItem]:
    images, labels = root / "images" / f"{split}2017", root / "annotations" / f"{split}2017"
    require(images, labels)
    return [FileItem(name, root, images / f"{name}.jpg", labels / f"{name}.png") for name in curated(split)]


def _list(root: Path, split: str, table: ClassTable) -> Listing:
    parts = ("train", "val") if split == "trainval" else (split,)
    return Listing([item for part in parts for item in _items(root, part)], True, table)


COCO27_DATASET = Dataset(
    "coco27",
    "COCO-Stuff, 27 coarse classes, curated images",
    lambda root, split, limit: _list(root, split, COCO27),
    LAYOUT,
    "coco",
    published=_CURATED,
)

COCO_STUFF15_DATASET = Dataset(
    "coco_stuff15",
    "COCO-Stuff, 15 stuff classes, at a third of the scale (IIC's protocol; it trains and tests on trainval)",
    lambda root, split, limit: _list(root, split, COCO_STUFF15),
    LAYOUT,
    "coco",
    ("train", "val", "trainval"),
    framing.third_scale,
    _CURATED | {"trainval": sum(_CURATED.values())},
)


def _every(root: Path, split: str) -> Listing:
    """All images of a split, not the curated ones alone."""
    images, labels = root / "images" / f"{split}2017", root / "annotations" / f"{split}2017"
    require(images, labels)
    found = files_in(images, (".jpg",))
    return Listing([FileItem(file.stem, root, file, labels / f"{file.stem}.png") for file in found], True, COCO81)


COCO81_DATASET = Dataset(
    "coco81",
    "COCO, background and 80 objects, all images (118,287 and 5,000)",
    lambda root, split, limit: _every(root, split),
    LAYOUT,
    "coco",
    published={"train": 118287, "val": 5000},
)
