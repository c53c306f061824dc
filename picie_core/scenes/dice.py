"""Keyed draws that are the same on every platform and under every version of numpy.

Only the raw 64-bit output of Philox is used: numpy promises that stream (NEP 19), while it may change how `Generator`
turns bits into numbers. Everything here is integer arithmetic, or a product that IEEE rounds exactly.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Option = TypeVar("Option")

_BLOCK = 256
_UNIT = 2.0**-53


class Dice:
    """Draws that are a function of `key` (an integer below 2**128) and of how many were made before."""

    def __init__(self, key: int) -> None:
        self._bits = np.random.Philox(key=key)
        self._values: list[int] = []

    def unit(self) -> float:
        """A float in [0, 1) with 53 random bits."""
        if not self._values:
            self._values = self._bits.random_raw(_BLOCK).tolist()
        return (self._values.pop() >> 11) * _UNIT

    def between(self, low: float, high: float) -> float:
        """A float in [low, high)."""
        return low + self.unit() * (high - low)

    def below(self, count: int) -> int:
        """An integer in 0 .. count - 1."""
        return int(self.unit() * count)

    def count(self, least: int, most: int) -> int:
        """An integer in least .. most, both included."""
        return least + self.below(most - least + 1)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.unit() < probability

    def side(self) -> float:
        """-1.0 or 1.0: left or right."""
        return 1.0 if self.unit() < 0.5 else -1.0

    def pick(self, options: Sequence[Option], weights: Sequence[float] | None = None) -> Option:
        """One of `options`, in proportion to `weights` (equal where none are given)."""
        if weights is None:
            return options[self.below(len(options))]
        rest = self.unit() * math.fsum(weights)  # not sum(): its rounding changed in Python 3.12
        for option, weight in zip(options, weights, strict=True):
            rest -= weight
            if rest < 0:
                return option
        return options[-1]

    def units(self, *shape: int) -> np.ndarray:
        """float32 array of the given shape, multiples of 2**-24 in [0, 1); a block of its own, made at once."""
        count = 1
        for extent in shape:
            count *= extent
        raw = self._bits.random_raw(count) >> np.uint64(40)
        return (raw.astype(np.float32) * np.float32(2.0**-24)).reshape(shape)
