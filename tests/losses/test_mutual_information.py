"""`mutual_information`: joint distributions and IIC's loss, against loops in numpy, by hand, and in what they build."""

import math

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from picie_core.losses.mutual_information import distribution, iic_loss, information, joint, shares


def maps(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return (2 * oracles.noise(*shape, seed=seed).to(dtype)).softmax(dim=1)


def holes(*shape: int) -> torch.Tensor:
    return (oracles.noise(*shape, seed=9) > -0.5).double()


def test_counted_by_hand():
    """One row of three pixels: clusters 0 0 1 against 0 1 1."""
    first = torch.tensor([[[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]])
    second = torch.tensor([[[[1.0, 0.0, 0.0]], [[0.0, 1.0, 1.0]]]])
    found = joint(first, second, 1)
    assert found.shape == (3, 3, 2, 2)
    expected = {
        -1: [[0, 2], [0, 0]],  # first's 0, 0 at second's 1, 1: the pixel before
        0: [[1, 1], [0, 1]],
        1: [[1, 0], [0, 1]],  # first's 0, 1 at second's 0, 1: the pixel after
    }
    for dx, counts in expected.items():
        torch.testing.assert_close(found[1, 1 + dx], torch.tensor(counts).double(), atol=1e-12, rtol=0)
    assert found[0].abs().max() < 1e-6  # there is no row above
    assert found[2].abs().max() < 1e-6


@pytest.mark.parametrize(("shape", "t"), [((2, 3, 5, 4), 2), ((1, 2, 4, 7), 3), ((3, 4, 3, 3), 0), ((1, 2, 2, 5), 1)])
def test_the_joint_is_the_loops(shape, t):
    first, second = maps(*shape), maps(*shape, seed=1)
    found = joint(first, second, t)
    assert found.shape == (2 * t + 1, 2 * t + 1, shape[1], shape[1])
    for u, v in np.ndindex(found.shape[:2]):
        expected = oracles.joint(first.numpy(), second.numpy(), u - t, v - t)
        np.testing.assert_allclose(found[u, v], expected, atol=1e-12)


def test_information_by_hand():
    independent = torch.outer(torch.tensor([0.2, 0.3, 0.5]), torch.tensor([0.2, 0.3, 0.5]))
    assert float(information(independent, 1)) == pytest.approx(0, abs=1e-6)
    assert float(information(distribution(7 * torch.eye(4)), 1)) == pytest.approx(math.log(4))
    # P = [[1/2, 1/4], [1/4, 0]]: marginals 3/4 and 1/4
    counts = torch.tensor([[2.0, 2.0], [0.0, 0.0]])
    p, rows = [0.5, 0.25, 0.25], [(0.75, 0.75), (0.75, 0.25), (0.25, 0.75)]
    for weight in (1.0, 1.5):
        by_hand = sum(v * (math.log(v) - weight * math.log(a * b)) for v, (a, b) in zip(p, rows, strict=True))
        assert float(information(distribution(counts), weight)) == pytest.approx(by_hand, rel=1e-5)
    assert information(distribution(torch.ones(5, 7, 3, 3)), 1).shape == (5, 7)


def test_symmetry_makes_information_of_a_pair_that_is_always_the_same():
    """The first pixel is always a, the second always b: that tells nothing of either, and looks like ln 2."""
    always = torch.tensor([[0.0, 4.0], [0.0, 0.0]])
    assert float(information(shares(always), 1)) == pytest.approx(0, abs=1e-6)
    assert float(information(distribution(always), 1)) == pytest.approx(math.log(2))
    assert shares(torch.full((2, 3, 3), 0.01)).sum() < 0.4  # less than half a pair counts as none


CASES = [(2, 1.0, False), (2, 1.0, True), (1, 1.5, False), (1, 2.5, True), (0, 1.0, False), (3, 1.0, False)]


@pytest.mark.parametrize(("t", "weight", "collapsed"), CASES)
def test_the_loss_and_its_gradient_are_the_loops(t, weight, collapsed):
    first, second, mask = maps(2, 3, 4, 5), maps(2, 3, 4, 5, seed=1), holes(2, 1, 4, 5)
    for leaf in (first, second):
        leaf.requires_grad_()
    loss = iic_loss(first, second, mask, t, weight, collapsed)
    assert loss.shape == ()
    rule = (mask.numpy(), t, weight, collapsed)
    a, b = first.detach().numpy(), second.detach().numpy()
    assert float(loss.detach()) == pytest.approx(oracles.iic_loss(a, b, *rule), rel=1e-9)
    loss.backward()
    picked = np.random.default_rng(0).choice(a.size, 8, replace=False)
    for number, gradient in enumerate((first.grad, second.grad)):
        for place in picked:
            sides = []
            for step in (1e-5, -1e-5):
                moved = [a.copy(), b.copy()]
                moved[number].flat[place] += step
                sides.append(oracles.iic_loss(*moved, *rule))
            assert float(gradient.flatten()[place]) == pytest.approx((sides[0] - sides[1]) / 2e-5, abs=1e-8, rel=1e-5)


def test_the_cases_differ():
    first, second, mask = maps(2, 3, 4, 5), maps(2, 3, 4, 5, seed=1), holes(2, 1, 4, 5)
    found = [float(iic_loss(first, second, mask, *case)) for case in CASES]
    found.append(float(iic_loss(first, second, torch.ones_like(mask), *CASES[0])))
    assert len({round(value, 7) for value in found}) == len(found)


@given(st.integers(2, 4), st.integers(0, 3), st.booleans(), st.integers(0, 99))
def test_it_lies_between_none_and_all(k, t, collapsed, seed):
    first, second = maps(2, k, 4, 5, seed=seed), maps(2, k, 4, 5, seed=seed + 100)
    mask = torch.ones(2, 1, 4, 5)
    loss = float(iic_loss(first, second, mask, t, 1.0, collapsed))
    assert -math.log(k) - 1e-9 <= loss <= 1e-9
    assert float(iic_loss(second, first, mask, t, 1.0, collapsed)) == pytest.approx(loss, abs=1e-12)
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed))
    moved = float(iic_loss(first[:, order], second[:, order], mask, t, 1.0, collapsed))
    assert moved == pytest.approx(loss, abs=1e-12)


