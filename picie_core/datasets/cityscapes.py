"""Cityscapes with 27 classes, by the protocol of PiCIE's authors or by the standard one."""

from pathlib import Path

from picie_core.classes import CITYSCAPES27
from picie_core.datasets.listing import Dataset, FileItem, Listing, files_in, relative, require
from picie_core.datasets.problems import Problem

LAYOUT = """\
leftImg8bit/SPLIT/CITY/CITY_000000_000019_leftImg8bit.png
gtFine/SPLIT/CITY/CITY_000000_000019_gtFine_labelIds.png
where SPLIT is train and val and, for the authors' protocol (cityscapes27), test and train_extra too, these
without labels,
and a label pixel is a Cityscapes label id: 7 to 33 (the class), 0 to 6 or licence plate (void)"""

_IMAGE, _LABEL = "_leftImg8bit.png", "_gtFine_labelIds.png"


def _list(root: Path, parts: tuple[str, ...], labelled: bool) -> Listing:
    images = [root / "leftImg8bit" / part for part in parts]
    labels = [root / "gtFine" / part for part in parts] if labelled else []
    require(*images, *labels)
    items: list[FileItem] = []
    for part, folder in zip(parts, images, strict=True):
        for path in files_in(folder, (".png",), deep=True):
            if path.name.endswith(_IMAGE):
                name = path.name.removesuffix(_IMAGE)
                label = root / "gtFine" / part / path.parent.relative_to(folder) / (name + _LABEL)
                items.append(FileItem(name, root, path, label if labelled else None))
    wanted = {item.label for item in items}
    orphans = [
        Problem(relative(path, root), "label without image in leftImg8bit")
        for folder in labels
        for path in files_in(folder, (".png",), deep=True)
        if path.name.endswith(_LABEL) and path not in wanted
    ]
    return Listing(items, labelled, CITYSCAPES27, orphans)


def _authors(root: Path, split: str, limit: int | None) -> Listing:
    """Train: test and train_extra, images only. Val: val and train."""
    return _list(root, ("test", "train_extra"), False) if split == "train" else _list(root, ("val", "train"), True)


AUTHORS = Dataset(
    "cityscapes27",
    "Cityscapes, 27 classes, the authors' protocol: trains on test + train_extra (21,523, unlabelled), "
    "scores on val + train (3,475)",
    _authors,
    LAYOUT,
    "cityscapes",
    published={"train": 1525 + 19998, "val": 500 + 2975},
)

STANDARD = Dataset(
    "cityscapes27_standard",
    "Cityscapes, 27 classes, the standard protocol: trains on train (2,975), scores on val (500)",
    lambda root, split, limit: _list(root, (split,), True),
    LAYOUT,
    "cityscapes",
    published={"train": 2975, "val": 500},
)
