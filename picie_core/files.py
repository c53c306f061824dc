"""Writing files at once, so that nothing half-written is ever taken for whole."""

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write(file: Path, *parts: str | bytes | memoryview) -> None:
    """Write a file at once, see `whole`.

    Args:
        file: its folder is made where there is none.
        parts: what it is to hold, one after the other.

    Raises:
        OSError: the disk is full or the folder cannot be written, see `of_file`; the file keeps what it held before.
    """
    with whole(file) as temporary, temporary.open("wb") as stream:
        for part in parts:
            stream.write(part.encode() if isinstance(part, str) else part)


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A file that is written at once: under a temporary name (`.*.tmp` beside it, with the first letters of its own),
    flushed to disk, then renamed; readable by all (mode 0644).

    Args:
        file: its folder is made where there is none.

    Yields:
        An empty file beside it, to be written or replaced inside the `with`; an error in there leaves `file` as it was.
        One of the system's is taken for one of this file.

    Raises:
        OSError: the disk is full or the folder cannot be written, see `of_file`; the file keeps what it held before.
    """
    temporary: Path | None = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name[:16]}.", suffix=".tmp")
        temporary = Path(name)
        os.close(handle)
        yield temporary
        with temporary.open("r+b") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(file)
    except OSError as error:
        raise of_file(error, file) from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def of_file(error: OSError, file: Path) -> OSError:
    """The error with the file's name, which the system leaves out when an open file cannot grow; of a full disk with
    what to do."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = " (make room, then do the same again: what was written before is whole)" if full else ""
    return OSError(error.errno, f"{error.strerror}{advice}", str(file))


def write_json(file: Path, values: Mapping[str, Any]) -> None:
    """Write readable JSON at once."""
    write(file, json.dumps(values, indent=1) + "\n")
