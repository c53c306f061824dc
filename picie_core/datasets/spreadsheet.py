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
    """The rows of a CSV file in UTF-8, with or without a byte order mark. Its cells are parted by commas,
    semicolons (as spreadsheets do in half of Europe) or tabs, whichever gives the needed columns.

    Args:
        file: the table, whose first line names the columns.
        needed: columns that must be there.
        expected: the columns in words, for errors.

    Raises:
        DataError: the file is not UTF-8 or no CSV, lacks a column, or has a row with more cells than columns.
        OSError: it cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        readers = {c: csv.DictReader(io.StringIO(text), delimiter=c, skipinitialspace=True) for c in ",;\t"}
        comma = max(readers, key=lambda c: len(set(needed) & set(readers[c].fieldnames or ())))
        reader, columns = readers[comma], readers[comma].fieldnames or ()
        found = [Row(f"{file}, line {reader.line_num}", cells) for cells in reader]
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 ({error}): in a spreadsheet, save it as 'CSV UTF-8'") from error
    except csv.Error as error:
        raise DataError(f"{file} is no CSV file ({error}): in a spreadsheet, save it as 'CSV UTF-8'") from error
    if not set(needed) <= set(columns):
        raise DataError(f"{file}: expected {expected}, got {', '.join(columns)}")
    for where, cells in found:
        if any(more := cells.pop(None, [])):  # type: ignore[call-overload]
            raise DataError(
                f"{where}: {', '.join(more)!r} stands beyond the {len(columns)} columns: a text that holds a {comma!r} "
                'is to stand between quotes, "like this"'
            )
    return found
