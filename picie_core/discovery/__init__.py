"""Object categories among proposals: clusters of their features, and which of their members to trust (COMUS, sec. 3.1).

What a proposal is, and "near": see `laplacian`. How many clusters there are: `granularity`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from picie_core import draws
from picie_core.discovery.laplacian import ProposalError, embedding, graph, scaled, unit


@dataclass(frozen=True)
class Discovery:
    """A clustering of n proposals.

    Attributes:
        labels: cluster of each, (n,) int64, 0..k-1; every cluster has members.
        distances: cosine distance of each to its cluster's centre, (n,) float64, 0 to 2: in the spectral embedding, or
            in feature space for k-means.
        centres: (k, d) float64 in the same space.
        parts: connected parts of the graph of neighbours; more than one is legal (see `embedding`). None for k-means.
    """

    labels: np.ndarray
    distances: np.ndarray
    centres: np.ndarray
    parts: int | None


def cluster(points: np.ndarray, k: int, restarts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """k-means (k-means++ starts, Lloyd), the best of `restarts`.

    On one thread, so that the result does not depend on how many there are. An empty cluster is given the point
    farthest from its centre (sklearn).

    Args:
        points: (n, d), finite.
        k: clusters, 1..n.
        restarts: `n_init`.
        seed: of the starts.

    Returns:
        The cluster of each point, (n,) int64, and the centres, (k, d) float64.

    Raises:
        ProposalError: fewer points than clusters, or fewer different ones, which would leave clusters empty.
    """
    from sklearn.cluster import KMeans  # a second of import

    _need_proposals(len(points), k)
    points = np.asarray(points, dtype=np.float64)
    if (different := len(np.unique(points, axis=0))) < k:
        raise ProposalError(
            f"{len(points)} proposals, of which {different} differ, cannot make {k} clusters: some would be empty. "
            "Look for images that stand there twice, or lower num_clusters"
        )
    with threadpool_limits(1):
        found = KMeans(k, random_state=draws.seed((seed, "k-means"))).set_params(n_init=restarts).fit(points)
    return np.asarray(found.labels_, dtype=np.int64), np.asarray(found.cluster_centers_)


def discover(
    features: np.ndarray,
    k: int,
    *,
    method: Literal["spectral", "kmeans"] = "spectral",
    components: int | None = None,
    neighbors: int = 30,
    restarts: int = 10,
    seed: int = 1,
) -> Discovery:
    """Clusters of proposals: k-means in the spectral embedding (Algorithm 1, step 3), or of the features (Table 5).

    Cosine distances in the embedding are taken from 0, not from its mean, as in the release; `kept` filters by them.

    Args:
        features: (n, D).
        k: clusters, 1..n.
        method: `spectral` or `kmeans`.
        components, neighbors: of the embedding; components None: k, as COMUS. Not of `kmeans`.
        restarts: see `cluster`.
        seed: of every draw.

    Raises:
        ProposalError: as `embedding` and `cluster`.
    """
    _need_proposals(len(features), k)  # before anything else is said of them
    if method == "spectral":
        points, parts = embedding(graph(features, neighbors), k if components is None else components, seed)
    else:
        points, parts = unit(features), None
    labels, centres = cluster(points, k, restarts, seed)
    return Discovery(labels, 1 - (scaled(points) * scaled(centres)[labels]).sum(axis=1), centres, parts)


def kept(labels: np.ndarray, distances: np.ndarray, share_filtered: float) -> np.ndarray:
    """Which proposals to train on: of each cluster those below the (1 - p) percentile of its own distances (sheet 2.4).

    Where none is below (a cluster of one, or all equally far) those at the percentile stay: the release, which compares
    with < alone, would lose the cluster.

    Args:
        labels, distances: of a `Discovery`, (n,).
        share_filtered: p, 0 <= p < 1; COMUS: 0.2. 0 keeps all.

    Returns:
        (n,) bool; every cluster keeps a member.

    Raises:
        ProposalError: p is out of range, the shapes differ, or a distance is not finite.
    """
    if not 0 <= share_filtered < 1:
        raise ProposalError(f"a share of {share_filtered} to filter: expected 0 to below 1; set comus_filtered so")
    if labels.shape != distances.shape or not np.isfinite(distances).all():
        raise ProposalError(
            f"labels {labels.shape} and distances {distances.shape}: expected one finite distance a label"
        )
    if share_filtered == 0:
        return np.ones(len(labels), dtype=bool)
    keep = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        own = distances[members]
        limit = np.percentile(own, 100 * (1 - share_filtered))
        keep[members] = own < limit if (own < limit).any() else own <= limit
    return keep


def assign(new: np.ndarray, features: np.ndarray, labels: np.ndarray, neighbors: int) -> np.ndarray:
    """The cluster of proposals that were not clustered: the vote of the most similar ones that were.

    A spectral embedding knows only the points it was made of. (COMUS has no need of this: what it scores without
    self-training it has clustered, and a trained network segments any image.) Where clusters have as many votes, the
    one of the nearest proposal among theirs wins.

    Args:
        new: (m, D).
        features, labels: of the known ones, (n, D) and (n,) int, 0 or more.
        neighbors: votes, 1 or more; all of them where there are fewer.

    Returns:
        (m,) int64.

    Raises:
        ProposalError: a feature is not finite or all 0, no vote was asked for, or labels and features differ in number.
    """
    from sklearn.neighbors import NearestNeighbors  # a second of import

    if len(labels) != len(features) or neighbors < 1:
        raise ProposalError(
            f"{len(labels)} labels of {len(features)} proposals, and {neighbors} votes: expected a label for each, and "
            "1 vote or more"
        )
    known = unit(features)
    if not len(new):
        return np.zeros(0, dtype=np.int64)
    with threadpool_limits(1):
        near = NearestNeighbors(n_neighbors=min(neighbors, len(known))).fit(known)
        voters = near.kneighbors(unit(new), return_distance=False)
    ballots, rows = labels[voters], np.arange(len(new))[:, None]  # nearest first
    votes = np.zeros((len(new), labels.max() + 1), dtype=np.int64)
    np.add.at(votes, (rows, ballots), 1)
    won = (votes == votes.max(axis=1, keepdims=True))[rows, ballots]
    return ballots[np.arange(len(new)), won.argmax(axis=1)].astype(np.int64)


def _need_proposals(count: int, k: int) -> None:
    if not count:
        raise ProposalError(
            f"no proposals are left to make {k} clusters of: no image has a salient region that is large enough and of "
            "more than one colour. Lower comus_smallest or comus_threshold, take another comus_saliency, or look at "
            "the images and at masks from files"
        )
    if not 1 <= k <= count:
        raise ProposalError(
            f"{count} proposals cannot make {k} clusters: expected 1 to {count}. Give more images, lower num_clusters, "
            "or lower comus_smallest or comus_threshold, so that more regions are proposals"
        )
