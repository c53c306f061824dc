"""`laplacian`, `discovery`: the embedding against a dense eigen-decomposition and sklearn's, clusters and filters by
hand and against loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import sparse
from scipy.spatial.distance import cosine
from sklearn.manifold import spectral_embedding
from sklearn.metrics import adjusted_rand_score

from picie_core import discovery
from picie_core.discovery import laplacian
from picie_core.discovery.laplacian import ProposalError


def blobs(groups=4, each=40, spread=0.3, seed=0, dimensions=12):
    """Directions about `groups` centres, (groups * each, dimensions), at lengths of 0.1 to 10, and their groups."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(groups), each)
    points = np.eye(dimensions)[labels] + spread * rng.normal(size=(len(labels), dimensions)) / np.sqrt(dimensions)
    return points * 10 ** rng.uniform(-1, 1, (len(labels), 1)), labels


def rings(each=150, seed=0):
    """Two circles of directions about one axis, one narrow and one wide: no plane through 0 parts them."""
    rng = np.random.default_rng(seed)
    angle, labels = rng.uniform(0, 2 * np.pi, 2 * each), np.repeat([0, 1], each)
    width = np.where(labels == 0, 0.3, 1.0) + 0.03 * rng.normal(size=2 * each)
    return np.stack([width * np.cos(angle), width * np.sin(angle), np.ones(2 * each)], axis=1), labels


def dense(joined):
    """Eigenvalues and eigenvectors of the normalised Laplacian, all of them, and D^1/2; from the formula."""
    weights = joined.toarray()
    np.fill_diagonal(weights, 0)
    roots = np.sqrt(weights.sum(axis=1))
    values, vectors = np.linalg.eigh(np.eye(len(roots)) - weights / np.outer(roots, roots))
    return values, vectors, roots


def projector(columns):
    basis = np.linalg.qr(columns)[0]
    return basis @ basis.T


# -- the graph


def test_the_graph_by_hand():
    """Directions at 0, 10, 30 and 90 degrees, each joined to its nearest: 0-10 mutually, 30 to 10, 90 to 30."""
    angles = np.deg2rad([0, 10, 30, 90])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1) * [[1], [100], [0.01], [5]]
    found = laplacian.graph(features, 2).toarray()
    assert found.tolist() == [[1, 1, 0, 0], [1, 1, 0.5, 0], [0, 0.5, 1, 0.5], [0, 0, 0.5, 1]]


@given(st.integers(2, 9), st.integers(0, 999))
@settings(max_examples=20)
def test_the_graph_joins_the_most_similar(neighbors, seed):
    features = np.random.default_rng(seed).normal(size=(10, 4))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    expected = np.zeros((10, 10))
    for i, similar in enumerate(unit @ unit.T):
        expected[i, np.argsort(-similar)[:neighbors]] = 1
    np.testing.assert_array_equal(laplacian.graph(features, neighbors).toarray(), (expected + expected.T) / 2)


@pytest.mark.parametrize(
    ("features", "neighbors", "words"),
    [
        (np.eye(5), 5, "5 proposals, of which each is to be joined to its 5 nearest.*at most 4"),
        (np.eye(5), 1, "expected 2 neighbours or more"),
        (np.zeros((0, 3)), 2, r"shape \(0, 3\): expected"),
        (np.ones(3), 2, r"shape \(3,\): expected"),
        (np.diag([1.0, 1, 0, 0]), 2, "2 of 4 proposals, the first of them number 2, are all 0 or not finite"),
        (np.array([[1.0, np.nan], [1, 0], [0, 1]]), 2, "1 of 3 proposals, the first of them number 0"),
    ],
)
def test_what_has_no_graph(features, neighbors, words):
    with pytest.raises(ProposalError, match=words):
        laplacian.graph(features, neighbors)


# -- the embedding


@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_the_embedding_is_the_dense_decomposition(spread):
    features, _ = blobs(spread=spread)
    joined = laplacian.graph(features, 10)
    values, vectors, roots = dense(joined)
    found, ours, _, parts = laplacian.spectrum(joined, 9, seed=1)
    np.testing.assert_allclose(found, values[:9], atol=1e-10)
    np.testing.assert_allclose(projector(ours), projector(vectors[:, :9]), atol=1e-7)
    embedded = laplacian.embedding(laplacian.graph(features, 10), 9, seed=1)[0]
    assert embedded.shape == (160, 9)
    assert embedded.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(embedded * roots[:, None], axis=0), 1)
    for column in range(parts, 9):  # each of these eigenvalues is single: equal up to the sign, which is said
        expected = vectors[:, column] / roots
        expected *= np.sign(expected[np.abs(expected).argmax()])
        np.testing.assert_allclose(embedded[:, column], expected, atol=1e-6)
    assert (found[:parts] == 0).all()
    assert found[parts] > 1e-6


