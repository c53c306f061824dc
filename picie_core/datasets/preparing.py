"""`prepare`: decodes, checks and frames a split once, in parallel, and keeps it as arrays on disk."""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from picie_core import places
from picie_core.datasets import prepared, registry
from picie_core.datasets.listing import Dataset, Item, Listing, MissingFolders
from picie_core.datasets.making import VERSION, Job, make
from picie_core.datasets.prepared import Prepared
from picie_core.datasets.problems import BadImages, DataError, Problem, Unusable

_log = logging.getLogger(__name__)


def prepare(
    name: str,
    *,
    root: Path | str | None = None,
    split: str = "train",
    size: int = 128,
    limit: int | None = None,
    on_bad_image: str = "error",
    workers: int | None = None,
    progress: bool = True,
) -> Prepared:
    """A split of a data set as arrays; made at the first call, opened at the next.

    The arrays lie under `places.prepared_folder()`, in a folder whose name ends in a digest of the settings and of the
    place, names, sizes and times of the source files: a file that changed is prepared anew, beside the old. A call that
    is interrupted, or whose disk fills up, goes on where it stopped when it is repeated; nothing half-written is ever
    taken for whole. Of two processes that prepare the same split the second waits for the first.

    Args:
        name: `scenes`, `camvid`, `coco27`, ...: see `registry.DATASETS`.
        root: the data set's folder; None: its usual place, `data/NAME` under `places.home()`.
        split: `train`, `val`, or another that the data set has.
        size: side of the prepared squares in pixels.
        limit: prepare at most so many images, spread evenly over the split (neighbouring files are often alike); of
            scenes exactly so many, the first. None: all; of scenes 1,000 (train) or 200 (val).
        on_bad_image: `error` stops at images or labels that cannot be used (after looking at the others, to count
            them); `skip` leaves them out and lists them in the manifest under `skipped`.
        workers: threads that decode; None: one per core.
        progress: whether to show a bar.

    Raises:
        DataError: an argument is wrong, the folder is not what the data set's layout says, or the disk is full.
        BadImages: some images or labels cannot be used.
    """
    dataset = registry.find(name)
    _check(dataset, split, size, limit, on_bad_image, workers)
    place = folder_of(dataset, root)
    listing = _listed(dataset, place, split, limit)
    items = _spread(listing.items, limit)
    orphans = [] if limit else list(listing.orphans)
    where = f"{name}, split {split}" + (f", under {place}" if dataset.layout else "")

    stamps, good, absent = [], [], list(orphans)
    for item in items:
        try:
            stamps.append(item.stamp())
            good.append(item)
        except Unusable as error:
            absent.append(Problem(error.file or item.name, error.reason))
    if absent and (on_bad_image == "error" or not good):
        raise BadImages(where, absent, len(items) + len(orphans))
    published = dataset.published.get(split)
    if limit is None:
        _compare(where, len(good), published)  # now, for what follows may take hours

    settings = {"size": size, "framing": dataset.frame.__name__, "version": VERSION}
    table = listing.table.to_dict() if listing.table else None
    labels = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in listing.label_files]
    root_too = [str(place.resolve())] if dataset.layout else []  # other files may agree in name, size and time
    key = _digest([prepared.FORMAT, name, split, settings, table, stamps, absent, labels, *root_too])
    folder = places.prepared_folder() / f"{name}-{split}-{size}-{key[:16]}"

    if prepared.fault(folder) is not None:
        job = Job(folder, dataset, split, size, good, listing, where, keep_going=on_bad_image == "skip")
        source = {"root": str(place) if dataset.layout else None, "published": published}
        source["listed"] = len(listing.items)
        with _alone(folder):
            if (found := prepared.fault(folder)) is not None:
                if (folder / prepared.MANIFEST).exists():
                    _log.warning("repairing %s: %s", folder, found)
                make(job, {"settings": settings, "source": source}, absent, workers, progress)
    result = Prepared.open(folder)
    skipped = [Problem(*entry) for entry in result.manifest["skipped"]]
    if skipped and on_bad_image == "error":
        raise BadImages(where, skipped, len(items) + len(orphans))
    if skipped:
        _log.warning("%s: left out %d images or labels; %s lists them", where, len(skipped), folder / prepared.MANIFEST)
    if len(result) != len(good) and limit is None:
        _compare(where, len(result), published)
    return result


def _compare(where: str, count: int, published: int | None) -> None:
    if published not in (None, count):
        _log.warning(
            "%s: %d images, and the published split has %d: scores are not comparable with published ones",
            where, count, published,
        )  # fmt: skip


def _check(dataset: Dataset, split: str, size: int, limit: int | None, on_bad_image: str, workers: int | None) -> None:
    dataset.require(split)
    if on_bad_image not in ("error", "skip"):
        raise DataError(f'on_bad_image is {on_bad_image!r}; expected "error" or "skip"')
    for what, value, most in (("size", size, 8192), ("limit", limit, None), ("workers", workers, None)):
        if value is not None and (value < 1 or (most is not None and value > most)):
            raise DataError(f"{what} is {value}; expected at least 1" + (f" and at most {most}" if most else ""))


def folder_of(dataset: Dataset, root: Path | str | None) -> Path:
    """The folder of a data set: `root`, or its usual place where that is None.

    Raises:
        DataError: it has no usual place.
    """
    if root is not None:
        return Path(root).expanduser().resolve()
    if dataset.layout and dataset.folder is None:
        raise DataError(f"{dataset.name} needs to be told its folder: give root (data_root, --root)")
    return places.data_folder() / dataset.folder if dataset.folder else Path()


def _listed(dataset: Dataset, root: Path, split: str, limit: int | None) -> Listing:
    needs = f"{dataset.name} expects in its folder (root):\n{_indented(dataset.layout)}"
    if dataset.layout and not root.is_dir():
        raise DataError(
            f"{dataset.name}: there is no folder {root}. Put the data there, or name their folder as root "
            f"(data_root, --root); data/README.md says where they come from. {needs}"
        )
    try:
        listing = dataset.list_split(root, split, limit)
    except MissingFolders as error:
        there = sorted(path.name for path in root.iterdir())
        raise DataError(
            f"{dataset.name}, split {split}: not there: {', '.join(map(str, error.missing))}. {root} holds "
            f"{', '.join(there[:8]) or 'nothing'}{', ...' if len(there) > 8 else ''}. {needs}"
        ) from error
    if not listing.items:
        aside = f" ({listing.unread})" if listing.unread else ""
        raise DataError(f"{dataset.name}, split {split}: no image found under {root}{aside}. {needs}")
    if listing.unread:
        _log.warning("%s, split %s: %s", dataset.name, split, listing.unread)
    return listing


def _spread(items: Any, limit: int | None) -> list[Item]:
    if limit is None or limit >= len(items):
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Makes the folder and locks it; the operating system releases the lock when its process dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot make {folder} ({error.strerror}): set PICIE_PREPARED to a folder where prepared arrays can be kept"
        ) from error
    lock = FileLock(folder.with_name(folder.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.warning("another process prepares %s: waiting for it", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _digest(record: Any) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _indented(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())
