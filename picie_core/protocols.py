"""PiCIE and COMUS by each other's scores: all classes, or objects on one background."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from picie_core import categories, evaluation, metrics, objects, partitions, provenance, seeds, tables, training
from picie_core.classes import ClassTable
from picie_core.datasets import Prepared
from picie_core.datasets.problems import Unlabelled
from picie_core.records import Run

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


def iou(matrix: np.ndarray, table: ClassTable) -> np.ndarray:
    """IoU of the background and of each thing in ascending order, (1 + T,) percent, clusters matched by IoU.

    Args:
        matrix: (classes, clusters) counts.
        table: of the classes.
    """
    counts = partitions.objects(matrix, table.things)
    return metrics.score(counts, metrics.match_iou(counts)).iou


def discovered(runs: Mapping[str, Run], data: Prepared) -> pd.DataFrame:
    """How many classes each run discovers, and whether it is the large ones (COMUS, Table 3 and Figure 9).

    Args:
        runs: finished and scored on `data`, by what the row is called.
        data: the split.

    Returns:
        Columns row, those of `categories.Discovered`, Spearman (rank correlation of IoU and size over things), runs.
    """
    lines = []
    for name, run in runs.items():
        if run.confusion is None or run.classes is None:
            raise Unlabelled(f"the run in {run.folder}", "there are no classes to discover")
        found = iou(run.confusion, run.classes)
        line = {"row": name} | categories.discovered(found)._asdict()
        line["Spearman"] = categories.size_correlation(found[1:], objects.sizes(data))
        lines.append(line | {provenance.COLUMN: tables.behind([run])})
    return pd.DataFrame(lines)


def elsewhere(runs: Mapping[str, Run], other: Prepared) -> pd.DataFrame:
    """The same networks on another data set, by the things that both have (COMUS, Table 4).

    Args:
        runs: finished and scored, by what the row is called.
        other: a labelled split at the runs' image size.

    Returns:
        Columns row, mIoU here, mIoU elsewhere, then IoU elsewhere of the background and of each shared thing, percent;
        runs.
    """
    if other.classes is None:
        raise Unlabelled(f"the split in {other.folder}", "there is nothing to compare the clusters with")
    lines = []
    for name, run in runs.items():
        if run.confusion is None or run.classes is None:
            raise Unlabelled(f"the run in {run.folder}", "what its clusters are called is not known")
        method, fabric = training.restore(run)
        matrix = evaluation.confusions(method, other, run.settings.batch_size, fabric.device)["final"]
        counts, kinds = partitions.shared(matrix, run.classes, other.classes)
        scores = metrics.score(counts, metrics.match_iou(counts))
        here = metrics.mean(iou(run.confusion, run.classes))
        line = {"row": name, "mIoU here": here, "mIoU elsewhere": scores.mean_iou}
        lines.append(line | dict(zip(kinds, scores.iou, strict=True)) | {provenance.COLUMN: tables.behind([run])})
    return pd.DataFrame(lines)
