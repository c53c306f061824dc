"""`benchmark.costs`: projections, counted by hand."""

import pytest

from picie_core.benchmark import costs


def test_a_run_counted_by_hand():
    # 3,600 images of 100 ms: 360 s an epoch; ten epochs an hour
    found = costs.projected(3600, 100, (1, 4), epochs=10, image_size=40, price=2.0, efficiency=0.5)
    assert found.loc[1, "hours"] == pytest.approx(1)
    assert found.loc[4, "hours"] == pytest.approx(0.5)  # four devices, half of whose time is lost
    assert found.loc[1, "price"] == pytest.approx(2)
    assert found.loc[4, "price"] == pytest.approx(4)
    assert found.loc[1, "labels (GB a device)"] == pytest.approx(2 * 3600 * 100 / 1e9)  # 10 x 10 labels, two views
    assert found.loc[4, "labels (GB a device)"] == pytest.approx(2 * 900 * 100 / 1e9)
    assert found.loc[4, "disk (GB)"] == pytest.approx(3600 * 4800 / 1e9)
    assert found.loc[1, "reading (GB/s)"] == pytest.approx(40 * 3600 * 4800 / 1e9 / 3600)


def test_more_clusterings_keep_more_labels():
    one = costs.projected(100, 1, (1,))
    two = costs.projected(100, 1, (1,), clusterings=4, bytes_a_label=2)
    assert two.loc[1, "labels (GB a device)"] == 4 * one.loc[1, "labels (GB a device)"]


def test_an_estimate_is_operations_over_speed():
    assert costs.estimate(peak=750, share=0.1) == pytest.approx(1.0)  # 75 GFLOP at 75 TFLOP/s: 1 ms
    assert costs.estimate(peak=750, share=0.1, image_size=160) == pytest.approx(0.25)
    assert costs.scaled(10, 160, 320) == 40
