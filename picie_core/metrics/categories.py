"""The categories of a segmentation: how many were discovered, and whether size explains it (COMUS, section 4.4)."""

from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from picie_core.metrics import mean


class Discovered(NamedTuple):
    """How many classes were found, as COMUS counts (Table 3).

    Attributes:
        count, mean_iou: classes with an IoU of at least the least, and their mean, in percent.
        with_cluster, mean_iou_with_cluster: likewise those with an IoU above 0.
    """

    count: int
    mean_iou: float
    with_cluster: int
    mean_iou_with_cluster: float


def discovered(iou: np.ndarray, least: float = 20.0) -> Discovered:
    """The classes that were discovered: those with an IoU of 20 % and more.

    The background is one of them: in Table 3 the mean over the classes with a cluster, times their number, is the mean
    over all 81, times 81 (60 x 26.5 and 81 x 19.6; 73 x 20.2 and 81 x 18.2), which leaves it no place elsewhere. (The
    text of section 4.4 counts at 2 %, and has numbers that Table 3 does not.)

    Args:
        iou: of every class, background included, percent, nan for one that is nowhere, which counts as not found.
        least: percent, above 0.

    Returns:
        The means are nan where there is no class to average.
    """
    found, clustered = iou[iou >= least], iou[iou > 0]
    return Discovered(len(found), mean(found), len(clustered), mean(clustered))


def size_correlation(iou: np.ndarray, sizes: np.ndarray) -> float:
    """Whether large objects are segmented better: Spearman's rank correlation over classes (COMUS, Figure 9: 0.43).

    Args:
        iou: of the classes of objects, without the background, any unit; nan where a class is nowhere.
        sizes: of the same classes: mean share of the image over the images that show the class; nan for none.

    Returns:
        -1 to 1, over the classes where both are known, ties at their mean rank; nan below two such classes, or where
        all IoU or all sizes are equal.

    Raises:
        ValueError: the two are not of the same classes.
    """
    if iou.shape != sizes.shape or iou.ndim != 1:
        raise ValueError(f"IoU {iou.shape} and sizes {sizes.shape}: expected one of each for every class of objects")
    known = np.isfinite(iou) & np.isfinite(sizes)
    first, second = iou[known], sizes[known]
    if min(len(set(first.tolist())), len(set(second.tolist()))) < 2:
        return float("nan")
    return float(spearmanr(first, second).statistic)  # pyright: ignore[reportAttributeAccessIssue]
