"""Tables: results over seeds, and results beside the paper's."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from picie_core import places, records

NAMES = {
    "picie": "PiCIE", "picie+H": "PiCIE+H", "untrained": "no training, k-means", "rgb": "k-means on RGB",
    "position": "k-means on position", "random": "random partition",
}  # fmt: skip
"""What tables call a method."""

PAPER_NAMES = {"picie": "PiCIE", "picie+H": "PiCIE+H", "untrained": "No Train"}


def over_seeds(tidy: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread over seeds.

    Args:
        tidy: rows of `records.tidy`.

    Returns:
        One row per (dataset, method, recipe, explicit settings): n seeds, accuracy and mIoU as mean and sd (ddof 1, nan
        for one seed), percent; mean seconds. Best mIoU first.
    """
    settings = tidy["explicit"].map(_without_seed)
    rows = []
    for (dataset, method, recipe, explicit), group in tidy.assign(explicit=settings).groupby(
        ["dataset", "method", "recipe", "explicit"]
    ):
        row = {"dataset": dataset, "method": NAMES.get(method, method), "recipe": recipe}
        for metric, label in (("accuracy", "accuracy"), ("mean_iou", "mIoU")):
            values = group.loc[group["metric"] == metric, "value"]
            row |= {f"{label} mean": values.mean(), f"{label} sd": values.std(ddof=1)}
        by_seed = group.drop_duplicates(["seed", "key"])
        row |= {"seeds": by_seed["seed"].nunique(), "seconds": by_seed["seconds"].mean(), "settings": explicit}
        rows.append(row)
    return pd.DataFrame(rows).sort_values(["dataset", "mIoU mean"], ascending=[True, False], ignore_index=True)


def prediction_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Where one more run would lie with the given probability: mean ± t_{n-1} sd sqrt(1 + 1/n); nan for n < 2."""
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    half = stats.t.ppf((1 + level) / 2, n - 1) * np.std(values, ddof=1) * math.sqrt(1 + 1 / n)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def verdict(values: Sequence[float], published: float, same_data: bool) -> str:
    """What our runs say about a published number.

    Returns:
        `not run` without values; `other data`; `too few seeds` below 5; `reproduced` when the published value lies in
        our 95 % prediction interval for one run and within 1 point of our mean; `within noise` in the interval only;
        else `not reproduced`.
    """
    if not len(values):
        return "not run"
    if not same_data:
        return "other data"
    if len(values) < 5:
        return "too few seeds"
    low, high = prediction_interval(values)
    if not low <= published <= high:
        return "not reproduced"
    return "reproduced" if abs(published - float(np.mean(values))) <= 1 else "within noise"


def published(table: str) -> pd.DataFrame:
    """A table of published numbers, `data/paper/<table>.csv`: source, table, method, dataset, split, setting, metric,
    value, note.

    Raises:
        FileNotFoundError: there is no such table; the message names those there are.
    """
    folder = places.data_folder() / "paper"
    file = folder / f"{table}.csv"
    if not file.is_file():
        known = ", ".join(sorted(f.stem for f in folder.glob("*.csv")))
        raise FileNotFoundError(f"no published table {table!r} in {folder}; there are: {known}")
    return pd.read_csv(file)


def beside_paper(tidy: pd.DataFrame, table: str, data: str) -> pd.DataFrame:
    """The paper's numbers beside ours, a row for each method and metric of a published table that we have a name for.

    Args:
        tidy: rows of `records.tidy`, of one data set and one set of settings a method.
        table: a file of `data/paper/`, e.g. `picie_table1_coco_all`.
        data: the data set that the table is of, e.g. `coco27`; numbers of any other are `other data`.
    """
    ours = tidy.assign(metric=tidy["metric"].replace({"mean_iou": "mIoU"})) if len(tidy) else tidy
    rows = []
    theirs = published(table)
    for method, name in PAPER_NAMES.items():
        match = theirs[(theirs["method"] == name) & ~theirs["setting"].str.contains("Linear", na=False)]
        for _, line in match.iterrows():
            mine = ours[(ours["method"] == method) & (ours["metric"] == line["metric"])] if len(ours) else ours
            values = mine["value"].tolist() if len(mine) else []
            used = ", ".join(sorted(set(mine["dataset"]))) if len(mine) else ""
            rows.append(
                {
                    "method": NAMES[method],
                    "metric": line["metric"],
                    "paper": line["value"],
                    "paper's data": data,
                    "ours": _mean_and_sd(values),
                    "our data": used,
                    "verdict": verdict(values, line["value"], same_data=used == data),
                }
            )
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """A table as GitHub's Markdown; numbers with one decimal."""
    cells = table.map(lambda v: f"{v:.1f}" if isinstance(v, float) and not math.isnan(v) else "" if v != v else str(v))
    lines = [list(map(str, table.columns)), ["---"] * len(table.columns), *cells.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def as_text(table: pd.DataFrame) -> str:
    """`over_seeds` for a terminal."""
    shown = table.drop(columns=["settings"])
    return shown.to_string(index=False, float_format=lambda v: f"{v:.1f}", na_rep="") + "\n"


def results(root: Path | None = None) -> pd.DataFrame:
    """Tidy rows of every finished run under a runs' root (default: the workbook's)."""
    return records.tidy(records.finished(root or places.runs_root()))


def _without_seed(explicit: str) -> str:
    places_and_seed = {"seed", "data_root", "runs_root", "device", "workers", "fresh", "keep_checkpoint"}
    return json.dumps({k: v for k, v in json.loads(explicit).items() if k not in places_and_seed}, sort_keys=True)


def _mean_and_sd(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread} (n = {len(values)})"
