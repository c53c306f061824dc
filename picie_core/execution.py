"""Notebooks as programs: parameters checked before anything starts, executed by papermill, kept when they fail."""

import difflib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import papermill
from papermill.exceptions import PapermillExecutionError

from picie_core import places
from picie_core.settings import Settings, SettingsError, parse

START_SECONDS = 180
"""How long a kernel may take to start on a loaded machine."""


class NotebookError(RuntimeError):
    """A notebook that cannot be executed or that failed; the message names the file to open."""


def find(name: str) -> Path:
    """A notebook by path, or by its name, number or both below `notebooks/`: `03`, `picie`, `03_picie`.

    Raises:
        NotebookError: there is none, or more than one; the message names those there are.
    """
    if Path(name).is_file():
        return Path(name).resolve()
    known = numbered()
    hits = [file for file in known if name.removesuffix(".ipynb") in (file.stem, *file.stem.split("_", 1))]
    if len(hits) == 1:
        return hits[0]
    raise NotebookError(f"no notebook {name!r}; there are: {', '.join(f.stem for f in known)} (or give a path)")


def numbered() -> list[Path]:
    """The workbook's notebooks, in order."""
    return sorted((places.home() / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def parameters_of(notebook: Path) -> list[str]:
    """The names in the notebook's `parameters` cell."""
    return list(papermill.inspect_notebook(str(notebook)))


def route(notebook: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as papermill is to inject them: the notebook's own by name, other settings inside `overrides`.

    Args:
        notebook: has a `parameters` cell with `overrides = {}`.
        given: name -> value; a text is read as the setting's type (`"1e-3"`, `"false"`, `"none"`).

    Raises:
        SettingsError: a name that is neither a parameter of the notebook nor a setting, or a value that is not allowed.
    """
    own = parameters_of(notebook)
    injected: dict[str, Any] = {}
    overrides: dict[str, Any] = {}
    problems = []
    for name, value in given.items():
        if name not in own and name not in Settings.model_fields:
            close = difflib.get_close_matches(name, [*own, *Settings.model_fields], n=1, cutoff=0.5)
            guess = f"did you mean {close[0]!r}? " if close else ""
            problems.append(
                f"{notebook.name} has no parameter {name!r}: {guess}Its own: {', '.join(own)}; or any setting"
            )
            continue
        if name in Settings.model_fields and isinstance(value, str):
            try:
                value = parse(name, value)
            except SettingsError as error:
                problems.append(str(error))
                continue
        value = str(value) if isinstance(value, Path) else value
        (injected if name in own else overrides)[name] = value
    if overrides and "overrides" not in own:
        problems.append(f"{notebook.name} has no `overrides`, so it takes only its own parameters: {', '.join(own)}")
    if problems:
        raise SettingsError("\n".join(problems))
    together = {name: value for name, value in (injected | overrides).items() if name in Settings.model_fields}
    Settings(**together)  # impossible combinations are found before a kernel starts
    return injected | ({"overrides": overrides} if overrides else {})


def execute(notebook: Path, given: Mapping[str, Any], output: Path, quiet: bool = False) -> Path:
    """Execute a notebook with papermill and keep the executed one.

    The kernel's working directory is the notebook's folder; every place derives from `PICIE_HOME`, which is set for it.

    Args:
        notebook: to execute; it is not changed.
        given: see `route`.
        output: the executed notebook's file, written whole and only on success.
        quiet: no progress bar over cells.

    Returns:
        `output`.

    Raises:
        SettingsError: see `route`.
        NotebookError: a cell failed; the notebook so far is kept beside `output` as `NAME.failed.ipynb`.
    """
    injected = route(notebook, given)
    output.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.stem}.", suffix=".ipynb")
    os.close(handle)
    attempt = Path(name)
    os.environ.setdefault("PICIE_HOME", str(places.home()))
    try:
        papermill.execute_notebook(
            str(notebook), str(attempt), parameters=injected, kernel_name="python3", cwd=str(notebook.parent),
            start_timeout=START_SECONDS, progress_bar=not quiet,
        )  # fmt: skip
        attempt.replace(output)
    except PapermillExecutionError as error:
        failed = attempt.replace(output.with_name(f"{output.stem}.failed.ipynb"))
        raise NotebookError(
            f"{notebook.name} failed in cell {error.exec_count}: {error.ename}: {error.evalue}\nOpen {failed}"
        ) from error
    finally:
        attempt.unlink(missing_ok=True)
    return output
