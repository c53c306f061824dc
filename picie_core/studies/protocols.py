"""PiCIE and COMUS by each other's scores: all classes, or objects on one background."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from picie_core import evaluation, metrics, provenance, records, tables, training
from picie_core.classes import ClassTable
from picie_core.datasets import Prepared
from picie_core.datasets.problems import DataError, Unlabelled
from picie_core.metrics import categories, partitions
from picie_core.records import Run
from picie_core.studies import objects


def iou(matrix: np.ndarray, table: ClassTable) -> np.ndarray:
    """IoU of the background and of each thing in ascending order, (1 + T,) percent, clusters matched by IoU.

    Args:
        matrix: (classes, clusters) counts.
        table: of the classes.
    """
    counts = partitions.objects(matrix, table.things)
    return metrics.score(counts, metrics.match_iou(counts)).iou


def by_kind(runs: Mapping[str, Run]) -> pd.DataFrame:
    """The IoU of the background and of each thing, where every cluster takes the one that it overlaps best (by IoU).

    So that a method is not judged by how many clusters it has for stuff; what was taught the classes keeps its own.

    Args:
        runs: finished, scored on one data set with things and stuff, by the name of their column.

    Returns:
        Columns kind, one for each run, percent, and runs (see `provenance`).

    Raises:
        Unlabelled: a run was not scored.
        DataError: its classes are all things, or all stuff.
    """
    columns: dict[str, Any] = {}
    for name, run in runs.items():
        found = records.every_score(run)
        if run.classes is None:
            raise Unlabelled(f"the run in {run.folder}", "what is an object and what background is not known")
        if ", objects" not in found:
            raise DataError(f"{run.settings.dataset} has no things, or nothing else: give a data set that has both")
        things = [run.classes.names[c] for c in sorted(run.classes.things)]
        best = found.get(", objects, majority vote", found[", objects"])
        columns |= {"kind": ["background", *things], name: best.iou}
    return pd.DataFrame(columns).assign(**{provenance.COLUMN: tables.behind(runs.values())})


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
    _, classes = other.need_labels()
    lines = []
    for name, run in runs.items():
        if run.confusion is None or run.classes is None:
            raise Unlabelled(f"the run in {run.folder}", "what its clusters are called is not known")
        method, fabric = training.restore(run)
        matrix = evaluation.confusions(method, other, run.settings.batch_size, fabric.device)["final"]
        counts, kinds = partitions.shared(matrix, run.classes, classes)
        scores = metrics.score(counts, metrics.match_iou(counts))
        here = metrics.mean(iou(run.confusion, run.classes))
        line = {"row": name, "mIoU here": here, "mIoU elsewhere": scores.mean_iou}
        lines.append(line | dict(zip(kinds, scores.iou, strict=True)) | {provenance.COLUMN: tables.behind([run])})
    return pd.DataFrame(lines)
