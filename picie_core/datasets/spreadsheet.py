"""Tables that people write in a spreadsheet, saved as CSV."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from picie_core.datasets.problems import DataError


class Row(NamedTuple):
    """A row by the names of its columns (None where it is too short), and where it stands: `FILE, line 3`."""

    where: str
    cells: dict[str, str | None]


def rows(file: Path, needed: tuple[str, ...], expected: str) -> list[Row]:
    """The rows of a CSV file in UTF-8, with or without a byte order mark.

    Args:
        file: the table, whose first line names the columns.
        needed: columns that must be there.
        expected: the columns in words, for errors.

    Raises:
        DataError: the file is not UTF-8 or no CSV, or lacks a column.
        OSError: it cannot be read.
    """
    try:
        reader = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig")), skipinitialspace=True)
        columns = reader.fieldnames or ()
        found = [Row(f"{file}, line {reader.line_num}", cells) for cells in reader]
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 ({error}): in a spreadsheet, save it as 'CSV UTF-8'") from error
    except csv.Error as error:
        raise DataError(f"{file} is no CSV file ({error}): in a spreadsheet, save it as 'CSV UTF-8'") from error
    if not set(needed) <= set(columns):
        raise DataError(f"{file}: expected {expected}, got {', '.join(columns)}")
    return found
