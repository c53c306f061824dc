"""What a data set is: how one split's images and labels are found in a folder, before any of them is read."""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from picie_core import suggestions
from picie_core.classes import ClassTable
from picie_core.datasets import decoding, framing
from picie_core.datasets.problems import DataError, Problem, Unusable

_log = logging.getLogger(__name__)

IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
)  # fmt: skip
LABEL_SUFFIXES = (".bmp", ".png", ".tif", ".tiff")
UNREAD_SUFFIXES = (
    ".jxl", ".psd",
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef",
    ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)  # fmt: skip
"""Photographs in formats that are not read, from the second line on cameras' raw ones: named where they are met."""

ALBUM_MARK = b'<meta name="generator" content="picie segment">'
"""What the `index.html` of a folder holds into which `picie segment` has written: no photographs lie there."""


class Loaded(NamedTuple):
    """One prepared image: uint8 (size, size, 3), its label uint8 (size, size) or None, and what they were made from."""

    image: np.ndarray
    label: np.ndarray | None
    digest: str


class Item(Protocol):
    """One image of a split, with the place of its label if it has one."""

    @property
    def name(self) -> str:
        """Names the image within its split."""
        ...

    def stamp(self) -> list[str | int]:
        """What tells without reading that the sources are the same as before. Raises `Unusable`."""
        ...

    def load(self, size: int, frame: framing.Framing, table: ClassTable | None) -> Loaded:
        """Reads and frames it. Raises `Unusable`."""
        ...


@dataclass(frozen=True)
class FileItem:
    """An image file and, for labelled splits, its label file. Messages name both relative to `root`."""

    name: str
    root: Path
    image: Path
    label: Path | None = None

    def stamp(self) -> list[str | int]:
        """Name, size in bytes and time of change (ns) of the files, and which may not be read.

        Raises:
            Unusable: one of them is not there.
        """
        stamp: list[str | int] = [self.name]
        for path in (self.image, self.label):
            if path is None:
                continue
            try:
                status = path.stat()
            except FileNotFoundError:
                if path is self.image:
                    raise Unusable("is named by the list of the split, but is not there", self._tell(path)) from None
                reason = f"image without label: {self._tell(path)} is not there"
                raise Unusable(reason, self._tell(self.image)) from None
            stamp += [path.name, status.st_size, status.st_mtime_ns]
            if not os.access(path, os.R_OK):  # a change of rights, after which it is to be tried again, changes no time
                stamp.append("may not be read")
        return stamp

    def load(self, size: int, frame: framing.Framing, table: ClassTable | None) -> Loaded:
        """Decodes, checks and frames image and label; the digest is that of the files' content.

        Raises:
            Unusable: either does not decode, an id is unknown, or the sizes differ.
        """
        image, digest = self._read(self.image, decoding.read_image)
        window = frame(image.width, image.height, size)
        square = framing.of_image(window, image, size)
        if self.label is None or table is None:
            return Loaded(square, None, digest)
        label, label_digest = self._read(self.label, lambda data: decoding.to_classes(decoding.read_label(data), table))
        if label.size != image.size:
            reason = (
                f"label is {label.width} x {label.height} but the image {self._tell(self.image)} is "
                f"{image.width} x {image.height}"
            )
            if label.size == image.size[::-1]:
                reason += "; one is on its side: an image is turned by its EXIF orientation, a label never"
            raise Unusable(reason, self._tell(self.label))
        return Loaded(square, framing.of_label(window, np.asarray(label), size), f"{digest} {label_digest}")

    def _read(self, path: Path, decode: Callable):
        try:
            data = path.read_bytes()
            return decode(data), hashlib.sha256(data).hexdigest()
        except (PermissionError, FileNotFoundError, IsADirectoryError) as error:
            raise Unusable(f"cannot be read ({error.strerror})", self._tell(path)) from error
        except Unusable as error:
            raise Unusable(error.reason, self._tell(path)) from error

    def _tell(self, path: Path) -> str:
        return relative(path, self.root)


@dataclass(frozen=True)
class Listing:
    """One split as it was found.

    Attributes:
        items: its images, in the order of the prepared arrays.
        labelled: whether they have labels.
        table: what the labels mean; None for unlabelled data without a table, or where `discover` finds it.
        orphans: labels without an image.
        discover: finds the table by reading all label files, which are `label_files`.
        unread: see `Photographs`.
    """

    items: Sequence[Item]
    labelled: bool
    table: ClassTable | None
    orphans: Sequence[Problem] = ()
    discover: Callable[[Executor], ClassTable] | None = None
    label_files: Sequence[Path] = ()
    unread: str = ""


