"""CamVid with 11 classes at 480 x 360, in either of the two folder layouts in which it is passed on."""

from pathlib import Path

from picie_core.classes import CAMVID
from picie_core.datasets.listing import (
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    Dataset,
    FileItem,
    Listing,
    files_in,
    relative,
    require,
)
from picie_core.datasets.problems import Problem

LAYOUT = """\
images/train/NAME.jpg   labels/train/NAME.png
images/val/NAME.jpg     labels/val/NAME.png
or, as published with SegNet,
train/NAME.png          trainannot/NAME.png
val/NAME.png            valannot/NAME.png
where a label pixel is 0 to 10 (the class) or 11 (void), and NAME is the same for an image and its label"""


def list_split(root: Path, split: str, limit: int | None = None) -> Listing:
    """Images and labels of the same name."""
    if (root / split).exists() and not (root / "images").exists():
        images, labels = root / split, root / f"{split}annot"
    else:
        images, labels = root / "images" / split, root / "labels" / split
    require(images, labels)
    items = [FileItem(path.stem, root, path, labels / f"{path.stem}.png") for path in files_in(images, IMAGE_SUFFIXES)]
    names = {item.name for item in items}
    orphans = [
        Problem(relative(path, root), f"label without image: no {relative(images, root)}/{path.stem}.*")
        for path in files_in(labels, LABEL_SUFFIXES)
        if path.stem not in names
    ]
    return Listing(items, True, CAMVID, orphans)


DATASET = Dataset(
    "camvid",
    "CamVid, 11 classes, driving in Cambridge",
    list_split,
    LAYOUT,
    "camvid",
    published={"train": 367, "val": 101},
)
