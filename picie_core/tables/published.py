"""The published numbers, and ours beside them."""

import json
import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from picie_core import places, provenance, tables
from picie_core.datasets.registry import DATASETS
from picie_core.metrics import seeds
from picie_core.settings import Settings

JOINED = {
    "picie_table1_coco_all": "coco27", "picie_table2_partition": "coco27", "picie_table3_cityscapes": "cityscapes27",
    "picie_table4_coco_stuff15_scratch": "coco_stuff15",
}  # fmt: skip
"""The published tables of methods, which our runs have counterparts of by name, and the data set that each is of."""

GRIDS = {
    "picie_table5_ablation1": "coco27", "picie_table6_ablation2": "coco27", "picie_supp_table1_iic_lambda": "coco27",
    "picie_table7_transfer": "coco27", "picie_table8_retraining": "coco27", "comus_table2_voc2007": None,
    "comus_table3_coco": "coco81", "comus_table5_ablation": "voc21", "comus_table7_saliency": "voc21",
    "comus_table8_overclustering": "voc21",
}  # fmt: skip
"""The published tables whose rows are those of a grid file, and the data set that each is of. (None: none here. COMUS's
Table 2 is of VOC 2007's test split, by a network that learned VOC 2012.)"""

WHOLE = {"train_images": None, "val_images": None, "train_split": "train", "scored_split": "val"}
"""The settings by which a run sees the whole of a data set, by its usual splits, where its folder holds all of it."""

COUNTERPARTS = {
    ("No Train", "classifier=Linear"): "untrained-linear", ("No Train", "classifier=Prototype"): "untrained",
    ("Modified DC", ""): "deepcluster", ("IIC", ""): "iic", ("IIC-res12", ""): "iic-res12", ("PiCIE", ""): "picie",
    ("PiCIE+H", ""): "picie+H",
}  # fmt: skip
"""(the paper's name, how its setting begins) -> ours. Rows taken over from prior work have none.

Ours is the score of fresh prototypes, also of modified DeepCluster, whose row Table 1 calls Linear: the release prints
both, and which one the paper took is not known."""


def verdict(values: Sequence[float], published: float, same_data: bool) -> str:
    """What our runs say about a published number.

    Returns:
        Nothing where nothing is published; `not run` without values; `other data`; `too few seeds` below 5;
        `reproduced` when the published value lies in our 95 % prediction interval for one run and within 1 point of our
        mean; `within noise` in the interval only; else `not reproduced`.
    """
    if math.isnan(published):
        return ""
    if not len(values):
        return "not run"
    if not same_data:
        return "other data"
    if len(values) < 5:
        return "too few seeds"
    low, high = seeds.prediction_interval(values)
    if not low <= published <= high:
        return "not reproduced"
    return "reproduced" if abs(published - seeds.spread(values).mean) <= 1 else "within noise"


def read(table: str) -> pd.DataFrame:
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


def beside(tidy: pd.DataFrame, table: str) -> pd.DataFrame:
    """The paper's numbers beside ours: every row of a published table, whether we ran it or not.

    Args:
        tidy: rows of `records.tidy`, of one data set and one set of settings a method.
        table: one of `JOINED`, e.g. `picie_table1_coco_all`.

    Returns:
        Columns method (the paper's name), setting (the paper's), metric, paper, paper's data, ours (mean ± sd over n
        seeds), difference (our mean - paper; nan for other data), our data, verdict (see `verdict`), runs (see
        `provenance`). Things and stuff are by block. Runs on a part of a data set (see `data_used`), or scored on its
        training split, are of other data.

    Raises:
        ValueError: the runs are of several data sets, or a method's of several settings, whose mean would mean nothing;
            or the table is of something else than what a run is scored by.
    """
    if table not in JOINED:
        raise ValueError(f"{table} has no rows that runs can be set beside; joined are: {', '.join(JOINED)}")
    ours, data = _one_data_set(tidy), JOINED[table]
    rows = []
    columns = ["method", "setting", "metric", "value"]
    for method, setting, metric, value in read(table)[columns].itertuples(index=False):
        mine = _where(tables.of_method(ours, counterpart(method, setting)), "metric", _our_metric(metric, setting))
        values, used = mine["value"].tolist(), "".join(data_used(mine))
        difference = seeds.spread(values).mean - value if values and used == data else math.nan
        row = {"method": method, "setting": setting, "metric": metric, "paper": value, "paper's data": data}
        row |= {"ours": _mean_and_sd(values), "difference": difference, "our data": used}
        row |= {"verdict": verdict(values, value, same_data=used == data)}
        rows.append(row | {provenance.COLUMN: provenance.behind(zip(mine["digest"], mine["seed"], strict=True))})
    return pd.DataFrame(rows)


