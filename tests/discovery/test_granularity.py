"""`granularity`: eigengaps against a dense decomposition, stability against loops, and both find what is there."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score
from test_discovery import blobs, dense

from picie_core import draws
from picie_core.discovery import discover, granularity, laplacian
from picie_core.discovery.laplacian import ProposalError


def test_eigengaps_are_those_of_the_dense_decomposition():
    features, _ = blobs(4, spread=1.2)
    values = dense(laplacian.graph(features, 10))[0]
    found = granularity.eigengaps(features, 7, 10, seed=1)
    assert found["clusters"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    np.testing.assert_allclose(found["eigenvalue"], values[:7], atol=1e-10)
    np.testing.assert_allclose(found["gap"], values[1:8] - values[:7], atol=1e-10)
    assert granularity.chosen(found) == 4


def test_parts_are_counted_by_the_gap():
    features, _ = blobs(5, spread=0.2)
    found = granularity.eigengaps(features, 9, 8, seed=1)
    assert (found["eigenvalue"][:5] == 0).all()
    assert granularity.chosen(found) == 5
    assert (granularity.eigengaps(features, 3, 8, seed=1)["gap"] == 0).all()  # more parts than were looked at


@pytest.mark.parametrize("method", ["spectral", "kmeans"])
def test_what_is_there_comes_out_again(method):
    features, _ = blobs(4, each=30, spread=0.9)
    given = {"subsamples": 4, "share": 0.8, "seed": 1, "method": method, "neighbors": 10, "restarts": 5}
    found = granularity.stability(features, [2, 3, 4, 6, 8], **given)
    assert found["clusters"].tolist() == [2, 3, 4, 6, 8]
    assert (found["pairs"] == 6).all()
    assert granularity.chosen(found) == 4
    assert found["agreement"][2] > 0.95
    assert found["agreement"][4] < 0.9
    pd.testing.assert_frame_equal(found, granularity.stability(features, [2, 3, 4, 6, 8], **given))


@pytest.mark.parametrize(("method", "components"), [("spectral", None), ("spectral", 5), ("kmeans", None)])
def test_stability_is_the_loop(method, components):
    """On groups so clear that the start of k-means decides nothing."""
    features, _ = blobs(3, each=30, spread=1.1)
    own = {"method": method, "components": components, "neighbors": 12, "restarts": 10}
    found = granularity.stability(features, [3], subsamples=3, share=0.7, seed=5, **own)
    rows, labels = [], []
    for number in range(3):
        rows.append(np.sort(draws.generator((5, "subsample", number)).choice(90, 63, replace=False)))
        labels.append(dict(zip(rows[-1], discover(features[rows[-1]], 3, **own).labels, strict=True)))
    expected = []
    for a, b in combinations(labels, 2):
        common = sorted(set(a) & set(b))
        assert 30 < len(common) < 63
        expected.append(adjusted_rand_score([a[i] for i in common], [b[i] for i in common]))
    assert found["agreement"].tolist() == pytest.approx([np.mean(expected)])
    assert found["sd"].tolist() == pytest.approx([np.std(expected)])


def test_subsamples_in_too_many_parts_or_apart_are_in_no_pair():
    features, _ = blobs(5, spread=0.2)
    given = {"subsamples": 3, "seed": 1, "neighbors": 6, "restarts": 2}
    found = granularity.stability(features, [3, 5], share=0.7, **given)
    assert found["pairs"].tolist() == [0, 3]
    assert np.isnan(found["agreement"][0])
    assert found["agreement"][1] == 1
    assert granularity.chosen(found) == 5


def test_noise_agrees_about_as_much_as_chance():
    noise = np.random.default_rng(0).normal(size=(200, 30))
    found = granularity.stability(noise, [2, 6], subsamples=3, share=0.5, seed=1, method="kmeans", restarts=1)
    assert (found["agreement"].abs() < 0.25).all()


def test_the_highest_from_two_on_the_most_of_equals():
    curve = pd.DataFrame({"clusters": [1, 2, 3, 4, 5], "gap": [9.0, 1, 3, 3, np.nan]})
    assert granularity.chosen(curve) == 4
    with pytest.raises(ProposalError, match=r"value of 'gap' at 2 clusters or more, got those of \[1\]"):
        granularity.chosen(curve[:1])


@pytest.mark.parametrize("changes", [{"ks": []}, {"ks": [1, 2]}, {"subsamples": 1}, {"share": 0.0}, {"share": 1.1}])
def test_what_has_no_stability(changes):
    given = {"ks": [2], "subsamples": 2, "share": 0.5, "seed": 1} | changes
    with pytest.raises(ProposalError, match="expected 2 clusters or more each"):
        granularity.stability(np.eye(9), **given)