def test_the_same_even_clusters_share_all_there_is():
    hard = torch.eye(4).repeat(1, 4)[None, :, None]  # 16 pixels in a row, four of each cluster
    assert float(iic_loss(hard, hard, torch.ones(1, 1, 1, 16), 0, 1.0, False)) == pytest.approx(-math.log(4), rel=1e-5)


@pytest.mark.parametrize("collapsed", [False, True])
def test_certain_clusters_and_pixels_that_do_not_count_have_finite_gradients(collapsed):
    hard = torch.eye(3)[torch.randint(0, 2, (2, 4, 4), generator=torch.Generator().manual_seed(0))].permute(0, 3, 1, 2)
    for mask in (torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)):
        first = hard.clone().requires_grad_()
        loss = iic_loss(first, hard, mask, 3, 1.0, collapsed)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(first.grad).all()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-9)  # of nothing, nothing


def test_single_and_half_precision_give_the_same_loss():
    first, second, mask = maps(2, 6, 8, 8), maps(2, 6, 8, 8, seed=1), holes(2, 1, 8, 8)
    expected = float(iic_loss(first, second, mask, 2, 1.0, False))
    single = [m.float() for m in (first, second, mask)]
    assert float(iic_loss(*single, 2, 1.0, False)) == pytest.approx(expected, rel=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert float(iic_loss(*single, 2, 1.0, False)) == pytest.approx(expected, rel=1e-6)


class Largest(TorchDispatchMode):
    """The number of values of the largest tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for item in found if isinstance(found, (tuple, list)) else (found,):
            if isinstance(item, torch.Tensor):
                self.numel = max(self.numel, item.numel())
        return found


def test_nothing_large_is_built():
    b, k, side, t = 8, 5, 12, 4
    first, second = maps(b, k, side, side, dtype=torch.float32), maps(b, k, side, side, seed=1, dtype=torch.float32)
    first.requires_grad_()
    with Largest() as largest:
        iic_loss(first, second, torch.ones(b, 1, side, side), t, 1.0, False).backward()
    assert largest.numel <= 2 * max(k * k, b * k) * (side + t) ** 2  # real and imaginary parts
    assert largest.numel < b * k * side * side * (2 * t + 1)  # not even a copy of the maps for each row of the window