def test_the_embedding_is_sklearns():
    features, _ = blobs(spread=2.0)
    joined = laplacian.graph(features, 10)
    theirs = spectral_embedding(joined, n_components=6, drop_first=False, eigen_solver="arpack", random_state=0)
    ours = laplacian.embedding(laplacian.graph(features, 10), 6, seed=1)[0]
    for column in range(6):
        partner = np.abs(theirs.T @ ours[:, column] / np.linalg.norm(theirs, axis=0)).argmax()
        np.testing.assert_allclose(np.abs(ours[:, column]), np.abs(theirs[:, partner]), atol=1e-6)
    assert np.ptp(ours[:, 0]) < 1e-12  # the first is constant, and stays


@pytest.mark.parametrize("groups", [3, 12])
def test_a_graph_in_parts_has_an_indicator_for_each(groups):
    """Lanczos' method alone misses some of the eigenvalues that are all 0."""
    features, labels = blobs(groups, each=30, spread=0.2)
    joined = laplacian.graph(features, 8)
    values, vectors, _ = dense(joined)
    found, ours, roots, parts = laplacian.spectrum(joined, groups + 4, seed=1)
    assert parts == groups
    np.testing.assert_allclose(found, values[: groups + 4], atol=1e-10)
    np.testing.assert_allclose(projector(ours), projector(vectors[:, : groups + 4]), atol=1e-6)
    embedded = laplacian.embedding(laplacian.graph(features, 8), groups, seed=1)[0]
    for column in embedded.T:
        (part,) = set(labels[column != 0])
        assert np.ptp(column[labels == part]) == 0
        assert column[labels == part][0] == pytest.approx(1 / np.linalg.norm(roots[labels == part]))
    with pytest.raises(ProposalError, match=f"into {groups} parts, which {groups - 1} components"):
        laplacian.embedding(laplacian.graph(features, 8), groups - 1, seed=1)[0]


def test_the_largest_parts_come_first():
    features, labels = blobs(3, each=30, spread=0.2)
    chosen = np.concatenate([np.flatnonzero(labels == label)[:size] for label, size in enumerate((12, 30, 20))])
    embedded = laplacian.embedding(laplacian.graph(features[chosen], 8), 3, seed=1)[0]
    assert np.count_nonzero(embedded, axis=0).tolist() == [30, 20, 12]


def test_repeated_eigenvalues_are_all_found():
    """A ring's are in pairs."""
    angle = np.arange(60) * 2 * np.pi / 60
    ring = np.roll(np.eye(60), 1, axis=0) + np.roll(np.eye(60), -1, axis=0)
    values = laplacian.spectrum(sparse.csr_array(ring), 7, seed=1)[0]
    np.testing.assert_allclose(values, np.sort(1 - np.cos(angle))[:7], atol=1e-10)


