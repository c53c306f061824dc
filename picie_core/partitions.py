"""Scores of things and of stuff apart (Table 2): three definitions, all in class order.

The paper computes the confusion matrix of all classes once, matches once, and then partitions the matrix; how, it does
not say. Notation of the formulas: S is the set of classes; N_cd counts the pixels of class c whose cluster matches
class d; n_c all labelled pixels of class c; p_c = sum_d N_dc over all classes d, the pixels predicted as c.

The release takes the blocks in the order of the clusters instead: see `findings`, which is no score.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

import numpy as np

from picie_core.classes import ClassTable
from picie_core.metrics import Scores, by_class, match, mean


def block(matrix: np.ndarray, classes: np.ndarray, members: Collection[int]) -> Scores:
    """The block of the matched confusion matrix whose rows and columns are S: the reading that fits the paper's
    numbers.

    accuracy = sum_{c in S} N_cc / sum_{c,d in S} N_cd
    IoU_c = N_cc / (sum_{d in S} N_cd + sum_{d in S} N_dc - N_cc)

    Every confusion of a thing with stuff vanishes, so that things and stuff can both score above all classes together.
    A class none of whose pixels, true or predicted, lie in the block is nan, though it may be present.

    Args:
        matrix: (classes, clusters) counts.
        classes: the class of each cluster, -1 for none, e.g. `metrics.match(matrix)`.
        members: S, class indices; `iou` is in their ascending order.

    Returns:
        Scores in percent; nan where there is nothing to count.

    Raises:
        ValueError: S is empty or holds what is no class.
    """
    chosen = _chosen(members, len(matrix))
    inside = by_class(matrix, classes)[np.ix_(chosen, chosen)]
    return Scores.from_counts(np.diag(inside), inside.sum(axis=1), inside.sum(axis=0))


def rows(matrix: np.ndarray, classes: np.ndarray, members: Collection[int]) -> Scores:
    """The rows of S with every cluster kept: what becomes of the pixels of these classes (the authors' later answer).

    accuracy = sum_{c in S} N_cc / sum_{c in S} n_c
    IoU_c = N_cc / (n_c + p_c - N_cc), all false positives counted, as over all classes

    The accuracies of things and stuff, weighted by their pixels, give that of all classes; the mean IoUs, weighted by
    their numbers of classes that are not nan, give the mean IoU of all. (Were the pixels of other classes left out of
    p_c as well, IoU would be higher; the published recomputation, `data/paper/picie_partition_recheck.csv`, counts
    them.) Args, Returns, Raises: see `block`.
    """
    return Scores.from_counts(*_counts(matrix, classes, members))


def class_mean(matrix: np.ndarray, classes: np.ndarray, members: Collection[int]) -> Scores:
    """The mean over the classes of S, each counting alike however many pixels it has.

    accuracy = 1/|S| sum_{c in S} N_cc / n_c, over the classes with n_c > 0
    IoU_c = N_cc / (n_c + p_c - N_cc), as in `rows`, whose mean is one over classes already

    Args, Returns, Raises: see `block`.
    """
    hits, truth, predicted = _counts(matrix, classes, members)
    whole = Scores.from_counts(hits, truth, predicted)
    present = truth > 0
    return Scores(mean(100.0 * hits[present] / truth[present]), whole.mean_iou, whole.iou)


DEFINITIONS: Mapping[str, Callable[[np.ndarray, np.ndarray, Collection[int]], Scores]] = MappingProxyType(
    {"block": block, "rows": rows, "class mean": class_mean}
)
"""The definitions by name; the first is the paper's."""


def things_and_stuff(
    matrix: np.ndarray, table: ClassTable, classes: np.ndarray | None = None
) -> dict[tuple[str, str], Scores]:
    """Things and stuff under every definition, clusters matched once over all classes.

    Args:
        matrix: (classes, clusters) counts.
        table: the data set's classes.
        classes: the class of each cluster, -1 for none; by default `metrics.match(matrix)`, by pixels.

    Returns:
        (partition, definition) -> scores, e.g. of ("things", "block"); a partition without classes is left out.

    Raises:
        ValueError: the matrix is not of the table's classes.
    """
    if len(matrix) != len(table):
        raise ValueError(f"a confusion matrix of {len(matrix)} classes where {table.name} has {len(table)}")
    classes = match(matrix) if classes is None else classes
    return {
        (partition, name): definition(matrix, classes, members)
        for partition, members in (("things", table.things), ("stuff", table.stuff))
        for name, definition in DEFINITIONS.items()
        if members
    }


def _counts(
    matrix: np.ndarray, classes: np.ndarray, members: Collection[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """N_cc, n_c and p_c of the classes of S."""
    chosen = _chosen(members, len(matrix))
    square = by_class(matrix, classes)
    return np.diag(square)[chosen], matrix.sum(axis=1)[chosen], square.sum(axis=0)[chosen]


def _chosen(members: Collection[int], count: int) -> list[int]:
    chosen = sorted({int(c) for c in members})
    if not chosen or chosen[0] < 0 or chosen[-1] >= count:
        raise ValueError(f"a partition of the classes {chosen}: expected one or more of 0 to {count - 1}")
    return chosen
