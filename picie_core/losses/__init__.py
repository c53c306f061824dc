"""The losses of section 3: clustering cross-entropy, balance, within- and cross-view sums, overclustering weights."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from picie_core.classes import VOID
from picie_core.devices.precision import raised
from picie_core.processes import ranks


def balance_weights(counts: Tensor, rule: str) -> Tensor:
    """The weight of each cluster in the cross-entropy ("we apply a balance term for each cluster").

    Args:
        counts: pixels in each cluster, n_k, (K,).
        rule: `inverse` w_k = N / (K max(n_k, 1)); `proportional` w_k = n_k / N (what the release does, which raises the
            weight of large clusters); `none` w_k = 1.

    Returns:
        (K,) float32.
    """
    counts = counts.double()
    if rule == "inverse":
        return (counts.sum() / (len(counts) * counts.clamp(min=1))).float()
    if rule == "proportional":
        return (counts / counts.sum()).float()
    return torch.ones_like(counts, dtype=torch.float32)


def clustering_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """L_clust of eq. 5, averaged over pixels with the weights of their labels.

    sum_i w_{y_i} (log sum_k exp s_ik - s_{i y_i}) / sum_i w_{y_i}.

    Args:
        logits: s, scores over temperature (`clustering.scores`; `cosine` is eq. 5, `inner` the release), (B, K, h, w).
        labels: clusters y, (B, h, w) integers.
        weights: w, (K,) of `balance_weights`; their overall scale does not matter.

    Returns:
        A scalar; this rank's share of it, where the pixels are those of several (`ranks`).
    """
    logits, labels = raised(logits), labels.long()
    weights = weights.to(logits.dtype)
    loss = F.cross_entropy(logits, labels, weight=weights)
    return loss if ranks.count() == 1 else loss * ranks.part(weights[labels].sum())


def two_view_loss(within: Tensor, cross: Tensor) -> Tensor:
    """L_total of eq. 14, with the release's scale: the mean of L_within / 2 and L_cross / 2.

    Args:
        within: sum of the two within-view losses (eq. 10).
        cross: sum of the two cross-view losses (eq. 11).
    """
    return (within / 2 + cross / 2) / 2


def supervised_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy on ground truth, the mean over labelled pixels; 0 where a batch has none.

    Args:
        logits: (B, K, H, W).
        labels: classes 0..K-1 or 255 (void), (B, H, W) integers.

    Returns:
        A scalar; this rank's share of it, where the pixels are those of several (`ranks`).
    """
    found = F.cross_entropy(raised(logits), labels.long(), ignore_index=VOID, reduction="sum")
    return found / ranks.total((labels != VOID).sum()).clamp(min=1)


def view_difference(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared difference of the views' unit features, over all elements, channels included (Table 6, MSE); this
    rank's share of it, where there are several (`ranks`)."""
    found = F.mse_loss(first, second)
    return found * ranks.part(found.new_tensor(first.numel()))


def overcluster_weights(k1: int, k2: int, reading: str) -> tuple[float, float]:
    """Weights of L_K1 and L_K2 in PiCIE+H (section 4.1).

    Args:
        k1, k2: number of clusters and of overclusters.
        reading: the text extraction is ambiguous. `B`: lambda_1 = log K2 / (log K1 + log K2), lambda_2 = log K1 / (the
            same), which equalises the losses' start and keeps overclustering from "overwhelming"; `A`: swapped.
    """
    a, b = math.log(k1), math.log(k2)
    small, large = min(a, b) / (a + b), max(a, b) / (a + b)
    return (large, small) if reading == "B" else (small, large)
