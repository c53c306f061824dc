"""From a confusion matrix to scores: matching of clusters to classes, accuracy, IoU."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

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
    return _assigned(matrix)


def match_iou(matrix: np.ndarray) -> np.ndarray:
    """Hungarian matching by IoU: maximises the sum over matched pairs of m_ck / (n_c + n_k - m_ck), where m_ck counts
    the pixels of class c in cluster k, n_c those of the class and n_k those of the cluster (COMUS, section 4.1).

    A small class weighs as much as a large one. Accuracy is at most that under `match`.

    Args:
        matrix: (classes, clusters) counts.

    Returns:
        As `match`.
    """
    return _assigned(_pair_iou(matrix))


def majority(matrix: np.ndarray) -> np.ndarray:
    """Majority vote: the class that most of a cluster's pixels have, so that clusters may share a class.

    For clusters that outnumber the classes, and the colour that pictures use. Its accuracy is the highest of any
    matching and rises with the number of clusters alone: never to be set beside one of `match`. (COMUS votes by IoU.)

    Args:
        matrix: (classes, clusters) counts.

    Returns:
        The class of each cluster, (clusters,) int64; of two with as many pixels the first; -1 for an empty cluster.
    """
    return np.where(matrix.sum(axis=0) > 0, matrix.argmax(axis=0), -1)


def majority_iou(matrix: np.ndarray) -> np.ndarray:
    """Vote by IoU: the class with which a cluster alone has the highest IoU (see `match_iou`), so that clusters may
    share a class (COMUS, section 4.5 and Table 8; "majority" in the release).

    For clusters that outnumber the classes. A small class that lies in a cluster whole can win it against a large one
    with more of its pixels. As with `majority`, more clusters alone score higher. (The release has an empty cluster
    vote for the first class, to which it adds no pixel.)

    Args:
        matrix: (classes, clusters) counts.

    Returns:
        As `majority`.
    """
    return np.where(matrix.sum(axis=0) > 0, _pair_iou(matrix).argmax(axis=0), -1)


def identity(matrix: np.ndarray) -> np.ndarray:
    """Cluster k is class k, as a classifier has it that was taught the classes; -1 beyond them.

    Args:
        matrix: (classes, clusters) counts.
    """
    clusters = np.arange(matrix.shape[1])
    return np.where(clusters < len(matrix), clusters, -1)


MATCHINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {"Hungarian by pixels": match, "Hungarian by IoU": match_iou, "majority vote": majority}
)
"""Every matching of clusters to classes, by name; the first is the paper's, and what counts."""


def by_class(matrix: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Pixel counts by class and predicted class, both in class order.

    Args:
        matrix: (classes, clusters) counts.
        classes: the class of each cluster, -1 for none.

    Returns:
        (classes, classes) int64: the clusters of a class added up; pixels in clusters of no class are left out.
    """
    square = np.zeros((len(matrix), len(matrix)), dtype=np.int64)
    matched = classes >= 0
    np.add.at(square.T, classes[matched], matrix.T[matched])
    return square


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

    @classmethod
    def from_counts(cls, hits: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> Self:
        """Scores of pixel counts by class, (classes,): right ones, those of the ground truth, those predicted.

        accuracy = sum hits / sum truth, nan without truth; iou = hits / (truth + predicted - hits), nan for 0 / 0.
        """
        iou = _percent(hits, truth + predicted - hits)
        return cls(accuracy=float(_percent(hits.sum(), truth.sum())), mean_iou=mean(iou), iou=iou)


def score(matrix: np.ndarray, classes: np.ndarray | None = None) -> Scores:
    """Accuracy and IoU of a confusion matrix.

    Args:
        matrix: (classes, clusters) counts.
        classes: the class of each cluster, -1 for none (see `MATCHINGS`); by default `match(matrix)`.

    Raises:
        ValueError: the matrix counts no pixel.
    """
    if matrix.sum() == 0:
        raise ValueError("the confusion matrix is empty: no labelled pixel was scored")
    square = by_class(matrix, match(matrix) if classes is None else classes)
    return Scores.from_counts(np.diag(square), matrix.sum(axis=1), square.sum(axis=0))


def mean(values: np.ndarray) -> float:
    """Mean of the values that are not nan; nan where all are."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _assigned(gain: np.ndarray) -> np.ndarray:
    """The one-to-one matching of columns to rows with the highest sum of `gain`: a row for each column, -1 for none."""
    rows, columns = linear_sum_assignment(gain, maximize=True)
    classes = np.full(gain.shape[1], -1)
    classes[columns] = rows
    return classes


def _pair_iou(matrix: np.ndarray) -> np.ndarray:
    """IoU of every class with every cluster alone, (classes, clusters), 0 to 1; 0 where both are empty."""
    union = matrix.sum(axis=1, keepdims=True) + matrix.sum(axis=0) - matrix
    return np.divide(matrix, union, out=np.zeros(matrix.shape), where=union > 0)


def _percent(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(100.0 * part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def spectrum(features: np.ndarray) -> np.ndarray:
    """How the variance of features is spread over directions: the eigenvalues of their covariance over its trace.

    Args:
        features: maps (B, D, h, w) or points (n, D).

    Returns:
        (D,) float64 shares, largest first, summing to 1. 1 / sum(shares^2), the participation ratio, says how many
        directions are in use: 1 for a line, D for a ball.

    Raises:
        ValueError: all features are the same.
    """
    points = np.moveaxis(features, 1, -1).reshape(-1, features.shape[1]).astype(np.float64)
    shares = np.clip(np.linalg.eigvalsh(np.cov(points, rowvar=False, bias=True)), 0, None)[::-1]
    if shares.sum() == 0:
        raise ValueError("the features are the same everywhere: they have no directions")
    return shares / shares.sum()


def explained_by_place(maps: np.ndarray) -> float:
    """How much of what maps show is known from the place in the image alone, whatever the image: adjusted R squared.

    1 - (SSW / (n - c)) / (SST / (n - 1)), with SSW the squares about each cell's mean over images, SST those about the
    mean of everything, n = B h w vectors, c = h w cells. About 0 for maps that do not depend on the place (down to
    -1 / (B - 1) where each image has a level of its own), 1 for maps that are the same in all images.

    Args:
        maps: (B, D, h, w), B >= 2: features, or classes one-hot.

    Raises:
        ValueError: fewer than two images, or maps that are the same everywhere.
    """
    if len(maps) < 2:
        raise ValueError(
            f"expected maps of two images or more, got {len(maps)}: one image cannot tell place from image"
        )
    maps = maps.astype(np.float64)
    images, cells = len(maps), maps[0, 0].size
    within = np.square(maps - maps.mean(axis=0)).sum() / (cells * (images - 1))
    total = np.square(maps - maps.mean(axis=(0, 2, 3), keepdims=True)).sum() / (cells * images - 1)
    if total == 0:
        raise ValueError("the maps are the same everywhere: there is nothing to explain")
    return float(1 - within / total)
