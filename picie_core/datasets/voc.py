"""PASCAL VOC segmentation, 2012 and 2007: background and 20 objects."""

from functools import partial
from pathlib import Path

from picie_core.classes import VOC21
from picie_core.datasets.listing import Dataset, FileItem, Listing, require
from picie_core.datasets.problems import DataError

LAYOUT = """\
VOCdevkit/VOC2012/JPEGImages/2007_000032.jpg
VOCdevkit/VOC2012/SegmentationClass/2007_000032.png       (for the splits train and val)
VOCdevkit/VOC2012/SegmentationClassAug/2007_000032.png    (for the split trainaug)
VOCdevkit/VOC2012/ImageSets/Segmentation/{train,val,trainaug}.txt
where a label pixel (its palette index) is 0 to 20 (the class) or 255 (void);
the root may also be VOCdevkit or VOC2012"""

LAYOUT_2007 = """\
VOCdevkit/VOC2007/JPEGImages/000032.jpg
VOCdevkit/VOC2007/SegmentationClass/000032.png
VOCdevkit/VOC2007/ImageSets/Segmentation/{train,val,test}.txt
where a label pixel (its palette index) is 0 to 20 (the class) or 255 (void);
the root may also be VOCdevkit or VOC2007"""

_NAMES = {2012: "voc21", 2007: "voc21_2007"}


def list_split(root: Path, split: str, limit: int | None = None, year: int = 2012) -> Listing:
    """The images that ImageSets/Segmentation/SPLIT.txt names. trainaug: the 10,582 with labels from SBD.

    Raises:
        DataError: the root is the folder of the other year.
    """
    tops = [root / "VOCdevkit" / f"VOC{year}", root / f"VOC{year}", root]
    top = next((top for top in tops if (top / "JPEGImages").exists()), tops[0])
    for other, name in _NAMES.items():
        if other != year and top.resolve().name == f"VOC{other}":
            raise DataError(
                f"{root} is the folder of PASCAL VOC {other}, and {_NAMES[year]} is of {year}: take the data set "
                f"{name}, or give as the root VOC{year} or the folder above it"
            )
    names = top / "ImageSets" / "Segmentation" / f"{split}.txt"
    labels = top / ("SegmentationClassAug" if split == "trainaug" else "SegmentationClass")
    require(top / "JPEGImages", labels, names)
    items = [FileItem(name, root, top / "JPEGImages" / f"{name}.jpg", labels / f"{name}.png") for name in _names(names)]
    return Listing(items, True, VOC21)


def _names(file: Path) -> list[str]:
    """One image a line: its name, or (some copies of trainaug.txt) the paths of image and label."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [Path(line.split()[0]).stem for line in lines if line.strip()]


VOC2012 = Dataset(
    _NAMES[2012],
    "PASCAL VOC 2012, background and 20 objects",
    list_split,
    LAYOUT,
    "voc",
    ("train", "val", "trainaug"),
    published={"train": 1464, "val": 1449, "trainaug": 10582},
)

VOC2007 = Dataset(
    _NAMES[2007],
    "PASCAL VOC 2007, background and 20 objects; its test split is COMUS's Table 2",
    partial(list_split, year=2007),
    LAYOUT_2007,
    "voc",
    ("train", "val", "test"),
    published={"train": 209, "val": 213, "test": 210},
)
