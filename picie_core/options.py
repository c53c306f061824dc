"""What the commands of `picie` share: `-p NAME=VALUE`, and a refusal."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from picie_core.errors import WorkbookError

if TYPE_CHECKING:
    from picie_core.settings import Settings

Parameters = Annotated[
    list[str] | None,
    typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="Any setting (see `picie settings`); repeatable."),
]


class RefusedError(WorkbookError):
    """What was asked for on the command line cannot be done."""


def pair(text: str) -> tuple[str, str]:
    """`"seed=2"` -> `("seed", "2")`.

    Raises:
        RefusedError: there is no `=`.
    """
    name, sign, value = text.partition("=")
    if not sign:
        raise RefusedError(f"-p {text!r}: expected name=value, such as -p seed=2")
    return name.strip(), value.strip()


def settings(parameter: list[str] | None) -> dict[str, Any]:
    """What was given with `-p`, as the settings' types.

    Raises:
        RefusedError, SettingsError: see `pair` and `settings.parse`.
    """
    from picie_core.settings import parse

    return {name: parse(name, value) for name, value in map(pair, parameter or [])}


def matches(parameter: list[str] | None) -> "Callable[[Settings], bool]":
    """A test of settings: whether they have the values given with `-p`.

    Raises:
        RefusedError, SettingsError: see `settings`.
    """
    wanted = settings(parameter)
    return lambda run: all(getattr(run, name) == value for name, value in wanted.items())