@dataclass(frozen=True)
class Dataset:
    """A data set as the registry knows it.

    Attributes:
        name: as users write it.
        about: one line.
        list_split: (root, split, limit) -> Listing. Files are listed all, whatever the limit; scenes are made to it.
        layout: what the folder must look like; shown in errors and in data/README.md. Empty: it needs no folder.
        folder: the usual place under `data/`; None: the caller must name one.
        splits: the names of its splits.
        frame: how an image becomes a square.
        published: how many images the published splits have, by name, where that is known.
    """

    name: str
    about: str
    list_split: Callable[[Path, str, int | None], Listing] = field(repr=False)
    layout: str = field(default="", repr=False)
    folder: str | None = None
    splits: tuple[str, ...] = ("train", "val")
    frame: framing.Framing = framing.short_side
    published: Mapping[str, int] = field(default_factory=dict, hash=False)

    def require(self, split: str) -> None:
        """Raises `DataError` where the data set has no such split."""
        if split not in self.splits:
            raise DataError(f"{self.name} has no split {split!r}: {suggestions.nearest(split, self.splits)}")


class MissingFolders(DataError):
    """Folders or files that a layout needs and that are not there."""

    def __init__(self, missing: Iterable[Path]) -> None:
        self.missing = list(missing)
        super().__init__(", ".join(map(str, self.missing)))


def require(*paths: Path) -> None:
    """Raises `MissingFolders` with every one of `paths` that does not exist."""
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise MissingFolders(missing)


def files_in(folder: Path, suffixes: tuple[str, ...], *, deep: bool = False) -> list[Path]:
    """Files in a folder (`deep`: and below) that end in one of `suffixes`, in any case, in the order of their names.

    Names that begin with a dot are left out: systems put thumbnails and copies of attributes there. Links to
    folders are followed; those into which `picie segment` has written are left out. A warning names a folder that
    cannot be opened.
    """
    found, passed_over = _files_in(folder, suffixes, deep)
    for said in passed_over:
        _log.warning("%s", said)
    return found


def _files_in(folder: Path, suffixes: tuple[str, ...], deep: bool) -> tuple[list[Path], list[str]]:
    """`files_in`, and a sentence about each folder that was passed over."""
    passed_over: list[str] = []
    entries = _entries(folder, deep, passed_over)
    found = [path for path in entries if path.suffix.lower() in suffixes and path.is_file()]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix()), passed_over


def _entries(
    folder: Path, deep: bool, passed_over: list[str], above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[Path]:
    """What lies in a folder (`deep`: and below); `above`: device and number of the folders that it lies in itself."""
    try:
        (folder / "..").stat()  # asks for the right to enter, as each file in it will
        status, inside = folder.stat(), [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:  # gone since it was listed
        if not above:
            raise
        return
    except OSError as error:
        passed_over.append(f"{folder} cannot be opened ({error.strerror}): what is in it is left out")
        return
    here = (status.st_dev, status.st_ino)
    if here in above:  # a link back
        return
    if _is_album(folder):
        passed_over.append(f"{folder} holds what `picie segment` has written: it is left out")
        return
    for path in inside:
        yield path
        if deep and path.is_dir():
            yield from _entries(path, deep, passed_over, above | {here})


def _is_album(folder: Path) -> bool:
    try:
        with (folder / "index.html").open("rb") as stream:
            return ALBUM_MARK in stream.read(1000)
    except OSError:
        return False


class Photographs(NamedTuple):
    """The images in a folder and below, and what to say of others, in formats that are not read or in folders that were
    passed over; empty: there are none."""

    files: list[Path]
    unread: str


def photographs(folder: Path) -> Photographs:
    """The photographs in a folder and below, see `files_in`. A warning tells of those in several formats."""
    found, sentences = _files_in(folder, IMAGE_SUFFIXES + UNREAD_SUFFIXES, deep=True)
    read = [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES]
    stems = Counter(path.with_suffix("") for path in read)
    if twins := [path for path in read if stems[path.with_suffix("")] > 1]:
        _log.warning(
            "%s: %d images differ in nothing but the endings of their names (%s): if they are the same photographs, "
            "each is taken twice; keep one of each",
            folder, len(twins), ", ".join(path.name for path in twins[:2]),
        )  # fmt: skip
    others = Counter(path.suffix.lower() for path in found if path.suffix.lower() in UNREAD_SUFFIXES)
    if others:
        count, kinds = others.total(), sorted(others)
        named = kinds[0] if len(kinds) == 1 else ", ".join(f"{others[kind]} {kind}" for kind in kinds)
        files, them = ("file", "it") if count == 1 else ("files", "them")
        sentences.insert(0, f"{count} {files} not looked at: {named} (convert {them} to JPEG)")
    return Photographs(read, "; ".join(sentences))


def relative(path: Path, root: Path) -> str:
    """`path` as seen from `root`, with forward slashes; in full where it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
