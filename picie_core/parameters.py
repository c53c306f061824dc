"""A notebook's parameters: what it has of its own, and how given ones become those that papermill injects."""

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from picie_core import suggestions
from picie_core.errors import WorkbookError
from picie_core.settings import Settings, SettingsError, parse, seeds


class NotebookError(WorkbookError, RuntimeError):
    """A notebook that cannot be executed or that failed; the message names the file to open."""


def of(notebook: Path) -> dict[str, Any]:
    """The notebook's own parameters: the names and literal values of its cell tagged `parameters`.

    Raises:
        NotebookError: the file is no notebook, or the cell holds something else than `name = literal`.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", ())]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotebookError(f"{notebook} is not a notebook (of format 4: {type(error).__name__}: {error})") from error
    own = {}
    try:
        for statement in ast.parse(sources[0]).body if sources else ():
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value):
                    own[name] = ast.literal_eval(value)
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    own[name] = ast.literal_eval(value)
                case _:
                    raise ValueError(ast.unparse(statement))
    except (ValueError, SyntaxError) as error:
        raise NotebookError(f"{notebook}: the parameters cell may hold `name = literal` only, not: {error}") from error
    return own


def settings_of(parameters: Mapping[str, Any]) -> Settings:
    """The settings that a notebook's parameters make: those that are settings themselves, and its `overrides`.

    Raises:
        SettingsError: a value that is not allowed, or values that do not go together.
    """
    named = {name: value for name, value in parameters.items() if name in Settings.model_fields}
    return Settings(**(named | dict(parameters.get("overrides", {}))))


def route(notebook: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as papermill is to inject them: the notebook's own by name, other settings inside `overrides`.

    What the notebook's own `overrides` hold stays unless it is given: `train_images=none` undoes one of them,
    `overrides={}` all.

    Args:
        notebook: its `parameters` cell has `overrides = {...}` if it takes other settings than its own parameters.
        given: name -> value; a text is read as the parameter's type (`"1e-3"`, `"false"`, `"none"`), a relative path
            from the working directory.

    Returns:
        Nothing when nothing is given; else what is given, with the whole `overrides` that will hold.

    Raises:
        SettingsError: a name that is neither a parameter of the notebook nor a setting, a value that is not allowed,
            values that do not go together, or `seed` of a notebook that has `seeds`.
        NotebookError: see `of`.
    """
    own = of(notebook)
    injected: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    problems = []
    for name, value in given.items():
        try:
            if name in own:
                injected[name] = _value(name, value, own[name])
                if name == "seeds":
                    seeds.numbers(value)
            elif name not in Settings.model_fields:
                raise SettingsError(_unknown(notebook, name, own))
            elif "overrides" not in own:
                takes = ", ".join(own) or "none"
                raise SettingsError(f"{name}: {notebook.name} has no `overrides`; it takes its own parameters: {takes}")
            else:
                extra[name] = _value(name, value, None)
        except SettingsError as error:
            problems.append(str(error))
    if problems:
        raise SettingsError("\n".join(problems))
    if injected or extra:
        overrides = injected.get("overrides", own.get("overrides", {})) | extra
        if "seeds" in own and "seed" in overrides:
            raise SettingsError(f"seed: {notebook.name} takes seeds={overrides['seed']}, or 1-3, or 1,2,5")
        # What does not go together is found before a kernel starts.
        try:
            settings_of(own | injected | {"overrides": overrides})
        except SettingsError as error:
            its_own = [] if "overrides" in injected else [name for name in overrides if name not in extra]
            stay = [name for name in its_own if re.search(rf"\b{name} = ", str(error))]
            if not stay:
                raise
            raise SettingsError(
                f"{error}\n{notebook.stem} sets {', '.join(stay)} itself: -p overrides={{}} drops what it sets"
            ) from None
        injected |= {"overrides": overrides} if overrides or "overrides" in injected else {}
    return injected


def _value(name: str, value: Any, default: Any) -> Any:
    """A given value as the notebook is to see it: of the setting's type, else of the type of the notebook's default."""
    if name == "overrides":
        return _overrides(value)
    if name in Settings.model_fields:
        value = parse(name, value) if isinstance(value, str) else value
        return str(value.expanduser().resolve()) if isinstance(value, Path) else value
    if not isinstance(value, str) or isinstance(default, str):
        return value
    try:
        return _literal(value) if default is None else TypeAdapter(type(default)).validate_python(_literal(value))
    except ValidationError as error:
        raise SettingsError(
            f"{name} = {value!r}: {error.errors()[0]['msg']}; the notebook's own value is {default!r}"
        ) from None


def _overrides(value: Any) -> dict[str, Any]:
    settings = _literal(value) if isinstance(value, str) else value
    if not isinstance(settings, Mapping) or not all(isinstance(name, str) for name in settings):
        raise SettingsError(f"overrides = {value!r}: expected settings by name, such as {{'epochs': 2}}, or {{}}")
    return {name: _value(name, setting, None) for name, setting in settings.items()}


def _literal(text: str) -> Any:
    """What a text means in Python, `true`, `false` and `none` in any case; else the text itself."""
    try:
        return ast.literal_eval(text.capitalize() if text.lower() in ("true", "false", "none") else text)
    except (ValueError, SyntaxError, TypeError):  # TypeError: a list as a key
        return text


def _unknown(notebook: Path, name: str, own: Mapping[str, Any]) -> str:
    meant = suggestions.guess(name, [*own, *Settings.model_fields])
    guess = f"did you mean {meant!r}? " if meant else ""
    return f"{notebook.name} has no parameter {name!r}: {guess}Its own: {', '.join(own)}; or any setting"
