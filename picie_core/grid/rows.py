"""A grid's rows as tables: what its runs scored, the paper's numbers beside them, and what each row changes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from picie_core import provenance, records, tables
from picie_core.grid.plan import Grid, Row
from picie_core.metrics import seeds
from picie_core.settings import Settings
from picie_core.tables import published

METRICS = {
    "accuracy": "accuracy", "mIoU": "mean_iou",
    "C-accuracy": "accuracy, clustered", "C-mIoU": "mean_iou, clustered",
    "mIoU of objects": "mean_iou, objects", "mIoU of objects, by vote": "mean_iou, objects, majority vote",
}  # fmt: skip
"""What a table calls a score -> what `records.tidy` does."""

PUBLISHED = {"mIoU of objects": "mIoU", "mIoU of objects, by vote": "mIoU"}
"""What a published table calls a score, where it has another name: all of COMUS's are of objects."""

SCORES = ("accuracy", "mIoU")
"""The scores that every run has."""

EFFECT = ["row", "difference", "low", "high", "p", "seeds", "paper", "agrees", provenance.COLUMN]
"""Columns of `effects`."""


def scores(grid: Grid, tidy: pd.DataFrame, metric: str = "mean_iou") -> Mapping[str, Mapping[int, float]]:
    """The scores of a grid's rows by seed, percent: row -> seed -> value. A row without runs has none.

    Args:
        grid: its settings decide which runs are a row's, in whatever words they were given.
        tidy: rows of `records.tidy`, or of `lists.committed`.
        metric: of `records.tidy`.
    """
    found = tables.latest(pd.DataFrame(tidy[tidy["metric"] == metric]))
    by_digest = {
        digest: dict(zip(group["seed"].tolist(), group["value"].tolist(), strict=True))
        for digest, group in found.groupby("digest")
    }
    return {row.name: by_digest.get(_digest(row), {}) for row in grid.rows}


def beside(grid: Grid, tidy: pd.DataFrame, shown: Sequence[str] = SCORES) -> pd.DataFrame:
    """A grid's rows, each with ours and, where it has one, the published number.

    Args:
        grid, tidy: see `scores`.
        shown: which of `METRICS`.

    Returns:
        Columns row, seeds, then for each score: ours (mean ± sd [95 % interval]), paper; and verdict, on mIoU or, where
        that is not shown, the first (see `published.verdict`): `not run`, `other data`, ...; empty where nothing is
        published; runs (see `provenance`). A grid of which nothing is published has neither paper nor verdict.
    """
    found = []
    ours = {name: scores(grid, tidy, METRICS[name]) for name in shown}
    main = "mIoU" if "mIoU" in shown else shown[0]
    printed = any(row.published for row in grid.rows)
    for row in grid.rows:
        values = {name: list(ours[name][row.name].values()) for name in shown}
        run = ", ".join(map(str, sorted(ours[main][row.name])))
        line: dict[str, Any] = {"row": row.name, "seeds": run or "not run"}
        for name in shown:
            line[name] = tables.mean_and_interval(values[name])
            if printed:
                line[f"{name}, paper"] = number(row, name)
        if row.published:
            line["verdict"] = published.verdict(values[main], number(row, main), _same_data(row, tidy))
        elif printed:
            line["verdict"] = ""
        found.append(line | {provenance.COLUMN: _behind(ours[main], row)})
    return pd.DataFrame(found)


def effects(grid: Grid, tidy: pd.DataFrame, against: str, score: str = "mIoU") -> pd.DataFrame:
    """What each row changes, seed by seed, against one of them.

    Args:
        grid, tidy: see `scores`.
        against: the row that the others are compared with.
        score: one of `METRICS`.

    Returns:
        Columns row, difference (row - against on the seeds that both have, percent points), low, high (95 % interval of
        its mean; nan for one seed), p (paired t-test, of each row alone, not corrected for their number), seeds, paper
        (the same difference of the published numbers; nan where one of the two has none), agrees: `yes` or `no` where
        the interval excludes 0 and the paper has a difference, else `undecided`; `not run` where one of the two rows
        was not, and `no common seed`; runs (those compared, see `provenance`).
    """
    by_row = scores(grid, tidy, METRICS[score])
    rows = {row.name: row for row in grid.rows}
    found = []
    for name, row in rows.items():
        if name == against:
            continue
        paper = number(row, score) - number(rows[against], score)
        first, second = by_row[name], by_row[against]
        missing = "no common seed" if first and second else "not run"
        line: dict[str, Any] = {"row": name, "paper": paper, "agrees": missing, "seeds": ""}
        if set(first) & set(second):
            result = seeds.compare(first, second)
            line |= result.row | {"agrees": _agrees(result.verdict, paper)}
            compared = [(_digest(each), seed) for each in (row, rows[against]) for seed in result.seeds]
            line |= {provenance.COLUMN: provenance.behind(compared)}
        found.append(line)
    return pd.DataFrame(found, columns=EFFECT)


