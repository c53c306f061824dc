"""Any folder of images, of mixed sizes and formats, with or without labels."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from types import MappingProxyType

from picie_core.classes import VOID, ClassTable, distinct_colors
from picie_core.datasets import decoding, spreadsheet
from picie_core.datasets.listing import (
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    Dataset,
    FileItem,
    Listing,
    files_in,
    photographs,
    relative,
    require,
)
from picie_core.datasets.problems import AllVoid, BadImages, DataError, Problem, Unusable

LAYOUT = f"""\
any images, in any sub-folders ({" ".join(IMAGE_SUFFIXES)})
or, with labels,
images/.../NAME.jpg   labels/.../NAME.png     the same sub-folders and NAME for an image and its label
classes.csv           optional: columns id, name and, if wanted, kind (thing, stuff or void)
where a label pixel is a class id of your own; without classes.csv every id that occurs is a class, and 255 is void.
If images/ (or the folder itself) holds train/ or val/, these are the splits; if not, all images serve as both."""


def list_split(root: Path, split: str, limit: int | None = None) -> Listing:
    """Images below `root`; labels are those of the same relative path below `root/labels`, if there is such a folder.

    With train/ and val/, labels may be given for one of them only: labels/train or labels/val.
    """
    require(root)
    labels = root / "labels"
    images = root / "images" if (root / "images").is_dir() else root
    if labels.is_dir():
        require(root / "images")
    table_file = root / "classes.csv"
    label_files = files_in(labels, LABEL_SUFFIXES, deep=True) if labels.is_dir() else []
    beside = [_images_beside(root, ("images", "labels"))] if images != root else []
    if any((images / name).is_dir() for name in ("train", "val")):
        require(images / split)
        beside.append(_images_beside(images, ("train", "val", "labels")))
        images, labels = images / split, labels / split
    files, others = photographs(images)
    unread = "; ".join(filter(None, [*beside, others]))
    if not labels.is_dir():
        _refuse_labels_beside_splits(root, split, files, label_files)
        return Listing([FileItem(relative(path, images), root, path) for path in files], False, None, unread=unread)
    by_stem = {_stem(path, labels): path for path in label_files if path.is_relative_to(labels)}
    items = []
    for path in files:
        stem = _stem(path, images)
        items.append(FileItem(relative(path, images), root, path, by_stem.get(stem, labels / f"{stem}.png")))
    wanted = {item.label for item in items}
    orphans = []
    for path in label_files:
        if not path.is_relative_to(labels) or path in wanted:
            continue
        other = by_stem[_stem(path, labels)]
        reason = f"label without image: no {relative(images, root)}/{_stem(path, labels)}.*"
        if other in wanted:
            reason = f"another label of its image: {relative(other, root)} is there too"
        orphans.append(Problem(relative(path, root), reason))
    if table_file.exists():
        return Listing(items, True, read_classes(table_file), orphans, unread=unread)
    found = partial(_discover, root, label_files)
    return Listing(items, True, None, orphans, discover=found, label_files=label_files, unread=unread)


def _images_beside(folder: Path, known: tuple[str, ...]) -> str:
    """What to say of images in a folder and in those of its folders that are not `known`, not further below."""
    others = (path for path in folder.iterdir() if path.is_dir() and path.name not in known)
    below = sum(len(files_in(path, IMAGE_SUFFIXES)) for path in others if not path.name.startswith("."))
    count = below + len(files_in(folder, IMAGE_SUFFIXES))
    there = " and ".join(f"{name}/" for name in known if name != "labels" and (folder / name).is_dir())
    return f"images beside {there} not looked at: {count} or more" if count else ""


def _refuse_labels_beside_splits(root: Path, split: str, images: Sequence[Path], labels: Sequence[Path]) -> None:
    """Raises `DataError` where labels of a split's images lie as if there were no splits."""
    stems = {_stem(path, root / "images" / split) for path in images}
    stray = [path for path in labels if _stem(path, root / "labels") in stems]
    if stray:
        raise DataError(
            f"{len(stray)} labels of images/{split}/ do not lie in labels/{split}/, where they are looked for, such as "
            f"{relative(stray[0], root)}: move them there"
        )


def read_classes(file: Path) -> ClassTable:
    """The table in a classes.csv: columns `id`, `name` and, optionally, `kind` (`thing`, `stuff`, `void`).

    Classes are numbered in the order in which their names first stand; ids with the same name are one class. 255 is
    void unless a row says otherwise. Without `kind` a class is stuff.

    Raises:
        DataError: it is no CSV in UTF-8, or a column or value is wrong; with the line.
    """
    names: dict[str, int] = {}
    ids: dict[int, int] = {}
    void: set[int] = set()
    things: set[int] = set()
    for where, row in spreadsheet.rows(file, ("id", "name"), "the columns id, name and optionally kind"):
        kind, name, number = ((row.get(column) or "").strip() for column in ("kind", "name", "id"))
        if not number.isdecimal() or not name:
            raise DataError(f"{where}: expected a whole number as id and a name, got {number!r}, {name!r}")
        if kind not in ("", "thing", "stuff", "void"):
            raise DataError(f"{where}: kind is {kind!r}; expected thing, stuff or void")
        if int(number) in ids or int(number) in void:
            raise DataError(f"{where}: id {int(number)} stands there twice")
        if kind == "void":
            void.add(int(number))
            continue
        ids[int(number)] = names.setdefault(name, len(names))
        if kind == "thing":
            things.add(ids[int(number)])
    if not names:
        raise DataError(f"{file} names no class: expected a row with an id and a name for each")
    return _table(file.name, tuple(names), ids, void if VOID in ids else void | {VOID}, things)


def _discover(root: Path, files: Sequence[Path], pool: Executor) -> ClassTable:
    """A class for every id in the label files of all splits, `class 3` for id 3; 255 is void.

    A file that cannot be used has no ids: preparing reads it again and tells what is wrong with it. Where no other
    file gives an id, that is told here.
    """
    found = list(pool.map(partial(_ids, root), files))
    bad = [ids for ids in found if isinstance(ids, Problem)]
    present = sorted(set().union(*(ids for ids in found if not isinstance(ids, Problem))) - {VOID})
    if bad and not present:
        raise BadImages(f"folder, labels under {root}", bad, len(files))
    if not present:
        raise AllVoid(f"folder {root}", len(files))
    return _table("folder", tuple(f"class {i}" for i in present), {i: k for k, i in enumerate(present)}, {VOID}, set())


def _ids(root: Path, file: Path) -> set[int] | Problem:
    try:
        return set(decoding.label_ids(decoding.read_label(file.read_bytes())))
    except Unusable as error:
        return Problem(relative(file, root), error.reason)
    except OSError as error:
        return Problem(relative(file, root), f"cannot be read ({error.strerror})")


def _table(name: str, names: tuple[str, ...], ids: Mapping[int, int], void: set[int], things: set[int]) -> ClassTable:
    if len(names) > VOID:
        raise DataError(
            f"{len(names)} classes in the labels; expected 1 to {VOID}: is this a map of instances, or a photograph? "
            "classes.csv can join ids into classes"
        )
    return ClassTable(
        name, names, MappingProxyType(dict(ids)), frozenset(void), frozenset(things), distinct_colors(len(names))
    )


def _stem(path: Path, folder: Path) -> str:
    return relative(path.with_suffix(""), folder)


DATASET = Dataset("folder", "any folder of images, with or without labels", list_split, LAYOUT)
