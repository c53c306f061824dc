"""IIC's loss: the mutual information of two cluster maps, at every small displacement of one against the other.

Ji, Henriques, Vedaldi, "Invariant Information Clustering", ICCV 2019, eq. 3 and section 3.3.
"""

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from picie_core.processes import ranks

EPS = 2.0**-52
"""Probabilities below it count as it, and have no gradient (2.2e-16, as IIC's code)."""


def joint(first: Tensor, second: Tensor, displacement: int) -> Tensor:
    """How often cluster i of one map meets cluster j of the other, by displacement.

    J[u, v, i, j] = sum over images n and places (y, x) of first[n, i, y + u - T, x + v - T] second[n, j, y, x], and
    what lies outside of a map is 0. By the correlation theorem: a spectrum for each pair of clusters, summed over
    images, and one way back. The largest thing built is K^2 (h + T) (w + T), and no copy of a map for a displacement.

    Args:
        first, second: probabilities of clusters, zero where a pixel is not to count, (B, K, h, w).
        displacement: T >= 0, cells.

    Returns:
        (2T + 1, 2T + 1, K, K) float64, for the information is a small difference of large sums. Rounding may leave
        what is 0 at about 1e-16 of the largest, or below 0.
    """
    t = displacement
    size = [next_fast_len(max(n, t + 1) + t, real=True) for n in first.shape[-2:]]  # no displacement wraps around
    with torch.autocast(first.device.type, enabled=False):
        a, b = (torch.fft.rfft2(maps.double(), s=size).permute(2, 3, 1, 0) for maps in (first, second))
        spectrum = a.contiguous() @ b.conj().transpose(-1, -2).contiguous()
        whole = torch.fft.irfft2(spectrum.permute(2, 3, 0, 1).contiguous(), s=size)
    window = whole.roll((t, t), dims=(-2, -1))[..., : 2 * t + 1, : 2 * t + 1]
    return window.permute(2, 3, 0, 1)


def shares(joints: Tensor) -> Tensor:
    """J / sum J, the joint distribution of the two pixels of a pair.

    Args:
        joints: numbers of pairs of pixels J >= 0, (..., K, K); less than half a pair is rounding, and counts as none.

    Returns:
        (..., K, K), each matrix with sum 1, or nearly 0 where there is no pair.
    """
    return joints / joints.sum(dim=(-2, -1), keepdim=True).clamp(min=0.5)


def distribution(joints: Tensor) -> Tensor:
    """P, the distribution whose information IIC's loss is: `shares` made symmetric, for the two pictures of a pair are
    alike (at no displacement; at any other the symmetry is not one of the data: see notebook 02)."""
    p = shares(joints)
    return (p + p.transpose(-2, -1)) / 2


def information(p: Tensor, weight: float) -> Tensor:
    """Mutual information of the two variables of a joint distribution, in nats.

    With p_i and q_j its marginals: sum_ij P_ij (log P_ij - lambda log p_i - lambda log q_j). At lambda = 1 it is at
    least 0 and at most log K.

    Args:
        p: of `distribution`, (..., K, K).
        weight: lambda; above 1 it asks for more even clusters.

    Returns:
        (...); 0 where there is no pair.
    """
    rows, columns = (p.sum(dim=d, keepdim=True).clamp(min=EPS) for d in (-1, -2))
    p = p.clamp(min=EPS)
    return (p * (p.log() - weight * (rows.log() + columns.log()))).sum(dim=(-2, -1))


def iic_loss(first: Tensor, second: Tensor, mask: Tensor, displacement: int, weight: float, collapsed: bool) -> Tensor:
    """IIC's loss of a batch of pairs: minus the mutual information.

    Args:
        first, second: probabilities of clusters in one frame, (B, K, h, w), each pixel's summing to 1.
        mask: 1 where a pixel counts, else 0, (B, 1, h, w).
        displacement: T, cells.
        weight: lambda of `information`.
        collapsed: one joint distribution of all displacements; else the mean over the (2T + 1)^2 of one for each, which
            is what IIC's published commands run.

    Returns:
        A scalar; of the pairs of all ranks, and each rank's share an equal one (`ranks`). Difference from IIC's code:
        `collapsed` passes a gradient through the sum that it divides by, which changes nothing for probabilities that
        sum to 1.
    """
    joints = ranks.total(joint(first * mask, second * mask, displacement))
    if collapsed:
        joints = joints.sum(dim=(0, 1))
    return -information(distribution(joints), weight).mean().to(first.dtype) / ranks.count()
