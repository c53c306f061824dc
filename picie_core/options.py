"""What the commands of `picie` share: `-p NAME=VALUE`, and a refusal."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
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


@contextmanager
def ended_in_order(interrupted: str = "") -> Iterator[None]:
    """Inside, SIGTERM (of `kill`, or a scheduler) ends the command as Ctrl-C does, with what it started, and without
    what it has half written; the exit status is 143.

    Args:
        interrupted: what Ctrl-C says, where what it ends does not.
    """

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        if interrupted:
            typer.echo(interrupted, err=True)
        raise typer.Exit(130) from None  # as shells have it
    finally:
        signal.signal(signal.SIGTERM, before)


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
        RefusedError, SettingsError: see `pair` and `settings.parse`; or it is `overrides`.
    """
    from picie_core.settings import parse

    given = dict(map(pair, parameter or []))
    if "overrides" in given:
        raise RefusedError("-p overrides: belongs to `picie run` and a notebook's own settings; give each by its name")
    return {name: parse(name, value) for name, value in given.items()}


def matches(parameter: list[str] | None) -> "Callable[[Settings], bool]":
    """A test of settings: whether they have the values given with `-p`; of places, whichever way they are written.

    Raises:
        RefusedError, SettingsError: see `settings`.
    """
    wanted = {name: _in_full(value) for name, value in settings(parameter).items()}
    return lambda run: all(_in_full(getattr(run, name)) == value for name, value in wanted.items())


def _in_full(value: Any) -> Any:
    return value.expanduser().resolve() if isinstance(value, Path) else value
