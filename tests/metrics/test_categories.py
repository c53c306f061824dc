"""`categories`: counts by hand and the published table's own arithmetic; the rank correlation against its formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picie_core.metrics import categories


def test_the_discovered_by_hand():
    iou = np.array([80.0, 20.0, 19.99, 0.0, np.nan, 0.01])
    found = categories.discovered(iou)
    assert (found.count, found.with_cluster) == (2, 4)
    assert found.mean_iou == 50
    assert found.mean_iou_with_cluster == pytest.approx(120 / 4)
    assert categories.discovered(iou, 50).count == 1
    nothing = categories.discovered(np.array([0.0, np.nan]))
    assert (nothing.count, nothing.with_cluster) == (0, 0)
    assert np.isnan([nothing.mean_iou, nothing.mean_iou_with_cluster]).all()


@pytest.mark.parametrize(("everything", "with_cluster", "mean"), [(19.6, 60, 26.5), (18.2, 73, 20.2)])
def test_in_the_paper_the_background_is_counted(everything, with_cluster, mean):
    """Table 3: the classes with a cluster hold the whole sum of IoU, of which the background has a part of its own."""
    assert 81 * everything == pytest.approx(with_cluster * mean, abs=81 * 0.05 + with_cluster * 0.05)


def test_the_correlation_by_hand():
    iou, sizes = np.array([10.0, 40, 20, 30, np.nan]), np.array([0.1, 0.9, 0.3, 0.2, 0.5])
    # ranks 1 4 2 3 and 1 4 3 2: 1 - 6 (0 + 0 + 1 + 1) / (4 * 15)
    assert categories.size_correlation(iou, sizes) == pytest.approx(1 - 12 / 60)
    assert categories.size_correlation(iou, -sizes) == pytest.approx(-0.8)
    assert np.isnan(categories.size_correlation(np.full(5, 3.0), sizes))
    assert np.isnan(categories.size_correlation(iou[:1], sizes[:1]))
    with pytest.raises(ValueError, match="one of each"):
        categories.size_correlation(iou, sizes[:3])


@given(st.permutations(range(7)))
def test_the_correlation_is_of_ranks(order):
    sizes = np.arange(7.0)
    difference = np.square(np.array(order) - sizes).sum()
    found = categories.size_correlation(np.exp(np.array(order, dtype=float)), np.sqrt(sizes))
    assert found == pytest.approx(1 - 6 * difference / (7 * 48))
