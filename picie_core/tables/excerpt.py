"""Tables as a person reads them in a notebook: less of what is saved, and in fewer words."""

import math
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from typing import Any

import pandas as pd

from picie_core import provenance

P_VALUES = ("p", "p of all")
"""Columns of p values."""


def brief(table: pd.DataFrame, digits: int = 1) -> pd.DataFrame:
    """A table of scores or of comparisons, as short as it can be said; what is saved stays as it is.

    Args:
        table: with any columns. Those of `seeds.Comparison.row` are put into words, where they are there.
        digits: of numbers, after the point (see `rounded`).

    Returns:
        The table without the column `runs` and without columns that are empty in every row. `difference`, `low` and
        `high` are one column, "2.7 [0.1, 5.3]" (of one seed "2.7", of none the empty string); p values have two digits,
        and "< 0.01" below that; of seeds as text, neighbours are a range: "1-10".
    """
    found = table.drop(columns=provenance.COLUMN, errors="ignore")
    found = found.drop(columns=[name for name in found if not _filled(found[name]).any()])
    if "difference" in found and {"low", "high"} <= set(table):
        spans = zip(*(table[name].astype(float).tolist() for name in ("difference", "low", "high")), strict=True)
        found = found.drop(columns=["low", "high"], errors="ignore")
        found["difference"] = [with_interval(*span, digits=digits) for span in spans]
    for name in set(P_VALUES) & set(found):
        found[name] = [_p_value(value) for value in found[name].astype(float)]
    if "seeds" in found:
        found["seeds"] = [ranges(value) if isinstance(value, str) else value for value in found["seeds"]]
    floats = found.select_dtypes("float").columns
    return found.assign(**{name: [rounded(value, digits) for value in found[name]] for name in floats})


def alike(table: pd.DataFrame, columns: Sequence[str]) -> tuple[str, pd.DataFrame]:
    """What is the same in all rows, said once.

    Args:
        table: any.
        columns: those to look at, of those that the table has; a row where one is empty has nothing to say about it.

    Returns:
        Words such as "metric: accuracy; verdict: other data" for those of the columns that have one value in all rows
        that have any (the empty string where there are none), and the table without these columns.
    """
    values = {name: table.loc[_filled(table[name]), name].unique() for name in columns if name in table}
    once = {name: found[0] for name, found in values.items() if len(found) == 1}
    return "; ".join(f"{name}: {value}" for name, value in once.items()), table.drop(columns=list(once))


def measured(table: pd.DataFrame) -> pd.DataFrame:
    """Scores beside published ones (`rows.beside`), without what would be read as a comparison and is none.

    Args:
        table: of `rows.beside`; it is not changed.

    Returns:
        Where something was run, and nothing of it on the data that the published numbers are of: the rows that were
        run, without published numbers and verdict. Else the table, as it is.
    """
    was_run = table["seeds"] != "not run"
    verdicts = set(table.loc[was_run, "verdict"]) if "verdict" in table else set()
    if not verdicts or not verdicts <= {"", "other data"}:
        return table
    published = [name for name in table if name == "verdict" or str(name).endswith(", paper")]
    return table.loc[was_run].drop(columns=published).reset_index(drop=True)


def ranges(seeds: str) -> str:
    """Seeds as tables list them, "1, 2, 3, 7" -> "1-3, 7"; a text that is no such list, `not run` say, as it is."""
    parts = seeds.split(", ")
    if not all(part.isdecimal() for part in parts):
        return seeds
    numbers = sorted({int(part) for part in parts})
    runs = (_ends(run) for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]))
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def rounded(value: float, digits: int) -> float:
    """A number as people round it, halves away from 0 by its decimals: 3.65 is 3.7, though the float of that name lies
    below it and Python's `round` makes it 3.6. nan and infinity stay."""
    if not math.isfinite(value):
        return value
    return float(Decimal(f"{value:.9f}").quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def with_interval(value: float, low: float, high: float, digits: int = 1) -> str:
    """A number and its interval in words, "2.7 [0.1, 5.3]" (see `rounded`); without the interval where that is nan, and
    the empty string where the number is."""
    if math.isnan(value):
        return ""
    said = [f"{rounded(number, digits):z.{digits}f}" for number in (value, low, high)]
    return said[0] if math.isnan(low) else f"{said[0]} [{said[1]}, {said[2]}]"


def _ends(run: Iterable[tuple[int, int]]) -> tuple[int, int]:
    numbers = [number for _, number in run]
    return numbers[0], numbers[-1]


def _filled(column: Any) -> Any:
    return column.notna() & (column.astype(str) != "")


def _p_value(p: float) -> str:
    return "" if math.isnan(p) else "< 0.01" if p < 0.01 else f"{p:.2f}"