def candidates(tidy: pd.DataFrame, table: str, settings: Settings) -> pd.DataFrame:
    """Of all runs, those to set beside a published table: of these settings, a configuration for each of `tables.ROWS`.

    Args:
        tidy: rows of `records.tidy`, of anything.
        table: one of `JOINED`.
        settings: of any method; its data set stands in where no run is of the table's own.

    Returns:
        The rows of `tidy` on the table's own data set with these settings otherwise, or, if there are none, on the
        data set of the settings.
    """
    for dataset in (JOINED[table], settings.dataset):
        found = tables.of_settings(tidy, settings.replace(dataset=dataset))
        if len(found):
            break
    return found


def order(tidy: pd.DataFrame, table: str = "picie_table1_coco_all", metric: str = "mIoU") -> pd.DataFrame:
    """Whether the paper's order of the methods holds in our runs, pair by pair.

    Args:
        tidy: as `beside` takes; on any data set, for an order may hold where the numbers do not.
        table: one of `JOINED` with one number a method and metric.
        metric: `mIoU` or `accuracy`, as the paper's table calls it.

    Returns:
        A row for each pair, neighbours first: lower, higher (our names), apart (their places in the paper's order, 1
        for neighbours), paper (their difference there), difference, low, high and p (higher - lower on the seeds that
        both have, see `seeds.compare`; of each pair alone), p of all (see `seeds.holm`: corrected for the number of
        pairs that have a p), seeds (those compared), data, holds: `yes` or `reversed` when the interval, that of the
        pair alone, excludes 0, else `undecided`; `not run` where one of the two has no run; runs (those compared, see
        `provenance`).

    Raises:
        ValueError: as `beside`; or two methods have no seed in common.
    """
    ours = _one_data_set(tidy)
    ranked = list(enumerate(_by_method(table, metric).items()))
    rows = []
    pairs = sorted(combinations(ranked, 2), key=lambda pair: pair[1][0] - pair[0][0])
    for (i, (lower, little)), (j, (higher, much)) in pairs:
        row: dict[str, Any] = {"lower": tables.NAMES[lower], "higher": tables.NAMES[higher]}
        row |= {"apart": j - i, "paper": much - little}
        both = [tables.of_method(ours, name) for name in (higher, lower)]
        first, second = (tables.by_seed(runs, _our_metric(metric, "")) for runs in both)
        if not first or not second:
            rows.append(row | {"holds": "not run"})
            continue
        if not set(first) & set(second):
            raise ValueError(f"{higher} and {lower} have no seed in common: run both on the same seeds")
        found = seeds.compare(first, second)
        row |= found.row | {"data": "".join(data_used(ours))}
        row |= {"holds": {"higher": "yes", "lower": "reversed"}.get(found.verdict, found.verdict)}
        compared = provenance.behind((runs["digest"].iloc[0], seed) for runs in both for seed in found.seeds)
        rows.append(row | {provenance.COLUMN: compared})
    columns = ["lower", "higher", "apart", "paper", "difference", "low", "high", "p", "p of all", "seeds", "data"]
    found = pd.DataFrame(rows, columns=[*columns, "holds", provenance.COLUMN])
    return found.assign(**{"p of all": seeds.holm(found["p"].astype(float).tolist())})


