"""A grid's seeds as a person writes them."""

from collections.abc import Iterator
from typing import Any


def read(given: Any, what: str, problems: list[str]) -> tuple[int, ...]:
    """`[1, 2, 3]`, `3`, `"1-10"` or `"1-3, 7"` as numbers, ascending.

    Args:
        given: of YAML or the command line; None: nothing.
        what: where it stands and as what, to begin a message with.
        problems: messages, to which what is wrong is added.
    """
    if given is None:
        problems.append("no seeds: give `seeds: 1-10` for the grid or for every row, or --seeds 1-10")
        return ()
    try:
        numbers = [given] if type(given) is int else list(_numbers(given))  # YAML's `yes` is an int too
    except (TypeError, ValueError):
        numbers = []
    if not numbers:
        problems.append(f"{what}: expected numbers from low to high, such as 1-10 or 1,2,5")
    if len(set(numbers)) < len(numbers):
        problems.append(f"{what} names a seed twice")
    return tuple(sorted(set(numbers)))


def _numbers(given: Any) -> Iterator[int]:
    for part in given.split(",") if isinstance(given, str) else given:
        first, sign, last = str(part).partition("-")
        numbers = range(int(first), int(last) + 1) if sign else [int(first)]
        if not numbers:
            raise ValueError(f"{part}: from high to low")
        yield from numbers
