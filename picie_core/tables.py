"""Tables: results over seeds, and results beside the paper's."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy import stats

from picie_core import places, records
from picie_core.records import Run
from picie_core.settings import Settings

NAMES = {
    "picie": "PiCIE", "picie+H": "PiCIE+H", "deepcluster": "modified DeepCluster", "iic": "IIC",
    "iic-res12": "IIC-res12", "iic-res12_layer2": "IIC-res12 with layer2", "supervised": "supervised",
    "untrained": "no training, k-means", "untrained-linear": "no training, linear", "rgb": "k-means on RGB",
    "position": "k-means on position", "random": "random partition",
}  # fmt: skip
"""What tables call a method."""

COLUMNS = ["dataset", "method", "recipe", "accuracy mean", "accuracy sd", "mIoU mean", "mIoU sd", "seeds", "seconds",
           "settings"]  # fmt: skip
"""Of `over_seeds`."""

MACHINE = {"data_root", "weights_file", "runs_root", "device", "workers", "views_memory", "fresh", "keep_checkpoint"}
"""Settings that say where a run is made, and nothing about what it is."""

PAPER_NAMES = {"picie": "PiCIE", "picie+H": "PiCIE+H", "untrained": "No Train"}


def over_seeds(tidy: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread over seeds.

    Args:
        tidy: rows of `records.tidy`.

    Returns:
        One row per (dataset, method, recipe, explicit settings): n seeds, accuracy and mIoU as mean and sd (ddof 1, nan
        for one seed), percent; mean seconds. Best mIoU first. Of runs that differ in nothing but their key (older code
        or other data), the last one counts.
    """
    if tidy.empty:
        return pd.DataFrame(columns=COLUMNS)
    group_by = ["dataset", "method", "recipe", "explicit"]
    tidy = tidy.assign(explicit=tidy["explicit"].map(_without_seed))
    tidy = tidy.drop_duplicates([*group_by, "seed", "metric"], keep="last")
    rows = []
    for key, group in tidy.groupby(group_by):
        dataset, method, recipe, explicit = cast(tuple[str, str, str, str], key)
        row = {"dataset": dataset, "method": NAMES.get(method, method), "recipe": recipe}
        for metric, label in (("accuracy", "accuracy"), ("mean_iou", "mIoU")):
            values = group.loc[group["metric"] == metric, "value"]
            row |= {f"{label} mean": values.mean(), f"{label} sd": values.std(ddof=1)}
        seconds = group.drop_duplicates("seed")["seconds"]
        rows.append(row | {"seeds": len(seconds), "seconds": seconds.mean(), "settings": explicit})
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["dataset", "mIoU mean"], ascending=[True, False], ignore_index=True)


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

    Raises:
        ValueError: a method's runs are of several data sets or settings, whose mean would mean nothing; or the
            published table has several numbers for one method and metric, so that it is not clear which is meant.
    """
    ours = tidy.assign(metric=tidy["metric"].replace({"mean_iou": "mIoU"}))
    rows = []
    theirs = published(table)
    for method, name in PAPER_NAMES.items():
        match = pd.DataFrame(theirs[(theirs["method"] == name) & ~theirs["setting"].str.contains("Linear", na=False)])
        if match["metric"].duplicated().any():
            settings = "; or ".join(sorted(set(match["setting"].astype(str))))
            raise ValueError(f"{table} has more than one number for {name} and one metric: {settings}")
        _check_alike(pd.DataFrame(ours[ours["method"] == method]))
        for _, line in match.iterrows():
            mine = ours[(ours["method"] == method) & (ours["metric"] == line["metric"])]
            values = mine["value"].tolist()
            used = "".join(set(mine["dataset"]))
            rows.append(
                {
                    "method": NAMES[method],
                    "metric": line["metric"],
                    "paper": line["value"],
                    "paper's data": data,
                    "ours": _mean_and_sd(values),
                    "our data": used,
                    "verdict": verdict(values, float(cast(float, line["value"])), same_data=used == data),
                }
            )
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """A table as GitHub's Markdown; numbers with one decimal."""
    cells = table.map(lambda v: f"{v:.1f}" if isinstance(v, float) and not math.isnan(v) else "" if v != v else str(v))
    lines = [list(map(str, table.columns)), ["---"] * len(table.columns), *cells.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def as_text(table: pd.DataFrame) -> str:
    """`over_seeds` for a terminal; of the settings, those in which the rows differ."""
    given = [json.loads(text) for text in table["settings"]]
    names = sorted({name for row in given for name in row} - {"method", "dataset", "recipe"})
    differ = [name for name in names if len({json.dumps(row.get(name)) for row in given}) > 1]
    notes = [", ".join(f"{name}={row[name]}" for name in differ if row.get(name) is not None) for row in given]
    shown = table.drop(columns=["settings"]).assign(settings=notes) if differ else table.drop(columns=["settings"])
    return shown.to_string(index=False, float_format=lambda v: f"{v:.1f}", na_rep="") + "\n"


def every_run(runs: Iterable[Run]) -> pd.DataFrame:
    """One row a finished run, to be read and to be made again.

    Returns:
        Columns dataset, method, recipe, seed, scored (the split), accuracy, mIoU (percent; none without labels),
        seconds, commit (of the code; `+` after it: with changes of its own), command. Sorted by the first four.
    """
    rows = []
    for run in runs:
        s, scores = run.settings, run.scores
        rows.append(
            {
                "dataset": s.dataset,
                "method": NAMES.get(name := records.method_name(s), name),
                "recipe": s.recipe,
                "seed": s.seed,
                "scored": s.scored_split,
                "accuracy": scores and round(scores.accuracy, 2),
                "mIoU": scores and round(scores.mean_iou, 2),
                "seconds": round(run.result["seconds"], 1),
                "commit": (run.result["commit"] or "")[:12] + "+" * (run.result["commit"] or "").endswith("+"),
                "command": command(s),
            }
        )
    columns = ["dataset", "method", "recipe", "seed", "scored", "accuracy", "mIoU", "seconds", "commit", "command"]
    return pd.DataFrame(rows, columns=columns).sort_values([*columns[:4], "command"], ignore_index=True)


def command(settings: Settings) -> str:
    """The command line that makes a run of these settings; `DIR` stands for the folder of the data."""
    given = {name: settings.values()[name] for name in settings.explicit if name not in MACHINE}
    given |= {"data_root": "DIR"} if settings.data_root else {}
    return " ".join(["picie run 00 -p overrides={}", *(f"-p {n}={_plain(v)}" for n, v in sorted(given.items()))])


def results(root: Path | None = None) -> pd.DataFrame:
    """Tidy rows of every finished run under a runs' root (default: the workbook's)."""
    return records.tidy(records.finished(root or places.runs_root()))


def _without_seed(explicit: str) -> str:
    return json.dumps({k: v for k, v in json.loads(explicit).items() if k not in MACHINE | {"seed"}}, sort_keys=True)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool | None) else f"{value}"


def _check_alike(runs: pd.DataFrame) -> None:
    """Refuse to join the runs of one method that are of several data sets or settings."""
    kinds = {"data sets": runs["dataset"], "recipes": runs["recipe"], "settings": runs["explicit"].map(_without_seed)}
    for what, values in kinds.items():
        if len(different := sorted(set(values))) > 1:
            raise ValueError(
                f"the runs of {runs['method'].iloc[0]} are of {len(different)} {what}: {', or '.join(different)}. "
                "Their mean would mean nothing: select one"
            )


def _mean_and_sd(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread} (n = {len(values)})"
