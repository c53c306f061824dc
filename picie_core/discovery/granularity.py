"""How many categories there are among proposals: eigengaps, and how stable clusterings are, by number of clusters.

COMUS takes the number of the data set's classes and leaves the choice open (sections 4.5 and B.3).
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd

from picie_core import draws
from picie_core.discovery import cluster
from picie_core.discovery.laplacian import ProposalError, embedding, graph, spectrum, unit


def eigengaps(features: np.ndarray, most: int, neighbors: int, seed: int) -> pd.DataFrame:
    """Eigenvalues of the normalised Laplacian and the gaps between them: k clusters far apart have k small ones.

    COMUS takes the number of the data set's classes for k and leaves the choice open (section 4.5).

    Args:
        features, neighbors, seed: see `embedding`.
        most: the largest k looked at, 1..n-2.

    Returns:
        Columns clusters (k = 1..most), eigenvalue (lambda_k, 0 to 2, ascending, the first 0), gap
        (lambda_{k+1} - lambda_k); see `chosen`.

    Raises:
        ProposalError: as `graph`, or `most` out of range.
    """
    values = spectrum(graph(features, neighbors), most + 1, seed)[0]
    return pd.DataFrame({"clusters": np.arange(1, most + 1), "eigenvalue": values[:-1], "gap": np.diff(values)})


def stability(
    features: np.ndarray,
    ks: Sequence[int],
    *,
    subsamples: int,
    share: float,
    seed: int,
    method: Literal["spectral", "kmeans"] = "spectral",
    components: int | None = None,
    neighbors: int = 30,
    restarts: int = 10,
) -> pd.DataFrame:
    """How far clusterings of random subsamples agree, for each k: a number of clusters that is there comes out again.

    Args:
        features, method, components, neighbors, restarts: see `discover`.
        ks: numbers of clusters, 2 or more each: one cluster always agrees.
        subsamples: how many, 2 or more; of a `share` of the proposals each, without replacement, 0 < share <= 1.
        seed: of the subsamples, the same ones for every k, and of their clusterings.

    Returns:
        Columns clusters, pairs (of subsamples that were compared), sd (of the agreements of pairs, which are not
        independent; ddof 0), agreement (mean adjusted Rand index on the proposals that two subsamples share; 1 equal,
        about 0 by chance; nan without pairs): see `chosen`. A subsample whose graph has more parts than components is
        in no pair of that k.

    Raises:
        ProposalError: as `discover`, or an argument out of range.
    """
    from sklearn.metrics import adjusted_rand_score  # a second of import

    if not ks or min(ks) < 2 or subsamples < 2 or not 0 < share <= 1:
        raise ProposalError(
            f"stability of {list(ks)} clusters over {subsamples} subsamples of a share of {share}: expected 2 clusters "
            "or more each, 2 subsamples or more, and a share above 0 and up to 1"
        )
    count, drawn, found = max(1, round(share * len(features))), [], []
    for number in range(subsamples):
        own = draws.seed((seed, "subsample", number))
        rows = np.sort(draws.generator((seed, "subsample", number)).choice(len(features), count, replace=False))
        points, parts = unit(features[rows]), 0
        if method == "spectral":
            joined = graph(features[rows], neighbors)
            points, parts = embedding(joined, max(ks) if components is None else components, own, lenient=True)
        wide = {k: points.shape[1] if method == "kmeans" or components is not None else k for k in ks}
        drawn.append(rows)
        found.append({k: cluster(points[:, : wide[k]], k, restarts, own)[0] for k in ks if wide[k] >= parts})
    lines = []
    for k in ks:
        agreements = []
        for a, b in combinations([number for number, labels in enumerate(found) if k in labels], 2):
            _, first, second = np.intersect1d(drawn[a], drawn[b], assume_unique=True, return_indices=True)
            if len(first) > 1:
                agreements.append(adjusted_rand_score(found[a][k][first], found[b][k][second]))
        mean, sd = (float(np.mean(agreements)), float(np.std(agreements))) if agreements else (np.nan, np.nan)
        lines.append({"clusters": k, "pairs": len(agreements), "sd": sd, "agreement": mean})
    return pd.DataFrame(lines)


def chosen(curve: pd.DataFrame) -> int:
    """The number of clusters, 2 or more, where a curve of `eigengaps` or `stability` is highest.

    Of equal ones the most clusters: groups of groups can be as stable as the groups.

    Raises:
        ProposalError: the curve has no value at 2 clusters or more.
    """
    values = curve.iloc[:, -1].where(curve["clusters"] >= 2)
    if values.isna().all():
        raise ProposalError(
            f"no number of clusters to choose: expected a value of {curve.columns[-1]!r} at 2 clusters or more, got "
            f"those of {curve['clusters'].tolist()}. Look at more clusters, or raise comus_neighbors"
        )
    return int(curve.loc[values == values.max(), "clusters"].max())
