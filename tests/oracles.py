"""Independent ways to the package's numbers: torchvision's transforms image by image, and plain float64 loops."""

import math

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF

from picie_core.views.geometry import Geometry
from picie_core.views.photometry import Photometry


def photometric(image: Tensor, p: Photometry, i: int) -> Tensor:
    """P with row `i` of the parameters on one image, (3, H, W) in [0, 1], by torchvision."""
    image = TF.adjust_brightness(image, float(p.brightness[i]))
    image = TF.adjust_contrast(image, float(p.contrast[i]))
    image = TF.adjust_saturation(image, float(p.saturation[i]))
    image = TF.adjust_hue(image, float(p.hue[i]))
    if p.saturated[i] == 0:
        image = TF.rgb_to_grayscale(image, num_output_channels=3)
    sigma = float(p.sigma[i])
    if sigma == 0:
        return image
    radius = min(math.ceil(3 * sigma), image.shape[-1] - 1, image.shape[-2] - 1)
    return TF.gaussian_blur(image, [2 * radius + 1] * 2, [sigma, sigma])


def crop(maps: Tensor, g: Geometry, i: int, size: int, nearest: bool = False) -> Tensor:
    """Release-like crop (side truncated, corners rounded), resize without antialias, flip: (..., n, n), row `i`."""
    n = maps.shape[-1]
    side = int(g.side[i] * n)
    left, top = round((n - side) * float(g.x[i])), round((n - side) * float(g.y[i]))
    mode = InterpolationMode.NEAREST_EXACT if nearest else InterpolationMode.BILINEAR
    cut = TF.resized_crop(maps, top, left, side, side, [size, size], mode, antialias=False)
    return TF.hflip(cut) if g.flip[i] else cut


def exact_crop(plane: np.ndarray, g: Geometry, i: int, size: int) -> np.ndarray:
    """Bilinear samples of an (n, n) plane at the cell centres of an unrounded box, float64, edge values repeated."""
    n, out = len(plane), np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            across = size - 1 - column if g.flip[i] else column
            place = []
            for start, step in ((g.y[i], row), (g.x[i], across)):
                low = start * (1 - g.side[i]) * n
                place.append(min(max(low + (step + 0.5) / size * g.side[i] * n - 0.5, 0.0), n - 1.0))
            (y, x), (y0, x0) = place, (math.floor(place[0]), math.floor(place[1]))
            y1, x1 = min(y0 + 1, n - 1), min(x0 + 1, n - 1)
            above = (1 - x + x0) * plane[y0, x0] + (x - x0) * plane[y0, x1]
            below = (1 - x + x0) * plane[y1, x0] + (x - x0) * plane[y1, x1]
            out[row, column] = (1 - y + y0) * above + (y - y0) * below
    return out


def nearest(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Index of the nearest centroid of each point, by a loop in float64."""
    return np.array([np.argmin([((p - c) ** 2).sum() for c in centroids]) for p in points.astype(np.float64)])


def minibatch_kmeans(groups: list[np.ndarray], first: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Mini-batch k-means from given first centroids: `groups[0]` is counted, each later group moves the centroids.

    Returns:
        Centroids and counts at the end; mean squared distance of each point to its centroid when it was used.
    """
    mu, counts, squared = first.astype(np.float64), np.zeros(len(first)), []
    for number, points in enumerate(groups):
        found = nearest(points, mu)
        squared += [((p - mu[k]) ** 2).sum() for p, k in zip(points.astype(np.float64), found, strict=True)]
        for k in range(len(mu)):
            members = points[found == k].astype(np.float64)
            counts[k] += len(members)
            if number and len(members):
                rate = len(members) / counts[k]
                mu[k] = (1 - rate) * mu[k] + rate * members.mean(axis=0)
    return mu, counts, float(np.mean(squared))


def scores(features: np.ndarray, prototypes: np.ndarray, rule: str) -> np.ndarray:
    """Scores of (B, D, h, w) features under (K, D) prototypes, float64 (B, K, h, w)."""
    b, _, h, w = features.shape
    out = np.zeros((b, len(prototypes), h, w))
    for i, k, y, x in np.ndindex(out.shape):
        z, mu = features[i, :, y, x].astype(np.float64), prototypes[k].astype(np.float64)
        if rule == "euclidean":
            out[i, k, y, x] = -((z - mu) ** 2).sum()
        else:
            out[i, k, y, x] = z @ mu / (np.linalg.norm(mu) if rule == "cosine" else 1)
    return out


def cross_entropy(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Weighted mean of -log softmax at the labels: logits (B, K, h, w), labels (B, h, w), weights (K,)."""
    above = below = 0.0
    for i, y, x in np.ndindex(labels.shape):
        s, label = logits[i, :, y, x].astype(np.float64), int(labels[i, y, x])
        above += weights[label] * (math.log(np.exp(s).sum()) - s[label])
        below += weights[label]
    return above / below


def pictures(n: int, size: int, seed: int = 0) -> Tensor:
    """Random images, uint8 (n, size, size, 3)."""
    return torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal float32 values."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def joint(first: np.ndarray, second: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """How often cluster i of `first` at (y + dy, x + dx) meets cluster j of `second` at (y, x): (K, K) float64."""
    b, k, h, w = first.shape
    found = np.zeros((k, k))
    for n, y, x in np.ndindex(b, h, w):
        if 0 <= y + dy < h and 0 <= x + dx < w:
            found += np.outer(first[n, :, y + dy, x + dx], second[n, :, y, x])
    return found


def information(counts: np.ndarray, weight: float) -> float:
    """Mutual information of a joint distribution given as counts, made symmetric, marginals weighted, by loops."""
    if counts.sum() == 0:
        return 0.0
    p = counts / counts.sum()
    p = (p + p.T) / 2
    total = 0.0
    for i, j in np.ndindex(p.shape):
        if p[i, j] > 0:
            total += p[i, j] * (math.log(p[i, j]) - weight * math.log(p[i].sum()) - weight * math.log(p[:, j].sum()))
    return total


def iic_loss(
    first: np.ndarray, second: np.ndarray, mask: np.ndarray, t: int, weight: float, collapsed: bool
) -> float:  # fmt: skip
    """IIC's loss by a double loop over displacements, float64; maps (B, K, h, w), mask (B, 1, h, w)."""
    first, second = (maps.astype(np.float64) * mask for maps in (first, second))
    joints = [joint(first, second, dy, dx) for dy in range(-t, t + 1) for dx in range(-t, t + 1)]
    joints = [sum(joints)] if collapsed else joints
    return -float(np.mean([information(counts, weight) for counts in joints]))
