"""Scores of things and of stuff apart (Table 2): three definitions, in class order; and of things on one background.

The paper computes the confusion matrix of all classes once, matches once, and then partitions the matrix; how, it does
not say. Notation of the formulas: S is the set of classes; N_cd counts the pixels of class c whose cluster matches
class d; n_c all labelled pixels of class c; p_c = sum_d N_dc over all classes d, the pixels predicted as c.

The release takes the blocks in the order of the clusters instead: see `findings`, which is no score.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

import numpy as np

from picie_core.classes import ClassTable, common_name
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


def objects(matrix: np.ndarray, things: Collection[int]) -> np.ndarray:
    """The classes as COMUS knows them: everything that is no thing is background.

    Scored by `metrics.match_iou`, or `metrics.majority_iou` where there are more clusters, this is COMUS's protocol for
    the clusters of any method: one cluster of stuff at most can be the background under the former.

    Args:
        matrix: (classes, clusters) counts.
        things: class indices, as `ClassTable.things`.

    Returns:
        (1 + T, clusters) counts: the rows of stuff added up, then those of the T things in ascending order.

    Raises:
        ValueError: there is no thing, or what is no class.
    """
    chosen = _chosen(things, len(matrix))
    return np.vstack([np.delete(matrix, chosen, axis=0).sum(axis=0, dtype=matrix.dtype), matrix[chosen]])


def object_classes(classes: np.ndarray, things: Collection[int]) -> np.ndarray:
    """The rows of `objects` for clusters that are known to be classes.

    Args:
        classes: the class of each cluster, -1 for none.
        things: as in `objects`.

    Returns:
        (clusters,) int64: 0 for stuff, 1..T for things, -1 for none.
    """
    ordered = np.array(sorted(things), dtype=np.int64)
    return np.where(classes < 0, -1, np.where(np.isin(classes, ordered), 1 + np.searchsorted(ordered, classes), 0))


def foreground_iou(matrix: np.ndarray, things: Collection[int]) -> float:
    """IoU of salient masks with the things, whatever their class (COMUS, Table 6): tp / (tp + fp + fn), in percent.

    Over the pixels of all images together, as every score here, and not a mean of images (the paper does not say
    which); void pixels are left out.

    Args:
        matrix: (classes, 2) counts of pixels that are not salient and that are, added up over images:
            `metrics.confusion(labels, mask.astype(int), classes, 2)`.
        things: as in `objects`.

    Returns:
        nan where nothing is a thing or salient.

    Raises:
        ValueError: the matrix has not two columns; or as `objects`.
    """
    if matrix.ndim != 2 or matrix.shape[1] != 2:
        raise ValueError(f"counts of shape {matrix.shape}: expected (classes, 2), of pixels not salient and salient")
    chosen = _chosen(things, len(matrix))
    missed, hits = matrix[chosen].sum(axis=0)
    union = missed + matrix[:, 1].sum()
    return float(100.0 * hits / union) if union else float("nan")


def shared(matrix: np.ndarray, learned: ClassTable, scored: ClassTable) -> tuple[np.ndarray, tuple[str, ...]]:
    """Clusters learned on one data set, scored on another by the things that both have (COMUS, Table 4).

    Things are the same that have one name (see `classes.common_name`: VOC's `aeroplane` is COCO's `airplane`).
    Everything else of the data set that is scored, stuff and other things, is background.

    Args:
        matrix: (classes of `scored`, clusters) counts of the run's predictions on the other data set.
        learned: the classes of the data set that the run was trained on.
        scored: those of the data set that it is scored on.

    Returns:
        (1 + T, clusters) counts, background first, then the T shared things in the order of `learned`; and the names of
        its rows, those of `learned`.

    Raises:
        ValueError: the matrix is not of the classes of `scored`; no thing is shared; or two things of one data set have
            one name.
    """
    if len(matrix) != len(scored):
        raise ValueError(f"a confusion matrix of {len(matrix)} classes where {scored.name} has {len(scored)}")
    ours, theirs = _things_by_name(learned), _things_by_name(scored)
    rows = {learned.names[c]: theirs[name] for name, c in ours.items() if name in theirs}
    if not rows:
        raise ValueError(
            f"{learned.name} ({len(ours)} things) and {scored.name} ({len(theirs)}) have no things in common: expected "
            "one or more of one name, which `classes.common_name` tells"
        )
    kept = list(rows.values())
    background = np.delete(matrix, kept, axis=0).sum(axis=0, dtype=matrix.dtype)
    return np.vstack([background, matrix[kept]]), ("background", *rows)


def _things_by_name(table: ClassTable) -> dict[str, int]:
    """The class index of each thing by the name that data sets have in common."""
    found = {}
    for c in sorted(table.things):
        if (other := found.setdefault(common_name(table.names[c]), c)) != c:
            raise ValueError(
                f"{table.name}: things {table.names[other]!r} and {table.names[c]!r} are the same to other data sets: "
                "give them one class, or names that differ by more than their case (see `classes.common_name`)"
            )
    return found


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
