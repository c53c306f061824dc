"""Tables: results over seeds, run by run, and as text. Beside the paper's: see `published`."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from picie_core import files, places, provenance, records
from picie_core.datasets import Prepared
from picie_core.errors import WorkbookError
from picie_core.metrics import seeds, selection
from picie_core.records import MACHINE, Run
from picie_core.settings import Settings, text


class JoinError(WorkbookError, ValueError):
    """Results that do not belong into one table; the message says which to leave out."""


NAMES = {
    "picie": "PiCIE", "picie+H": "PiCIE+H", "deepcluster": "modified DeepCluster", "iic": "IIC",
    "iic-res12": "IIC-res12", "iic-res12_layer2": "IIC-res12 with layer2", "supervised": "supervised",
    "untrained": "no training, k-means", "untrained-linear": "no training, linear", "rgb": "k-means on RGB",
    "untrained-last": "no training, last level",
    "position": "k-means on position", "random": "random partition",
}  # fmt: skip
"""What tables call a method."""

ROWS: Mapping[str, Mapping[str, Any]] = {
    "untrained-linear": {"method": "untrained", "classifier": "parametric"}, "untrained": {"method": "untrained"},
    "deepcluster": {"method": "deepcluster"},
    "iic-res12": {"method": "iic", "trunk": "res12", "backbone": "resnet18"},  # of a ResNet-18, whatever the others are
    "iic": {"method": "iic"}, "picie": {"method": "picie"}, "picie+H": {"method": "picie", "num_overclusters": 100},
    "supervised": {"method": "supervised"}, "rgb": {"method": "rgb"}, "position": {"method": "position"},
    "random": {"method": "random"},
}  # fmt: skip
"""The rows of the paper's tables, and what they are read against, by `records.method_name`: the settings that make each
of any settings (`Settings.replace`)."""

STATISTICS = ["mean", "sd", "low", "high"]
"""Of the scores of several seeds: mean, standard deviation, 95 % interval of the mean (see `seeds.Spread`)."""

COLUMNS = ["dataset", "method", "recipe", *(f"accuracy {name}" for name in STATISTICS),
           *(f"mIoU {name}" for name in STATISTICS), "seeds", "seconds", "settings", provenance.COLUMN]  # fmt: skip
"""Of `over_seeds`."""


def over_seeds(tidy: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread over seeds.

    Args:
        tidy: rows of `records.tidy`.

    Returns:
        One row per configuration (data set and resolved settings but for the seed, in whatever words they were given):
        n seeds, accuracy and mIoU as mean, sd (ddof 1) and 95 % interval of the mean, percent, all but the mean nan for
        one seed; mean seconds; the explicit settings as JSON in the fewest words; the runs (see `provenance`).
        Best mIoU first. Of runs that differ in nothing but their key (older code or other data), the last one counts.
    """
    rows = []
    for _, group in latest(tidy).groupby("digest", sort=False):
        # Where the words differ, `recipe` may too: those of one row, the shortest, are shown.
        given = zip(group["explicit"].map(words), group["recipe"], strict=True)
        said, recipe = min(given, key=lambda row: (len(row[0]), row))
        method = group["method"].iloc[0]
        row = {"dataset": group["dataset"].iloc[0], "method": NAMES.get(method, method), "recipe": recipe}
        for metric, label in (("accuracy", "accuracy"), ("mean_iou", "mIoU")):
            found = seeds.spread(group.loc[group["metric"] == metric, "value"].tolist())
            row |= {f"{label} {name}": getattr(found, name) for name in STATISTICS}
        seconds = group.drop_duplicates("seed")["seconds"]
        row |= {"seeds": len(seconds), "seconds": seconds.mean(), "settings": said}
        rows.append(row | {provenance.COLUMN: provenance.behind(zip(group["digest"], group["seed"], strict=True))})
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["dataset", "mIoU mean"], ascending=[True, False], ignore_index=True)


