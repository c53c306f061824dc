"""Statistics over seeds: the spread of one method's scores, and two methods compared on the same seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Spread:
    """Scores of several seeds, in the unit of the scores.

    Attributes:
        n: how many.
        mean, sd: of the scores; sd with n - 1 in the denominator, nan for one seed.
        low, high: t-interval of the mean, mean ± t_{n-1} sd / sqrt(n); nan for one seed.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float


def spread(values: Sequence[float], level: float = 0.95) -> Spread:
    """Mean, standard deviation and the interval in which the mean over endlessly many seeds would lie.

    Args:
        values: one score a seed.
        level: the share of such intervals that hold the true mean, 0 to 1, for scores that spread normally.

    Raises:
        ValueError: there are no values.
    """
    n = len(values)
    if not n:
        raise ValueError("no scores to average: run at least one seed")
    mean, sd = float(np.mean(values)), float(np.std(values, ddof=1)) if n > 1 else math.nan
    half = _t(n, level) * sd / math.sqrt(n)
    return Spread(n, mean, sd, mean - half, mean + half)


def prediction_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Where one more run would lie with the given probability: mean ± t_{n-1} sd sqrt(1 + 1/n); nan for n < 2."""
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    half = _t(n, level) * np.std(values, ddof=1) * math.sqrt(1 + 1 / n)
    return float(np.mean(values) - half), float(np.mean(values) + half)


@dataclass(frozen=True)
class Comparison:
    """The differences first - second of two methods, seed by seed, in the unit of the scores.

    Attributes:
        seeds: those compared.
        difference, sd, low, high: mean, standard deviation and t-interval of the mean, as in `Spread`.
        p: of the two-sided paired t-test that the mean difference is 0; nan for one seed. Where every seed differs by
            the same, 0, or 1 if they do not differ.
    """

    seeds: tuple[int, ...]
    difference: float
    sd: float
    low: float
    high: float
    p: float

    @property
    def verdict(self) -> str:
        """`higher` or `lower`, of the first, when the interval excludes 0; else `undecided`."""
        return "higher" if self.low > 0 else "lower" if self.high < 0 else "undecided"

    @property
    def row(self) -> dict[str, Any]:
        """What tables of comparisons say: difference, low, high, p, and seeds as text."""
        named = {"difference": self.difference, "low": self.low, "high": self.high, "p": self.p}
        return named | {"seeds": ", ".join(map(str, self.seeds))}


def compare(first: Mapping[int, float], second: Mapping[int, float], level: float = 0.95) -> Comparison:
    """Two methods on the seeds that both have: what a seed does to both cancels out.

    Args:
        first, second: score by seed.
        level: of the interval, 0 to 1.

    Raises:
        ValueError: they have no seed in common.
    """
    order = tuple(sorted(set(first) & set(second)))
    if not order:
        has = [", ".join(map(str, sorted(scores))) or "none" for scores in (first, second)]
        raise ValueError(f"no seed in common: the first has {has[0]}, the second {has[1]}. Run both on the same seeds")
    found = spread([first[seed] - second[seed] for seed in order], level)
    if found.sd == 0:
        p = float(found.mean == 0)
    else:
        p = float(2 * stats.t.sf(abs(found.mean) / (found.sd / math.sqrt(found.n)), found.n - 1))
    return Comparison(order, found.mean, found.sd, found.low, found.high, p)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's correction for looking at many comparisons at once (S. Holm, Scand. J. Statist. 6, 1979).

    Args:
        p: the p value of each comparison; nan for one that was not made, which counts for nothing.

    Returns:
        Corrected, in the order given: those at most α are findings of which, with probability 1 - α, none is false. The
        smallest of m is times m, the next times m - 1, and so on; none is below one before it, or above 1.
    """
    order = sorted((place for place, value in enumerate(p) if not math.isnan(value)), key=lambda place: p[place])
    corrected, least = [math.nan] * len(p), 0.0
    for rank, place in enumerate(order):
        corrected[place] = least = max(least, min(1.0, (len(order) - rank) * p[place]))
    return corrected


def _t(n: int, level: float) -> float:
    """The quantile of Student's t with n - 1 degrees of freedom that leaves (1 - level) / 2 above it."""
    return float(stats.t.ppf((1 + level) / 2, n - 1)) if n > 1 else math.nan
