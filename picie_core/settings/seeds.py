"""The seeds of a grid or a notebook as a person writes them."""

from collections.abc import Iterator
from typing import Any

from picie_core.settings.knobs import SettingsError


def numbers(given: Any) -> tuple[int, ...]:
    """The seeds of a notebook's parameter, see `read`.

    Raises:
        SettingsError: `given` names no seeds.
    """
    problems: list[str] = []
    found = read("" if given is None else given, f"seeds = {given!r}", problems)
    if problems:
        raise SettingsError("; ".join(problems))
    return found


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
        found = [given] if type(given) is int else list(_numbers(given))  # YAML's `yes` is an int too
    except (TypeError, ValueError):
        found = []
    if not found:
        problems.append(f"{what}: expected numbers from low to high, such as 1-10 or 1,2,5")
    if len(set(found)) < len(found):
        problems.append(f"{what} names a seed twice")
    return tuple(sorted(set(found)))


def _numbers(given: Any) -> Iterator[int]:
    for part in given.split(",") if isinstance(given, str) else given:
        first, sign, last = str(part).partition("-")
        found = range(int(first), int(last) + 1) if sign else [int(first)]
        if not found:
            raise ValueError(f"{part}: from high to low")
        yield from found
