"""How prepared arrays are made: threads fill a shard while the one before it is written.

Threads, because Pillow, hashing and file reading release Python's lock; they need no guard in the caller's script.
"""

import errno
import hashlib
import json
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL
from tqdm import tqdm

from picie_core import __version__, files
from picie_core.classes import VOID, ClassTable
from picie_core.datasets import prepared, shards
from picie_core.datasets.listing import Dataset, Item, Listing
from picie_core.datasets.problems import BadImages, DataError, Problem, Unusable
from picie_core.processes import cores

VERSION = 1
"""Of the preparation. Raised when a change of it alters the arrays; part of the fingerprint."""

SHARD_BYTES = 8 * 2**20
"""Images of a shard, at least (unless there are fewer): what an interruption can cost."""

MOST_SHARDS = 64
"""Each is two open files."""

STOP_AFTER = 100
"""Images that cannot be used, before `prepare` stops looking for more."""


@dataclass(frozen=True)
class Job:
    """What is to be made: the images of a split that are there, and the folder for their arrays."""

    folder: Path
    dataset: Dataset
    split: str
    size: int
    items: Sequence[Item]
    listing: Listing
    where: str
    keep_going: bool

    @property
    def row_bytes(self) -> int:
        """Bytes of one prepared image with its label."""
        return self.size**2 * (4 if self.listing.labelled else 3)

    def spans(self) -> list[range]:
        """Which images go into which shard."""
        count = len(self.items)
        rows = max(1, SHARD_BYTES // (self.size**2 * 3), -(-count // MOST_SHARDS))
        return [range(first, min(first + rows, count)) for first in range(0, count, rows)]


class _Shard(NamedTuple):
    """A shard that threads are filling."""

    number: int
    span: range
    images: np.ndarray
    labels: np.ndarray | None
    filled: list[Future[str]]


def make(job: Job, about: dict[str, Any], absent: list[Problem], workers: int | None, progress: bool) -> None:
    """Makes the shards that are not there yet, and then the manifest, which marks the folder as finished.

    The caller holds the folder's lock.

    Raises:
        BadImages: images or labels that cannot be used, unless the job keeps going or none is left.
        DataError: the disk is full.
    """
    started = time.monotonic()
    for leftover in job.folder.glob("*.tmp"):
        leftover.unlink()
    spans = job.spans()
    done = {number: record for number, span in enumerate(spans) if (record := _finished(job, number, span))}
    todo = [number for number in range(len(spans)) if number not in done]
    _room(job, sum(len(spans[number]) for number in todo), shutil.disk_usage(job.folder).free)
    threads = workers or cores()
    pool = ThreadPoolExecutor(threads)
    try:
        table = job.listing.discover(pool) if job.listing.discover else job.listing.table
        ready = len(job.items) - sum(len(spans[number]) for number in todo)
        title = f"prepare {job.dataset.name} {job.split}"
        with tqdm(total=len(job.items), initial=ready, desc=title, unit="img", disable=not progress) as bar:
            done |= _make_shards(job, table, [(number, spans[number]) for number in todo], pool, bar)
    finally:
        pool.shutdown(cancel_futures=True)
    parts = [done[number] for number in range(len(spans))]
    skipped = absent + [Problem(*entry) for part in parts for entry in part["skipped"]]
    if not any(part["names"] for part in parts):
        raise BadImages(job.where, skipped, len(job.items))
    about = about | {"seconds": round(time.monotonic() - started, 2), "workers": threads}
    _write(job, job.folder / prepared.MANIFEST, _manifest(job, table, parts, skipped) | about)


def _make_shards(
    job: Job, table: ClassTable | None, todo: list[tuple[int, range]], pool: Executor, bar: tqdm
) -> dict[int, dict[str, Any]]:
    """Fills and writes shards in turn. Without `keep_going` a shard with a problem is not written, and the rest is
    only looked at, so that the error can say how many there are."""
    done: dict[int, dict[str, Any]] = {}
    problems: list[Problem] = []
    looked_at = 0
    for shard in _filling(job, table, todo, pool):
        good, digests, bad = [], [], []
        for row, future in enumerate(shard.filled):
            item = job.items[shard.span[row]]
            try:
                digests.append(future.result())
                good.append(row)
            except Unusable as error:
                bad.append(Problem(error.file or item.name, error.reason))
            bar.update()
            looked_at += 1
            if not job.keep_going and len(problems) + len(bad) >= STOP_AFTER:
                raise BadImages(job.where, problems + bad, looked_at, stopped=True)
        problems += bad
        if job.keep_going or not bad:
            done[shard.number] = _write_shard(job, table, shard, good, digests, bad)
    if problems and not job.keep_going:
        raise BadImages(job.where, problems, len(job.items))
    return done


def _filling(job: Job, table: ClassTable | None, todo: list[tuple[int, range]], pool: Executor) -> Iterator[_Shard]:
    """Shards in turn, each handed out when the threads have been given the next."""
    ahead: deque[_Shard] = deque()
    for number, span in todo:
        images = np.empty((len(span), job.size, job.size, 3), dtype=np.uint8)
        labels = np.empty((len(span), job.size, job.size), dtype=np.uint8) if job.listing.labelled else None

        def fill(row: int, span: range = span, images: np.ndarray = images, labels: np.ndarray | None = labels) -> str:
            loaded = job.items[span[row]].load(job.size, job.dataset.frame, table)
            images[row] = loaded.image
            if labels is not None:
                labels[row] = loaded.label
            return loaded.digest

        filled = [pool.submit(fill, row) for row in range(len(span))]
        ahead.append(_Shard(number, span, images, labels, filled))
        if len(ahead) > 1:
            yield ahead.popleft()
    yield from ahead


def _write_shard(
    job: Job, table: ClassTable | None, shard: _Shard, good: list[int], digests: list[str], bad: list[Problem]
) -> dict[str, Any]:
    """The arrays, then the record that says they are whole."""
    stem = f"{shard.number:05d}"
    whole = len(good) == len(shard.span)
    record: dict[str, Any] = {
        "record": f"{stem}.json",
        "first": shard.span.start,
        "last": shard.span.stop,
        "names": [job.items[shard.span[row]].name for row in good],
        "digests": digests,
        "skipped": bad,
        "images": None,
        "labels": None,
        "pixels": None,
        "present": None,
    }
    try:
        if good:
            images = shard.images if whole else shard.images[good]
            record["images"] = shards.write_array(job.folder / f"{stem}.images.npy", images)
        if good and shard.labels is not None and table is not None:
            labels = shard.labels if whole else shard.labels[good]
            record["labels"] = shards.write_array(job.folder / f"{stem}.labels.npy", labels)
            counts = np.stack([np.bincount(label.ravel(), minlength=VOID + 1) for label in labels])
            record["pixels"] = counts.sum(0).tolist()
            record["present"] = (counts > 0).sum(0).tolist()
    except OSError as error:
        _explain(job, error)
    _write(job, job.folder / record["record"], record)
    return record


def _finished(job: Job, number: int, span: range) -> dict[str, Any] | None:
    """The record of a shard that an earlier call has finished; None if it must be made."""
    try:
        record = json.loads((job.folder / f"{number:05d}.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if (record["first"], record["last"]) != (span.start, span.stop):
        return None
    return None if prepared.shard_fault(job.folder, record, job.size) else record


def _manifest(
    job: Job, table: ClassTable | None, parts: list[dict[str, Any]], skipped: list[Problem]
) -> dict[str, Any]:
    meaning = [sorted(table.ids.items()), sorted(table.void)] if table else None
    digests = [digest for part in parts for digest in part["digests"]]
    basis = [VERSION, job.dataset.name, job.size, job.dataset.frame.__name__, job.listing.labelled, meaning, digests]
    count = len(digests)
    manifest: dict[str, Any] = {
        "format": prepared.FORMAT,
        "dataset": job.dataset.name,
        "split": job.split,
        "fingerprint": hashlib.sha256(json.dumps(basis).encode()).hexdigest(),
        "count": count,
        "labelled": job.listing.labelled,
        "bytes": count * job.row_bytes,
        "classes": table.to_dict() if table else None,
        "frequencies": None,
        "skipped": skipped,
        "shards": [{key: part[key] for key in ("record", "images", "labels")} for part in parts],
        "made_with": {"picie": __version__, "pillow": PIL.__version__, "numpy": np.__version__},
    }
    if job.listing.labelled and table is not None:
        pixels = np.sum([part["pixels"] for part in parts if part["pixels"]], axis=0)
        present = np.sum([part["present"] for part in parts if part["present"]], axis=0)
        rows = [(name, k) for k, name in enumerate(table.names)] + [("void", VOID)]
        manifest["frequencies"] = [
            {
                "class": name,
                "pixels": int(pixels[k]),
                "share": round(float(pixels[k] / pixels.sum()), 6),
                "images": int(present[k]),
            }
            for name, k in rows
        ]
    return manifest


def _write(job: Job, file: Path, record: dict[str, Any]) -> None:
    try:
        files.write_json(file, record)
    except OSError as error:
        _explain(job, error)


def _room(job: Job, rows: int, free: int) -> None:
    needed = rows * job.row_bytes
    if needed > free:
        raise DataError(f"not enough disk for {job.folder}: {_full(job, needed, free)}")


def _explain(job: Job, error: OSError) -> None:
    """Raises `DataError` for a full disk, and the error itself otherwise."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error
    written = sum(path.stat().st_size for path in job.folder.glob("*.npy"))
    needed = max(0, len(job.items) * job.row_bytes - written)
    raise DataError(
        f"the disk is full: {job.folder}: {_full(job, needed, shutil.disk_usage(job.folder).free)}"
    ) from error


def _full(job: Job, needed: int, free: int) -> str:
    return (
        f"{_megabytes(needed)} more are needed ({_megabytes(len(job.items) * job.row_bytes)} in all), "
        f"{_megabytes(free)} are free. Finished shards are kept: make room and repeat the command, or set "
        "PICIE_PREPARED to a folder on a larger disk"
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
