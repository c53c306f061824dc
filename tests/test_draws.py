"""`draws`: known answers of the generator, and the promise that a draw depends on its key and index alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from picie_core import draws

# The published known answers of Philox4x32-10 (Random123, file kat_vectors).
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_known_answers(counter, key, expected):
    assert tuple(draws.philox(np.array(counter), np.array(key))) == expected


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=20), st.integers(0, 99), st.text(max_size=8))
def test_any_slice_in_any_order_draws_the_same(indices, epoch, name):
    together = draws.uniform(np.array(indices), (1, epoch, name))[0]
    alone = [draws.uniform(np.array([index]), (2, "other"), (1, epoch, name))[1, 0] for index in indices]
    assert together.tolist() == alone
    assert ((together >= 0) & (together < 1)).all()


def test_keys_are_independent_and_uniform():
    n = 20_000
    first, second = draws.uniform(np.arange(n), (1, 0, "crop"), (1, 0, "flip"))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    counts = np.histogram(first, bins=20, range=(0, 1))[0]
    assert ((counts - n / 20) ** 2 / (n / 20)).sum() < 43.8  # chi-squared, 19 degrees of freedom, p = 0.001
    assert not np.array_equal(first[:9], draws.uniform(np.arange(9), (1, 1, "crop"))[0])


def test_permutation_and_seed_are_functions_of_their_key():
    assert sorted(draws.permutation(50, (1, "order"))) == list(range(50))
    assert np.array_equal(draws.permutation(50, (1, "order")), draws.permutation(50, (1, "order")))
    assert not np.array_equal(draws.permutation(50, (1, "order")), draws.permutation(50, (2, "order")))
    assert 0 <= draws.seed((1, "x")) < 2**31
    assert draws.seed((1, "x")) != draws.seed((1, "y"))


def test_torch_draws_by_key_and_goes_on_as_if_it_had_not():
    def drawn(key):
        with draws.by_torch(key):
            return torch.rand(5)

    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    assert torch.equal(drawn((1, "layers", 0)), drawn((1, "layers", 0)))
    assert not torch.equal(drawn((1, "layers", 0)), drawn((1, "layers", 1)))
    assert torch.equal(torch.rand(5), expected)


def test_for_the_cpu_no_gpu_is_seeded(monkeypatch):
    def seeded(seed: int) -> None:
        raise AssertionError("the GPUs' state was seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded)
    monkeypatch.setattr(torch.cuda, "manual_seed", seeded)
    with draws.by_torch((1, "layers")):
        torch.rand(1)