def test_the_embedding_is_reproducible_and_its_seed_decides_nothing_else():
    features, _ = blobs(spread=2.0)
    first, again, other = (laplacian.embedding(laplacian.graph(features, 10), 5, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    np.testing.assert_allclose(first, other, atol=1e-8)


@pytest.mark.parametrize("components", [0, 12])
def test_eigenvectors_that_a_graph_does_not_have(components):
    with pytest.raises(
        ProposalError, match=f"{components} eigenvectors of the graph of 12 proposals: expected 1 to 11"
    ):
        laplacian.embedding(laplacian.graph(np.random.default_rng(0).normal(size=(12, 4)), 3), components, seed=1)


# -- clusters


def test_two_rings_are_two_clusters_for_the_graph_and_not_for_k_means():
    features, labels = rings()
    spectral = discovery.discover(features, 2, neighbors=12, seed=1)
    assert adjusted_rand_score(labels, spectral.labels) == 1
    assert adjusted_rand_score(labels, discovery.discover(features, 2, method="kmeans", seed=1).labels) < 0.5


@pytest.mark.parametrize("method", ["spectral", "kmeans"])
def test_distances_are_cosine_to_the_own_centre(method):
    features, labels = blobs(spread=1.0)
    found = discovery.discover(features, 4, method=method, neighbors=10, seed=1)
    assert adjusted_rand_score(labels, found.labels) > 0.9
    assert sorted(set(found.labels)) == [0, 1, 2, 3]
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    points = laplacian.embedding(laplacian.graph(features, 10), 4, seed=1)[0] if method == "spectral" else unit
    for point, label, distance in zip(points, found.labels, found.distances, strict=True):
        assert distance == pytest.approx(cosine(point, found.centres[label]), abs=1e-9)
    for label, centre in enumerate(found.centres):
        np.testing.assert_allclose(points[found.labels == label].mean(axis=0), centre, atol=1e-6)
    assert (found.parts is None) == (method == "kmeans")
    again = discovery.discover(features, 4, method=method, neighbors=10, seed=1)
    assert np.array_equal(found.labels, again.labels)
    assert np.array_equal(found.distances, again.distances)


def test_a_graph_in_parts_is_clustered_and_says_so():
    features, labels = blobs(5, spread=0.2)
    found = discovery.discover(features, 5, neighbors=8, seed=1)
    assert found.parts == 5
    assert adjusted_rand_score(labels, found.labels) == 1
    np.testing.assert_allclose(found.distances, 0, atol=1e-12)


def test_components_are_given_or_as_many_as_clusters():
    features, _ = blobs(spread=1.0)
    assert discovery.discover(features, 4, neighbors=10).centres.shape == (4, 4)
    assert discovery.discover(features, 4, components=7, neighbors=10).centres.shape == (4, 7)


def test_length_means_nothing_to_either_method():
    features, _ = blobs(spread=1.0)
    for method in ("spectral", "kmeans"):
        first, other = (
            discovery.discover(x, 4, method=method, neighbors=10)
            for x in (features, features / np.linalg.norm(features, axis=1, keepdims=True))
        )
        assert adjusted_rand_score(first.labels, other.labels) == 1


def test_a_centre_at_0_is_at_distance_1():
    found = discovery.discover(np.array([[1.0, 0], [-1, 0]]), 1, method="kmeans")
    assert found.distances.tolist() == [1, 1]


@pytest.mark.parametrize("method", ["spectral", "kmeans"])
def test_fewer_proposals_than_clusters(method):
    with pytest.raises(ProposalError, match=r"3 proposals cannot make 4 clusters: expected 1 to 3. Give more images"):
        discovery.discover(np.eye(3), 4, method=method, neighbors=2)
    with pytest.raises(
        ProposalError, match="no proposals are left to make 4 clusters of: no image has a salient region"
    ):
        discovery.discover(np.empty((0, 3)), 4, method=method, neighbors=2)


def test_duplicates_that_would_leave_clusters_empty():
    features = np.repeat(np.eye(3), 4, axis=0)
    with pytest.raises(ProposalError, match="12 proposals, of which 3 differ, cannot make 4 clusters"):
        discovery.discover(features, 4, method="kmeans")
    assert np.bincount(discovery.discover(features, 3, method="kmeans").labels).tolist() == [4, 4, 4]


def test_k_means_by_hand_and_best_of_its_restarts():
    points = np.array([[0.0], [1], [10], [11], [12], [50]])
    labels, centres = discovery.cluster(points, 3, 10, seed=1)
    assert np.sort(centres[:, 0]).tolist() == [0.5, 11, 50]
    assert labels.dtype == np.int64
    assert centres[labels, 0].tolist() == [0.5, 0.5, 11, 11, 11, 50]
    spread = np.random.default_rng(0).normal(size=(300, 2))

    def inertia(restarts, seed):
        labels, centres = discovery.cluster(spread, 12, restarts, seed)
        return np.square(spread - centres[labels]).sum()

    assert inertia(30, 1) < inertia(1, 1)
    assert len({inertia(1, seed) for seed in range(5)}) > 1  # the seed decides


# -- filtering


def test_the_farthest_fifth_of_each_cluster_goes_by_hand():
    labels = np.array([0] * 5 + [1] * 10)
    distances = np.array([0.1, 0.5, 0.2, 0.4, 0.3, *np.arange(10) + 2.0])
    # percentiles at 80: between the 4th and the 5th of five (0.42), between the 8th and the 9th of ten (9.2)
    keep = discovery.kept(labels, distances, 0.2)
    assert keep.tolist() == [True, False, True, True, True] + 8 * [True] + 2 * [False]
    assert discovery.kept(labels, distances, 0.0).all()
    assert discovery.kept(labels, distances, 0.6).sum() == 2 + 4


def test_a_cluster_of_one_or_of_equals_is_kept():
    labels, distances = np.array([3, 0, 0, 0, 1, 1]), np.array([0.7, 0.2, 0.2, 0.2, 0.1, 0.3])
    assert discovery.kept(labels, distances, 0.2).tolist() == [True, True, True, True, True, False]


@given(
    npst.arrays(np.int64, 30, elements=st.integers(0, 4)),
    npst.arrays(np.float64, 30, elements=st.floats(0, 2)),
    st.floats(0, 0.99),
)
def test_filtering_is_the_loop_and_keeps_every_cluster(labels, distances, share):
    keep = discovery.kept(labels, distances, share)
    assert set(labels[keep]) == set(labels)
    for label in set(labels):
        own, stay = distances[labels == label], keep[labels == label]
        if not stay.all():
            assert own[stay].max() <= own[~stay].min()  # the farthest go
        limit = np.quantile(own, 1 - share)
        if share and (own < limit).any():
            assert stay.tolist() == [d < limit for d in own]


@pytest.mark.parametrize(
    ("share", "distances", "words"),
    [
        (1.0, np.zeros(3), "share of 1.0 to filter: expected 0 to below 1"),
        (-0.1, np.zeros(3), "share of -0.1"),
        (0.2, np.zeros(2), "one finite distance"),
        (0.2, np.array([0, np.nan, 1]), "one finite distance"),
    ],
)
def test_what_cannot_be_filtered(share, distances, words):
    with pytest.raises(ProposalError, match=words):
        discovery.kept(np.zeros(3, int), distances, share)


# -- proposals that were not clustered


def at(*degrees):
    return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1)


def test_the_vote_by_hand():
    features, labels = at(0, 10, 20, 40, 90), np.array([0, 1, 1, 2, 2])
    new = at(-5, 44) * [[7.0], [0.1]]
    assert discovery.assign(new, features, labels, 1).tolist() == [0, 2]
    assert discovery.assign(new, features, labels, 2).tolist() == [0, 2]  # 0 and 1 draw, and 2 and 1: the nearest's
    assert discovery.assign(new, features, labels, 3).tolist() == [1, 1]
    assert discovery.assign(new, features, labels, 99).tolist() == [1, 2]  # 1 and 2 have two each: the nearer one's
    found = discovery.assign(np.zeros((0, 2)), features, labels, 3)
    assert found.shape == (0,)
    assert found.dtype == np.int64


@given(st.integers(1, 12), st.integers(0, 999))
@settings(max_examples=20)
def test_the_vote_is_the_loop(neighbors, seed):
    rng = np.random.default_rng(seed)
    features, new, labels = rng.normal(size=(10, 3)), rng.normal(size=(6, 3)), rng.integers(0, 4, 10)
    for row, found in zip(new, discovery.assign(new, features, labels, neighbors), strict=True):
        nearest = sorted(range(10), key=lambda i: cosine(row, features[i]))[:neighbors]
        votes = [list(labels[nearest]).count(label) for label in range(4)]
        assert found == next(labels[i] for i in nearest if votes[labels[i]] == max(votes))


def test_the_known_keep_their_cluster_by_one_vote():
    features, _ = blobs()
    labels = np.arange(len(features)) % 7
    assert np.array_equal(discovery.assign(features, features, labels, 1), labels)


@pytest.mark.parametrize(("labels", "neighbors"), [(np.zeros(2, int), 3), (np.zeros(3, int), 0)])
def test_a_vote_without_labels_or_voters(labels, neighbors):
    with pytest.raises(ProposalError, match="expected a label for each, and 1 vote or more"):
        discovery.assign(np.eye(3), np.eye(3), labels, neighbors)


def test_the_rings_go_to_their_own():
    features, labels = rings()
    known = np.arange(len(labels)) % 2 == 0
    voted = discovery.assign(features[~known], features[known], labels[known], 5)
    assert (voted == labels[~known]).mean() > 0.98