def paired(grid: Grid, tidy: pd.DataFrame, against: str, score: str = "mIoU") -> pd.DataFrame:
    """`effects` with the two means behind each difference, on the seeds that both have: a row of three seeds beside
    three seeds of a reference that has ten.

    Args:
        grid, tidy, against, score: see `effects`.

    Returns:
        Its columns and, after the first, `score` (the row's mean, percent) and `reference` (that of `against`), whose
        difference is `difference`; nan where nothing was compared.
    """
    by_seed = pd.DataFrame(scores(grid, tidy, METRICS[score]))
    found = effects(grid, tidy, against, score)
    means = [by_seed[[name, against]].dropna().mean().tolist() for name in found["row"]]
    found.insert(1, score, [mean for mean, _ in means])
    found.insert(2, "reference", [mean for _, mean in means])
    return found


def nearest(grid: Grid, tidy: pd.DataFrame, against: str, table: str) -> pd.DataFrame:
    """Which published rows our rows lie near, where the paper's flags are lost: distances of changes.

    Each row is the point (change of accuracy, change of mIoU) from `against`; so is each published row from the one
    that `against` stands beside. Changes, not scores, because ours may be of other data.

    Args:
        grid, tidy, against: see `effects`.
        table: the published table.

    Returns:
        A row for each of ours that was run, a column for each published row but that of `against`: the distance in
        percent points; `nearest`, the published row at the smallest one; and runs (see `provenance`).
    """
    base = {row.name: row for row in grid.rows}[against]
    change = {score: _by_row(found := effects(grid, tidy, against, score), "difference") for score in SCORES}
    runs = _by_row(found, provenance.COLUMN)
    rows = published.read(table)
    theirs = {
        str(name): dict(zip(group["metric"].tolist(), group["value"].tolist(), strict=True))
        for name, group in rows.groupby("method")
    }
    origin = theirs.pop((base.published or {})["method"])
    lines = []
    for name in change["mIoU"]:
        here = [change[score][name] for score in SCORES]
        distances = {
            other: math.dist(here, [values[score] - origin[score] for score in SCORES])
            for other, values in theirs.items()
        }
        closest = min(distances, key=lambda other: distances[other])
        lines.append({"row": name} | distances | {"nearest": closest, provenance.COLUMN: runs[name]})
    return pd.DataFrame(lines, columns=["row", *theirs, "nearest", provenance.COLUMN])


def number(row: Row, score: str) -> float:
    """The published number that a row stands beside, percent; nan where there is none."""
    if row.published is None:
        return math.nan
    table = published.read(row.published["table"])
    for name in ("method", "setting"):
        if name in row.published:
            table = table.loc[table[name] == row.published[name]]
    metric = row.published.get("metric", PUBLISHED[score]) if score in PUBLISHED else score
    values: Sequence[float] = table.loc[table["metric"] == metric, "value"].tolist()
    return values[0] if values else math.nan


def _by_row(table: pd.DataFrame, column: str) -> dict[str, Any]:
    """A column of `effects`, of the rows that were run."""
    run = table.loc[table["difference"].notna()]
    return dict(zip(run["row"].tolist(), run[column].tolist(), strict=True))


def _behind(scores: Mapping[str, Mapping[int, float]], row: Row) -> str:
    return provenance.behind((_digest(row), seed) for seed in scores[row.name])


def _same_data(row: Row, tidy: pd.DataFrame) -> bool:
    """Whether the row's runs are of the whole data set that its published number is of, scored on its split."""
    mine = tables.latest(pd.DataFrame(tidy[tidy["digest"] == _digest(row)]))
    table = (row.published or {}).get("table", "")
    return published.data_used(mine) == [(published.JOINED | published.GRIDS).get(table)]


def _digest(row: Row) -> str:
    return records.digest(Settings(**row.settings))


def _agrees(verdict: str, paper: float) -> str:
    if math.isnan(paper) or not paper or verdict == "undecided":
        return "undecided"
    return "yes" if (verdict == "higher") == (paper > 0) else "no"
