"""PiCIE and COMUS by each other's scores: all classes, or objects on one background."""

from typing import Any

import pandas as pd

from picie_core import provenance, seeds, tables

PROTOCOLS = {
    "mean_iou": "mIoU, all classes", "mean_iou, objects": "mIoU, objects",
    "mean_iou, objects, majority vote": "mIoU, objects, by vote",
}  # fmt: skip
"""Scores by which methods that know stuff and those that know objects can be compared, by `records.tidy`'s names."""


def table(tidy: pd.DataFrame) -> pd.DataFrame:
    """The same runs by PiCIE's and by COMUS's protocol.

    Args:
        tidy: rows of `records.tidy`, of runs on data with things and stuff.

    Returns:
        A row for each configuration: method, settings (the explicit ones), the mean over seeds of each of `PROTOCOLS`,
        percent, seeds, runs (see `provenance`); best by objects first.
    """
    rows = []
    for digest, group in tables.latest(tidy).groupby("digest", sort=False):
        method = str(group["method"].iloc[0])
        row: dict[str, Any] = {"method": tables.NAMES.get(method, method)}
        for metric, name in PROTOCOLS.items():
            row[name] = seeds.spread(group.loc[group["metric"] == metric, "value"].tolist()).mean
        numbers = sorted(set(group["seed"].tolist()))
        row |= {"seeds": len(numbers), "settings": min(group["explicit"].map(tables.words), key=len)}
        rows.append(row | {provenance.COLUMN: provenance.behind((str(digest), seed) for seed in numbers)})
    return pd.DataFrame(rows).sort_values("mIoU, objects", ascending=False, ignore_index=True)