def margins(method: str, table: str = "picie_table1_coco_all", metric: str = "mIoU") -> dict[str, float]:
    """How far one method's number lies above each of the others' in the paper, beside `tables.margins`.

    Args:
        method: by `records.method_name`.
        table, metric: as `order` takes.

    Returns:
        The other method, as tables call it -> that method - the other, percent points; without those that the table
        does not have or we have no counterpart of.

    Raises:
        ValueError: as `order`; or the table has no number of that method.
    """
    theirs = _by_method(table, metric)
    if method not in theirs:
        raise ValueError(f"{table} has no {metric} of {method!r}; there are: {', '.join(sorted(theirs))}")
    return {tables.NAMES[other]: theirs[method] - value for other, value in theirs.items() if other != method}


def counterpart(method: str, setting: str) -> str | None:
    """Our name (see `records.method_name`) of a published row's method; None where we have none."""
    if setting.startswith("section=prior work"):
        return None
    found = [ours for (name, start), ours in COUNTERPARTS.items() if name == method and setting.startswith(start)]
    return found[0] if found else None


def data_used(runs: pd.DataFrame) -> list[str]:
    """The data sets of some rows of `records.tidy`, and what part of each: by the settings, and by the number of images
    where that is known (of lists of runs it is not) and is another than the published split's or a given limit."""
    found = set()
    for data, explicit, images in zip(runs["dataset"], runs["explicit"], runs["images"], strict=True):
        given = {k: v for k, v in json.loads(explicit).items() if k in WHOLE and v != WHOLE[k]}
        whole = DATASETS[places.dataset_of(data)].published
        counts = {
            split: n for split, n in json.loads(images).items() if n not in (whole.get(split, n), *given.values())
        }
        parts = [f"{name}={value}" for name, value in sorted(given.items())]
        parts += [f"{n} of {whole[split]} images of {split}" for split, n in sorted(counts.items())]
        found.add(", ".join([data, *parts]))
    return sorted(found)


def _where(rows: pd.DataFrame, column: str, value: str | None) -> pd.DataFrame:
    return pd.DataFrame(rows[rows[column] == value])


def _by_method(table: str, metric: str) -> dict[str, float]:
    """The published numbers of a metric by our name of the method, lowest first."""
    theirs = _where(read(table), "metric", metric)
    theirs = theirs.assign(name=[counterpart(*row) for row in theirs[["method", "setting"]].itertuples(index=False)])
    theirs = theirs.dropna(subset="name").sort_values("value", kind="stable")
    if theirs["name"].duplicated().any():
        raise ValueError(f"{table} has several numbers of a method for {metric}, and so no order of the methods")
    return dict(zip(theirs["name"].tolist(), theirs["value"].tolist(), strict=True))


def _one_data_set(tidy: pd.DataFrame) -> pd.DataFrame:
    """The latest rows; refused when they are of several data sets, or of several parts of one."""
    latest = tables.latest(tidy)
    if len(found := data_used(latest)) > 1:
        raise tables.JoinError(
            f"the runs are of {len(found)} data sets: {'; '.join(found)}. Join the runs of one of them alone: "
            "`candidates` selects them by table and settings; if one was made while images were missing, run its seed "
            "again"
        )
    return latest


def _our_metric(metric: str, setting: str) -> str:
    """The metric of `records.tidy` that a published row is to be read beside."""
    part = {"partition=Things": ", things (block)", "partition=Stuff": ", stuff (block)"}
    return {"mIoU": "mean_iou"}.get(metric, metric) + part.get(setting.partition(";")[0], "")


def _mean_and_sd(values: Sequence[float]) -> str:
    if not values:
        return ""
    found = seeds.spread(values)
    return f"{found.mean:.2f}{f' ± {found.sd:.2f}' if found.n > 1 else ''} (n = {found.n})"
