"""Notebooks as programs: parameters checked before anything starts, executed by papermill, kept when they fail."""

import ast
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import papermill
from papermill.exceptions import PapermillExecutionError
from pydantic import TypeAdapter, ValidationError

from picie_core import files, places, suggestions
from picie_core.errors import WorkbookError
from picie_core.settings import Settings, SettingsError, parse, seeds

log = logging.getLogger(__name__)

START_SECONDS = 180
"""How long a kernel may take to start on a loaded machine."""


class NotebookError(WorkbookError, RuntimeError):
    """A notebook that cannot be executed or that failed; the message names the file to open."""


class KernelDiedError(NotebookError):
    """A kernel that died or did not start; another attempt may succeed."""


def find(name: str) -> Path:
    """A notebook by path, or by its name, number or both below `notebooks/`: `3`, `03`, `picie`, `03_picie`.

    Raises:
        NotebookError: there is none, or more than one; the message names those there are.
    """
    if Path(name).is_file():
        return Path(name).resolve()
    known = numbered()
    wanted = name.removesuffix(".ipynb")
    wanted = wanted.zfill(2) if wanted.isdecimal() else wanted
    hits = [file for file in known if wanted in (file.stem, *file.stem.split("_", 1))]
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise NotebookError(f"{name!r} is more than one notebook: {', '.join(file.stem for file in hits)}")
    there = ", ".join(file.stem for file in known) or f"none in {places.home() / 'notebooks'}"
    raise NotebookError(f"no notebook {name!r}; there are: {there} (or give a path)")


def numbered() -> list[Path]:
    """The workbook's notebooks, in order."""
    return sorted((places.home() / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def parameters_of(notebook: Path) -> dict[str, Any]:
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


def folder_of(notebook: Path, injected: Mapping[str, Any]) -> Path:
    """Where a notebook's outputs lie (`places.local_folder`): by the injected data set and root, else its own.

    Args:
        notebook: any.
        injected: what `route` made of the given parameters.
    """
    known = parameters_of(notebook) | dict(injected)
    root = known.get("data_root")
    root = root and notebook.parent / Path(root).expanduser()  # a notebook's own may be relative to where it lies
    return places.local_folder(known.get("dataset", "scenes"), root)


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
        NotebookError: see `parameters_of`.
    """
    own = parameters_of(notebook)
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


def execute(notebook: Path, given: Mapping[str, Any], output: Path, quiet: bool = False) -> Path:
    """Execute a notebook with papermill and keep the executed one.

    The kernel's working directory is the notebook's folder; the places (`PICIE_HOME`, `PICIE_RUNS`, `PICIE_PREPARED`)
    are those of the caller.

    Args:
        notebook: to execute; it is not changed.
        given: see `route`.
        output: the executed notebook's file, written whole and only on success.
        quiet: no progress bar over cells. Else what the cells said on standard error, such as files of a data set that
            are not looked at, is logged as warnings when they are through.

    Returns:
        `output`.

    Raises:
        SettingsError: see `route`.
        NotebookError: `output` is a folder (nothing is executed); or a cell failed or (`KernelDiedError`) the kernel
            died: the notebook so far is kept beside `output` as `NAME.failed.ipynb` (until a later execution succeeds),
            and an older `output` stays as it was.
        OSError: it cannot be written, see `files.of_file`.
    """
    injected = route(notebook, given)
    if output.is_dir():
        raise NotebookError(f"{output} is a folder: give the executed notebook's file: {output / notebook.name}")
    output.parent.mkdir(parents=True, exist_ok=True)
    failed = output.with_name(f"{output.stem}.failed.ipynb")
    handle, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.stem}.", suffix=".ipynb")
    os.close(handle)
    attempt = Path(name)
    attempt.chmod(0o644)
    try:
        with _fixed_places():
            papermill.execute_notebook(
                _verbatim(notebook), _verbatim(attempt), parameters=injected, kernel_name="python3", language="python",
                cwd=str(notebook.parent), start_timeout=START_SECONDS, progress_bar=not quiet,
                # or the kernel warns of its unencrypted local sockets, and on Ctrl-C of one that is closed
                extra_arguments=["--log-level=CRITICAL"],
            )  # fmt: skip
        attempt.replace(output)
        failed.unlink(missing_ok=True)  # of an earlier attempt
    except PapermillExecutionError as error:
        attempt.replace(failed)
        raise NotebookError(
            f"{notebook.name} failed in cell [{error.exec_count}]: {error.ename}: {error.evalue}\nOpen {failed}"
        ) from error
    except RuntimeError as error:  # what nbclient raises when a kernel dies or does not start
        attempt.replace(failed)
        raise KernelDiedError(
            f"{notebook.name}: {error}. A kernel that dies without a word was often out of memory: try a smaller "
            f"batch_size or image_size\nOpen {failed}"
        ) from error
    except OSError as error:
        raise files.of_file(error, output) from error
    finally:
        attempt.unlink(missing_ok=True)
    for line in () if quiet else _complaints(output):
        log.warning("%s", line)
    return output


def last_words(executed: Path) -> str:
    """The last text that an executed notebook has printed; empty if it has printed none."""
    printed = _printed(executed, "stdout")
    return printed[-1].strip() if printed else ""


def _complaints(executed: Path) -> list[str]:
    """The lines on standard error, each once, but for progress bars."""
    lines = "\n".join(_printed(executed, "stderr")).split("\n")
    return list(dict.fromkeys(line for line in lines if line.strip() and "\r" not in line))


def _printed(executed: Path, stream: str) -> list[str]:
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", []) if output.get("name") == stream]
    return ["".join(output["text"]) for output in outputs]


def _verbatim(file: Path) -> str:
    """The path in such words that papermill, which formats it with the parameters, leaves it as it is."""
    return str(file).replace("{", "{{").replace("}", "}}")


@contextmanager
def _fixed_places() -> Iterator[None]:
    """The places of this process, in full, for the kernel, whose working directory is another."""
    here = places.as_environment()
    before = {name: os.environ.get(name) for name in here}
    os.environ.update(here)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


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