def of_settings(tidy: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Of many runs, those that make up a table: of these settings, a configuration for each of `ROWS`.

    Args:
        tidy: rows of `records.tidy`, of anything.
        settings: of any method and seed.
    """
    digests = {records.digest(settings.replace(**row)) for row in ROWS.values()}
    return pd.DataFrame(tidy[tidy["digest"].isin(list(digests))])


def of_method(tidy: pd.DataFrame, method: str | None) -> pd.DataFrame:
    """The rows of one method, by `records.method_name`; of None, none.

    Raises:
        JoinError: they are of several settings, whose mean would mean nothing.
    """
    runs = pd.DataFrame(tidy[tidy["method"] == method])
    if (count := len(set(runs["digest"]))) > 1:
        found = sorted({f"{d} {words(text)}" for d, text in zip(runs["digest"], runs["explicit"], strict=True)})
        raise JoinError(
            f"the runs of {method} are of {count} settings: {', or '.join(found)}. Their mean would "
            "mean nothing: select those of one digest"
        )
    return runs


def by_seed(runs: pd.DataFrame, metric: str) -> dict[int, float]:
    """Seed -> the value of a metric, of rows of one configuration."""
    mine = runs[runs["metric"] == metric]
    return dict(zip(mine["seed"].tolist(), mine["value"].tolist(), strict=True))


def changes(before: pd.DataFrame, after: pd.DataFrame, metric: str = "mean_iou") -> pd.DataFrame:
    """What one setting changes in each method: two sets of runs, compared on the seeds that both have.

    Args:
        before, after: rows of `records.tidy`, each of one configuration a method.
        metric: of `records.tidy`.

    Returns:
        A row for each method of `ROWS`, in that order, with a seed in both: method, difference (after - before, percent
        points), low, high, p (see `seeds.compare`; of each row alone), seeds (those compared), runs (see `provenance`).

    Raises:
        JoinError: see `of_method`.
    """
    return _compared({method: (of_method(after, method), of_method(before, method)) for method in ROWS}, metric)


def margins(tidy: pd.DataFrame, method: str, metric: str = "mean_iou") -> pd.DataFrame:
    """How far one method's score lies above each of the others', on the seeds that both have.

    Args:
        tidy: rows of `records.tidy`, of one configuration a method.
        method: by `records.method_name`.
        metric: of `records.tidy`.

    Returns:
        As `changes`; the difference is that method - the row's.

    Raises:
        JoinError: see `of_method`; or that method has no run.
    """
    own = of_method(tidy, method)
    if own.empty:
        raise JoinError(f"no run of {method!r} to compare with; there are: {', '.join(sorted(set(tidy['method'])))}")
    return _compared({other: (own, of_method(tidy, other)) for other in ROWS if other != method}, metric)


def _compared(pairs: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], metric: str) -> pd.DataFrame:
    rows = []
    for method, kinds in pairs.items():
        first, second = (by_seed(latest(runs), metric) for runs in kinds)
        if not set(first) & set(second):
            continue
        found = seeds.compare(first, second)
        compared = provenance.behind((runs["digest"].iloc[0], seed) for runs in kinds for seed in found.seeds)
        rows.append({"method": NAMES[method]} | found.row | {provenance.COLUMN: compared})
    return pd.DataFrame(rows, columns=["method", "difference", "low", "high", "p", "seeds", provenance.COLUMN])


def latest(tidy: pd.DataFrame) -> pd.DataFrame:
    """Of runs that differ in nothing but their key, the last."""
    return tidy.drop_duplicates(["digest", "seed", "metric"], keep="last")


def words(explicit: str) -> str:
    """The explicit settings of a row of `records.tidy` without seed and machine, as JSON."""
    return json.dumps({k: v for k, v in json.loads(explicit).items() if k not in MACHINE | {"seed"}}, sort_keys=True)


def last_and_best(runs: Iterable[Run], metric: str = "mean_iou") -> pd.DataFrame:
    """`selection.last_and_best` of every run that has epochs: dataset, method, seed, and its columns."""
    found = []
    for run in runs:
        table = selection.last_and_best(run.progress, metric)
        method = records.method_name(run.settings)
        heads = (("dataset", run.data_name), ("method", NAMES.get(method, method)), ("seed", run.settings.seed))
        for place, (name, value) in enumerate(heads):
            table.insert(place, name, value)
        found.append(table)
    found = [table for table in found if not table.empty]
    columns = ["dataset", "method", "seed", *selection.COLUMNS]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)


def iou_by_class(runs: Iterable[Run]) -> pd.DataFrame:
    """The IoU of each class in percent, of one run a method.

    Returns:
        Columns class, one for each scored run (its method's name), and runs (see `provenance`), in the order of the
        columns.

    Raises:
        JoinError: the runs are of several data sets, whose classes differ, or several of one method.
    """
    columns: dict[str, Any] = {}
    scored = []
    runs = list(runs)
    if len(found := sorted({run.data_name for run in runs})) > 1:
        raise JoinError(f"the runs are of {len(found)} data sets, {', '.join(found)}: give those of one of them alone")
    for run in runs:
        if run.scores and run.classes:
            name = records.method_name(run.settings)
            if (column := NAMES.get(name, name)) in columns:
                raise JoinError(f"two runs of {column}, and a column for one: give one run a method, of one seed")
            columns |= {"class": run.classes.names, column: run.scores.iou}
            scored.append((records.digest(run.settings), run.settings.seed))
    return pd.DataFrame(columns).assign(**{provenance.COLUMN: provenance.behind(scored)})


def pixels_by_class(data: Prepared, split: str) -> pd.DataFrame:
    """Share of a labelled split's pixels by class: columns `class`, `share` (percent), `kind`, `split`."""
    _, classes = data.need_labels()
    counts = np.array([entry["pixels"] for entry in data.manifest["frequencies"]])[: len(classes)]
    kinds = ["thing" if k in classes.things else "stuff" for k in range(len(counts))]
    shares = 100 * counts / counts.sum()
    return pd.DataFrame({"class": classes.names, "share": shares, "kind": kinds, "split": split})


def behind(runs: Iterable[Run]) -> str:
    """What the column of runs holds for a number that was made of these (see `provenance`)."""
    return provenance.behind((records.digest(run.settings), run.settings.seed) for run in runs)


def shown(table: pd.DataFrame, digits: int = 2) -> pd.DataFrame:
    """A table for people who read a notebook: rounded, and without the column that names its runs."""
    return table.drop(columns=provenance.COLUMN, errors="ignore").round(digits)


def by_epoch(record: pd.DataFrame) -> pd.DataFrame:
    """A record of epochs, whose column `epoch` counts from 0, for people: each row by its epoch's number from 1 on, as
    figures count."""
    return record.assign(epoch=record["epoch"] + 1).set_index("epoch")


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """`over_seeds` for people: accuracy and mIoU as "mean ± sd [95 % interval]", one decimal; seconds whole; of the
    settings, those in which the rows differ, if any."""
    given = [json.loads(words) for words in table["settings"]]
    names = sorted({name for row in given for name in row} - {"method", "dataset", "recipe"})
    differ = [name for name in names if len({repr(row.get(name, ...)) for row in given}) > 1]
    notes = [", ".join(f"{name}={text(row[name])}" for name in differ if name in row) for row in given]
    shown = pd.DataFrame(table, columns=["dataset", "method", "recipe"])
    for score in ("accuracy", "mIoU"):
        columns = [f"{score} {name}" for name in STATISTICS]
        shown[score] = [_spread_as_text(*row) for row in table[columns].itertuples(index=False)]
    shown["seeds"], shown["seconds"] = table["seeds"], table["seconds"].map("{:.0f}".format)
    return shown.assign(settings=notes) if differ else shown


def as_text(table: pd.DataFrame) -> str:
    """`readable` for a terminal, and below it the settings that all rows were given alike."""
    given = [json.loads(words) for words in table["settings"]]
    first = given[0] if given else {}
    alike = {n: v for n, v in first.items() if n not in COLUMNS and all(row.get(n, ...) == v for row in given)}
    shown = readable(table)
    if "settings" in shown:  # to the left, as the words that they are
        width = shown["settings"].str.len().max()
        shown["settings"] = shown["settings"].str.ljust(width)
    note = f"all rows: {', '.join(f'{name}={text(value)}' for name, value in alike.items())}\n" if alike else ""
    lines = [line.rstrip() for line in shown.to_string(index=False).splitlines()]
    return "\n".join(lines) + "\n" + note


def save(table: pd.DataFrame, folder: Path, name: str) -> Path:
    """Write a table as `folder/name.csv`, at once."""
    files.write(folder / f"{name}.csv", table.to_csv(index=False))
    return folder / f"{name}.csv"


def results(root: Path | None = None) -> pd.DataFrame:
    """Tidy rows of every finished run under a runs' root (default: the workbook's)."""
    return records.tidy(records.finished(root or places.runs_root()))


def mean_and_interval(values: Sequence[float]) -> str:
    """Scores of several seeds as "mean ± sd [95 % interval of the mean]"; of none the empty string."""
    if not values:
        return ""
    found = seeds.spread(values)
    return _spread_as_text(found.mean, found.sd, found.low, found.high)


def _spread_as_text(mean: float, sd: float, low: float, high: float) -> str:
    return f"{mean:.1f}" + ("" if math.isnan(sd) else f" ± {sd:.1f} [{low:.1f}, {high:.1f}]")
