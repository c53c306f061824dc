"""What the commands of `picie` share: `-p NAME=VALUE`, and a refusal."""

from typing import Annotated, Any

import typer

from picie_core.errors import WorkbookError

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
