"""Counter-based random numbers: every draw is a function of a key and an index, of nothing else.

A draw of image 17 for the transform "crop" in epoch 3 is the same whether the other images are drawn or not, in
which order, on which machine, and whichever transforms are added later. Nothing is stored and a resumed run draws
the same. (The release draws lists with numpy's global state and stores them.)
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Key = tuple[int | str, ...]
"""What a draw is for, e.g. `(seed, epoch, "flip")`."""

_ROUND = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

    Args:
        counter: 32-bit integers, shape (..., 4).
        key: 32-bit integers, shape (..., 2), broadcast against the counters.

    Returns:
        32-bit integers as uint64, shape (..., 4): each row a function of its counter and key.
    """
    a, b, c, d = np.moveaxis(counter.astype(np.uint64), -1, 0)
    low, high = np.moveaxis(key.astype(np.uint64), -1, 0)
    for _ in range(10):
        left, right = _ROUND[0] * a, _ROUND[1] * c
        a, b, c, d = (right >> _HALF) ^ b ^ low, right & _LOW, (left >> _HALF) ^ d ^ high, left & _LOW
        low, high = (low + _WEYL[0]) & _LOW, (high + _WEYL[1]) & _LOW
    return np.stack([a, b, c, d], axis=-1)


def uniform(indices: np.ndarray, *keys: Key) -> np.ndarray:
    """One uniform draw per index and key.

    Args:
        indices: integers >= 0, shape (n,): which images; any slice or order gives the same values for the same index.
        keys: what each draw is for, e.g. `(seed, epoch, "crop side")`.

    Returns:
        float64 in [0, 1), shape (len(keys), n).
    """
    index = np.asarray(indices, dtype=np.uint64)
    zero = np.zeros_like(index)
    counter = np.stack([index & _LOW, index >> _HALF, zero, zero], axis=-1)
    words = philox(counter[None], np.array([_words(key) for key in keys], dtype=np.uint64)[:, None])
    return ((words[..., 0] << np.uint64(21)) | (words[..., 1] >> np.uint64(11))) * 2.0**-53


def permutation(n: int, key: Key) -> np.ndarray:
    """A random order of 0..n-1 (int64, shape (n,)), a function of `n` and the key."""
    return generator(key).permutation(n)


def generator(key: Key) -> np.random.Generator:
    """A numpy generator (Philox) of its own for the key, for draws that have no index."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(_digest(key)[:16], "little")))


def seed(key: Key) -> int:
    """A 31-bit integer for libraries that want a seed (torch, faiss)."""
    return int.from_bytes(_digest(key)[:4], "little") >> 1


@contextmanager
def by_torch(key: Key, device: "torch.device | str" = "cpu") -> Iterator[None]:
    """What torch draws in the block on the CPU and on this device (first weights, dropout) is a function of the key.
    Afterwards both generators are as they were; those of other devices are not touched."""
    import torch

    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed(key))  # torch.manual_seed would seed every GPU
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed(key))
        yield


def _digest(key: Key) -> bytes:
    return hashlib.sha256(repr(key).encode()).digest()


def _words(key: Key) -> tuple[int, int]:
    digest = _digest(key)
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")
