"""Bands: where a run's numbers lie if nothing has moved them, measured over seeds.

On one type of CPU the same run has the same numbers to the last bit; on another the last bits of sums differ, and with
them the way a training goes, about as with another seed. So what is asserted of trained numbers everywhere is that they
lie where one more seed would.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from picie_core import places, records
from picie_core.errors import WorkbookError
from picie_core.metrics import seeds
from picie_core.records import Run
from picie_core.tables import NAMES

LEVEL = 0.999
"""The share of further seeds that lie within a band, number by number, for numbers that spread normally."""

FEWEST = 5
"""Seeds that a band is made of."""

SCORES = ("accuracy", "mIoU")
"""The numbers that none can be below 0 of, whatever the spread over seeds makes of them."""

COLUMNS = ["digest", "dataset", "method", "number", "low", "high", "mean", "sd", "seeds"]


class MovedError(WorkbookError, AssertionError):
    """A number outside its band; the message says which, and what to do."""


def file() -> Path:
    """Where the workbook's bands are: `notebooks/bands.csv`, written by `picie bands`."""
    return places.home() / "notebooks" / "bands.csv"


def numbers(run: Run) -> Mapping[str, float]:
    """What is held of a run: accuracy and mIoU (percent), and the mean losses of its first and last epoch, as far as it
    has them."""
    found = {} if run.scores is None else {"accuracy": run.scores.accuracy, "mIoU": run.scores.mean_iou}
    losses = list(run.progress["loss"].dropna()) if "loss" in run.progress else []
    return found | ({"loss, first epoch": losses[0], "loss, last epoch": losses[-1]} if losses else {})


def measured(runs: Iterable[Run]) -> pd.DataFrame:
    """The bands of some runs.

    Args:
        runs: of any configurations; of several with one configuration and seed the last counts.

    Returns:
        A row for each number of each configuration (all settings but the seed) with at least `FEWEST` seeds: digest
        (`records.digest`), dataset, method, number (see `numbers`), low and high (the interval in which one more seed
        lies with probability `LEVEL`, mean ± t_{n-1} sd sqrt(1 + 1/n)), mean, sd, seeds (how many).
    """
    rows: dict[tuple[str, ...], dict[int, float]] = {}
    for run in runs:
        digest, name = records.digest(run.settings), records.method_name(run.settings)
        for number, value in numbers(run).items():
            key = (digest, run.settings.dataset, NAMES.get(name, name), number)
            rows.setdefault(key, {})[run.settings.seed] = value
    found = []
    for key, values in sorted(rows.items(), key=lambda item: item[0][1:3]):  # the numbers in their order
        if len(values) >= FEWEST:
            spread = seeds.spread(list(values.values()))
            low, high = seeds.prediction_interval(list(values.values()), LEVEL)
            found.append((*key, low, high, spread.mean, spread.sd, spread.n))
    return pd.DataFrame(found, columns=COLUMNS)


def held(runs: Collection[Run], known: pd.DataFrame | None = None) -> pd.DataFrame:
    """Numbers of runs beside their bands.

    Args:
        runs: whose numbers are held to the bands of their configurations, as far as there are any.
        known: of `measured`; None: the workbook's own (`file`), and none where that is not there.

    Returns:
        Columns method, number, value, low (of a score at least 0), high, mean, seeds: a row for each number that has a
        band, of the runs in their order.

    Raises:
        MovedError: a number lies outside its band.
    """
    rows, moved = [], []
    for run in runs:
        values = numbers(run)
        for band in _of(run, known):
            row = band | {"value": values.get(band["number"], math.nan)}
            rows.append(row)
            if not row["low"] <= row["value"] <= row["high"]:
                moved.append(
                    "{method}, {number}: {value:.4g}, where {seeds} seeds make it {low:.4g} to {high:.4g}".format(**row)
                )
    if moved:
        raise MovedError(
            f"{len(moved)} of {len(rows)} numbers have moved: {'; '.join(moved)}. By chance one in "
            f"{1 / (1 - LEVEL):.0f} does. If a change was meant to move them, measure the bands again "
            "(`picie grid bands`, then `picie bands`), and say so in CHANGELOG.md under Results changed"
        )
    return pd.DataFrame(rows, columns=["method", "number", "value", "low", "high", "mean", "seeds"])


def over_seeds(runs: Iterable[Run], score: str = "mIoU", known: pd.DataFrame | None = None) -> pd.DataFrame:
    """What the seeds that bands were measured on say of the configurations of some runs.

    Args:
        runs: of any configurations; those without a band are left out.
        score: of `SCORES`.
        known: as in `held`.

    Returns:
        A row a configuration, highest mean first: method, the score (its mean, percent), mean from and mean to (the
        95 % interval of the mean), one run from and one run to (where one more seed lies with probability 0.95), seeds.
    """
    rows = []
    for run in runs:
        for band in _of(run, known):
            if band["number"] == score:
                mean, sd, n = band["mean"], band["sd"], band["seeds"]
                spans = [stats.t.interval(0.95, n - 1, mean, sd * math.sqrt(part + 1 / n)) for part in (0, 1)]
                ends = [_least(score, float(end)) for span in spans for end in span]
                rows.append([band["method"], mean, *ends, n])
    columns = ["method", score, "mean from", "mean to", "one run from", "one run to", "seeds"]
    return pd.DataFrame(rows, columns=columns).sort_values(score, ascending=False, ignore_index=True)


def _of(run: Run, known: pd.DataFrame | None) -> list[dict[str, Any]]:
    """The bands of a run's configuration, of all that are `known`; scores' begin at 0."""
    bands = _committed() if known is None else known
    rows = bands.loc[bands["digest"] == records.digest(run.settings), :].to_dict(orient="records")
    return [row | {"low": _least(row["number"], row["low"])} for row in rows]


def _least(number: str, low: float) -> float:
    return max(0.0, low) if number in SCORES else low


def _committed() -> pd.DataFrame:
    place = file()
    return pd.read_csv(place, dtype={"digest": str}) if place.is_file() else pd.DataFrame(columns=COLUMNS)
