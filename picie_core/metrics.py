"""From a confusion matrix to scores: matching of clusters to classes, accuracy, IoU."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from picie_core.classes import VOID


def confusion(labels: np.ndarray, clusters: np.ndarray, num_classes: int, num_clusters: int) -> np.ndarray:
    """Pixel counts by class (rows) and cluster (columns); void pixels are left out.

    Args:
        labels: ground truth, any shape, 0..num_classes-1 or 255 (void).
        clusters: predictions of the same shape, 0..num_clusters-1.
        num_classes, num_clusters: the matrix's shape.

    Returns:
        (num_classes, num_clusters) int64.

    Raises:
        ValueError: shapes differ, or a label or cluster lies outside its range (it would be counted as another).
    """
    if labels.shape != clusters.shape:
        raise ValueError(f"labels {labels.shape} and clusters {clusters.shape} differ in shape")
    valid = labels != VOID
    labels, clusters = labels[valid].astype(np.int64), clusters[valid].astype(np.int64)
    for name, values, count in (("label", labels, num_classes), ("cluster", clusters, num_clusters)):
        if len(values) and not 0 <= values.min() <= values.max() < count:
            raise ValueError(f"{name}s {values.min()} to {values.max()} where 0 to {count - 1} were expected")
    flat = labels * num_clusters + clusters
    return np.bincount(flat, minlength=num_classes * num_clusters).reshape(num_classes, num_clusters)


def match(matrix: np.ndarray) -> np.ndarray:
    """Hungarian matching by matched pixel count, as the paper and release.

    Args:
        matrix: (classes, clusters) counts.

    Returns:
        The class of each cluster, (clusters,) int64; -1 for clusters beyond the number of classes, which match none.
    """
    rows, columns = linear_sum_assignment(matrix, maximize=True)
    classes = np.full(matrix.shape[1], -1)
    classes[columns] = rows
    return classes


def majority(matrix: np.ndarray) -> np.ndarray:
    """The class that most of a cluster's pixels have, (clusters,): the colour that pictures use; -1 when empty."""
    return np.where(matrix.sum(axis=0) > 0, matrix.argmax(axis=0), -1)


def align(first: np.ndarray, second: np.ndarray, k: int) -> tuple[np.ndarray, float]:
    """Two clusterings of the same pixels, whose numbers are arbitrary, matched one to one.

    Args:
        first, second: clusters 0..k-1, integers of one shape.
        k: number of clusters of each.

    Returns:
        `second` in `first`'s numbers, and the share of the pixels on which the two then agree, in percent.
    """
    matrix = np.bincount((first.astype(np.int64) * k + second).ravel(), minlength=k * k).reshape(k, k)
    partner = match(matrix)
    return partner[second], float(100.0 * matrix[partner, np.arange(k)].sum() / matrix.sum())


@dataclass(frozen=True)
class Scores:
    """Scores of one confusion matrix under one matching, in percent.

    Attributes:
        accuracy: matched labelled pixels over labelled pixels. Clusters that match no class count as wrong.
        mean_iou: mean of `iou` over the classes that are not nan.
        iou: per class, tp / (tp + fp + fn). nan where a class is in neither ground truth nor prediction; 0 where it is
            present but has no cluster.
    """

    accuracy: float
    mean_iou: float
    iou: np.ndarray


def score(matrix: np.ndarray, classes: np.ndarray | None = None) -> Scores:
    """Accuracy and IoU of a confusion matrix.

    Args:
        matrix: (classes, clusters) counts.
        classes: the class of each cluster, -1 for none; by default `match(matrix)`.

    Raises:
        ValueError: the matrix counts no pixel.
    """
    if matrix.sum() == 0:
        raise ValueError("the confusion matrix is empty: no labelled pixel was scored")
    classes = match(matrix) if classes is None else classes
    by_class = np.zeros((matrix.shape[0], matrix.shape[0]), dtype=np.int64)
    matched = classes >= 0
    np.add.at(by_class.T, classes[matched], matrix.T[matched])
    hits, truth, predicted = np.diag(by_class), matrix.sum(axis=1), by_class.sum(axis=0)
    union = truth + predicted - hits
    iou = np.divide(100.0 * hits, union, out=np.full(len(union), np.nan), where=union > 0)
    return Scores(accuracy=float(100.0 * hits.sum() / matrix.sum()), mean_iou=float(np.nanmean(iou)), iou=iou)
