"""Proposals as a graph of nearest neighbours, its Laplacian, and where the Laplacian puts them (COMUS, section 3.1).

A proposal is what one salient region of an image shows; its feature is a vector. "Near" means by cosine similarity
throughout: features of any length come in, and every function here and in `discovery` scales them to length 1. (The
release takes Euclidean distances of DINO's features as they come; for vectors of one length the two are one order.)
"""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator, eigsh
from threadpoolctl import threadpool_limits

from picie_core import draws
from picie_core.errors import WorkbookError


class ProposalError(WorkbookError, ValueError):
    """Proposals that cannot be clustered as asked; the message says what to try."""


def graph(features: np.ndarray, neighbors: int) -> sparse.csr_array:
    """The graph of nearest neighbours, 0.5 (A + A^T), A_ij = 1 where j is among the `neighbors` nearest of i.

    Args:
        features: (n, D), of any length but 0.
        neighbors: of each proposal, itself among them (`include_self`), 2..n-1.

    Returns:
        (n, n) float64, symmetric, of 0, 0.5 and 1.

    Raises:
        ProposalError: a feature is not finite or all 0; or there are not more proposals than neighbours: each would be
            every other's, and nothing would tell them apart. (sklearn takes as many, the release stops inside it.)
    """
    from sklearn.neighbors import kneighbors_graph  # a second of import

    points = unit(features)
    if not 2 <= neighbors < len(points):
        raise ProposalError(
            f"{len(points)} proposals, of which each is to be joined to its {neighbors} nearest, itself among them: "
            f"expected 2 neighbours or more, and more proposals than that. Give more images, lower comus_neighbors to "
            f"at most {max(len(points) - 1, 2)}, or take comus_clustering = 'kmeans'"
        )
    with threadpool_limits(1):  # with several, which of two equally near ones is taken would depend on their number
        joined = kneighbors_graph(points, neighbors, include_self=True)
    return sparse.csr_array(0.5 * (joined + joined.T))


def embedding(joined: sparse.csr_array, components: int, seed: int, lenient: bool = False) -> tuple[np.ndarray, int]:
    """The spectral embedding: the first eigenvectors of a graph's normalised Laplacian, the constant one included.

    L = I - D^-1/2 W D^-1/2, L x = lambda x, u = D^-1/2 x (von Luxburg 2007, "Lrw"; sheet 2.3), W of `graph`
    without its diagonal, D its row sums: what `sklearn.manifold.spectral_embedding(W, drop_first=False)` computes,
    whose ARPACK factorises L and does not end in minutes where 10,000 proposals have little structure. Here ARPACK
    looks for the largest eigenvalues of I - L.

    A graph of c parts has c eigenvalues 0, whose eigenvectors are constant on a part and 0 elsewhere. These are
    written down, the largest part first, and only the others are searched for: Lanczos' method misses copies of an
    eigenvalue. The release has sklearn warn, and takes what comes.

    Args:
        joined: (n, n), see `graph`.
        components: eigenvectors, 1..n-1; COMUS: the number of clusters.
        seed: of the vector that the search starts from, which decides nothing but the last bits.
        lenient: more parts than components are no error; the smallest parts then lie at 0, all in one place.

    Returns:
        (n, components) float64, eigenvalues ascending; in each column the entry farthest from 0 is positive. And the
        number of the graph's parts.

    Raises:
        ProposalError: components out of range, or fewer than the graph has parts.
    """
    _, vectors, roots, parts = spectrum(joined, components, seed)
    if parts > components and not lenient:
        raise ProposalError(
            f"the graph of neighbours falls into {parts} parts, which {components} components cannot tell apart: raise "
            f"comus_neighbors, or comus_components (or num_clusters) to {parts} or more"
        )
    found = vectors / roots[:, None]
    constant = found[:, :parts]
    constant[:] = np.where(constant > 0, constant.max(axis=0), 0.0)  # exactly, so that a part is one point to k-means
    return found * np.sign(found[np.abs(found).argmax(axis=0), np.arange(components)]), parts


def spectrum(joined: sparse.csr_array, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The smallest eigenvalues of a graph's normalised Laplacian, see `embedding`.

    Args:
        joined: (n, n), see `graph`.
        count: of eigenvalues, 1..n-1: Lanczos' method does not find all n.
        seed: see `embedding`.

    Returns:
        Eigenvalues (count,), ascending, 0 to 2; their eigenvectors, (n, count), of length 1; the diagonal of D^1/2,
        (n,); and the number of the graph's connected parts.
    """
    laplacian, roots = sparse.csgraph.laplacian(joined, normed=True, return_diag=True)
    n = len(roots)
    if not 1 <= count < n:
        raise ProposalError(
            f"{count} eigenvectors of the graph of {n} proposals: expected 1 to {n - 1}. Give more images, or lower "
            "comus_components or num_clusters"
        )
    parts, part = sparse.csgraph.connected_components(joined, directed=False)
    order = np.argsort(-np.bincount(part), kind="stable")
    constant = np.where(part[:, None] == order[: min(parts, count)], roots[:, None], 0.0)
    constant /= np.linalg.norm(constant, axis=0)
    if parts >= count:
        return np.zeros(count), constant, roots, parts
    affinity = aslinearoperator(sparse.eye_array(n) - laplacian)  # its eigenvalues lie in [-1, 1]
    known = aslinearoperator(sparse.csr_array(constant))
    wanted = count - parts
    start = draws.generator((seed, "eigenvectors")).uniform(-1, 1, n)
    width = min(n, max(3 * wanted, 20))  # of the subspace: a third of the time of the 2 of the default
    with threadpool_limits(1):
        deflated = affinity - 2.0 * (known @ known.T)  # moves the known eigenvalues from 1 to -1
        values, vectors = eigsh(deflated, k=wanted, which="LA", v0=start, ncv=width)
    downward = np.argsort(-values, kind="stable")
    values = np.concatenate([np.zeros(parts), 1 - values[downward]])
    return values, np.hstack([constant, vectors[:, downward]]), roots, parts


def unit(features: np.ndarray) -> np.ndarray:
    """Features at length 1, float64; refused where they have no direction."""
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or not features.shape[0]:
        raise ProposalError(f"features of shape {features.shape}: expected (proposals, dimensions), 1 proposal or more")
    bad = np.array(~np.isfinite(features).all(axis=1) | ~features.any(axis=1))
    if bad.any():
        raise ProposalError(
            f"the features of {bad.sum()} of {len(bad)} proposals, the first of them number {bad.argmax()}, are all "
            "0 or not finite: they have no direction. Look at the image it is from, or at the network's weights"
        )
    return scaled(features)


def scaled(points: np.ndarray) -> np.ndarray:
    """Rows at length 1; a row of zeros stays, so that its cosine distance to everything is 1."""
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return np.divide(points, lengths, out=np.zeros_like(points), where=lengths > 0)
