"""Arrays on disk in several .npy files, read through memory maps."""

import hashlib
import io
import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from picie_core import files

_PIECE = 128 * 1024
"""Bytes that Linux takes of one piece of advice, at the least."""


class ShardedArray:
    """Rows of several memory-mapped .npy files as one read-only array.

    `array[5]` is a row; `array[2:9]`, `array[[4, 1, 1]]`, `array[mask]` are rows as a new array, in the order asked
    for. Indices are those of numpy: negative ones count from the end, and one out of range is an IndexError.

    Attributes:
        shape: of the whole.
    """

    def __init__(self, files: Sequence[Path], row: tuple[int, ...]) -> None:
        self._maps = [np.load(file, mmap_mode="r", allow_pickle=False) for file in files]
        self._ends = np.cumsum([len(part) for part in self._maps], dtype=np.int64)
        self.shape = (int(self._ends[-1]) if len(self._ends) else 0, *row)
        self.dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all rows together."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __getitem__(self, key: Any) -> np.ndarray:
        rows = np.arange(len(self))[key]
        if rows.ndim == 0:
            return self._rows(rows[None])[0]
        if rows.ndim > 1:
            raise IndexError(f"expected a row number, a slice or a list of row numbers, got {rows.ndim} dimensions")
        return self._rows(rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        shard = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(shard):
            here = shard == number
            part = self._maps[number]
            wanted = rows[here] - (self._ends[number] - len(part))
            with _read_once(part, wanted):
                out[here] = part[wanted]
        return out


@contextmanager
def _read_once(part: np.memmap, rows: np.ndarray) -> Iterator[None]:
    """Read these rows of a map from the disk, whole and without their neighbours (some disks read megabytes ahead), and
    leave them to the cache of the system after it: mapped, they count as memory of this process, in the end all.

    Advice to the system, of Linux; where it is not taken, reading is as it was.
    """
    place = part.base
    if not isinstance(place, mmap.mmap) or not hasattr(mmap, "MADV_WILLNEED"):
        yield
        return
    size, header = part[0].nbytes, len(place) - part.nbytes
    with suppress(OSError):
        place.madvise(mmap.MADV_RANDOM)
        for start in header + rows.astype(np.int64) * size:
            page, end = int(start) // mmap.PAGESIZE * mmap.PAGESIZE, int(start) + size
            for piece in range(page, end, _PIECE):
                place.madvise(mmap.MADV_WILLNEED, piece, min(_PIECE, end - piece))
    try:
        yield
    finally:
        with suppress(OSError):
            place.madvise(mmap.MADV_DONTNEED)


def write_array(file: Path, array: np.ndarray) -> dict[str, Any]:
    """Writes a uint8 array as .npy, whole or not at all, and returns its record: name, rows, bytes, SHA-256."""
    header = _header(array.shape)
    body = np.ascontiguousarray(array).reshape(-1).data
    files.write(file, header, body)
    digest = hashlib.sha256(header)
    digest.update(body)
    return {"file": file.name, "rows": len(array), "bytes": len(header) + array.nbytes, "sha256": digest.hexdigest()}


def fault(folder: Path, record: dict[str, Any], row: tuple[int, ...]) -> str | None:
    """What is wrong with a shard file, told from its length and header; None if nothing is. Content is not read."""
    file = folder / record["file"]
    try:
        if file.stat().st_size != record["bytes"]:
            return f"{file} has {file.stat().st_size} bytes, expected {record['bytes']}"
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return f"{file} is not there"
    except ValueError as error:
        return f"{file} does not begin as an array ({error})"
    if array.shape != (record["rows"], *row) or array.dtype != np.uint8:
        return f"{file} holds {array.dtype} {array.shape}, expected uint8 {(record['rows'], *row)}"
    return None


def sha256(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue()
