"""Notebooks as programs: found by name, executed by papermill with checked `parameters`, kept when they fail."""

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import papermill
from papermill.exceptions import PapermillExecutionError

from picie_core import files, parameters, places
from picie_core.parameters import NotebookError

log = logging.getLogger(__name__)

START_SECONDS = 180
"""How long a kernel may take to start on a loaded machine."""


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


def folder_of(notebook: Path, injected: Mapping[str, Any]) -> Path:
    """Where a notebook's outputs lie (`places.local_folder`): by the injected data set and root, else its own.

    Args:
        notebook: any.
        injected: what `parameters.route` made of the given parameters.
    """
    known = parameters.of(notebook) | dict(injected)
    root = known.get("data_root")
    root = root and notebook.parent / Path(root).expanduser()  # a notebook's own may be relative to where it lies
    return places.local_folder(known.get("dataset", "scenes"), root)


def execute(notebook: Path, given: Mapping[str, Any], output: Path, quiet: bool = False) -> Path:
    """Execute a notebook with papermill and keep the executed one.

    The kernel's working directory is the notebook's folder; the places (`PICIE_HOME`, `PICIE_RUNS`, `PICIE_PREPARED`)
    are those of the caller.

    Args:
        notebook: to execute; it is not changed.
        given: see `parameters.route`.
        output: the executed notebook's file, written whole and only on success.
        quiet: no progress bar over cells. Else what the cells said on standard error and did not clear, such as files
            of a data set that are not looked at, is logged as warnings when they are through.

    Returns:
        `output`.

    Raises:
        SettingsError: see `parameters.route`.
        NotebookError: `output` is a folder (nothing is executed); or a cell failed or (`KernelDiedError`) the kernel
            died: the notebook so far is kept beside `output` as `NAME.failed.ipynb` (until a later execution succeeds),
            and an older `output` stays as it was.
        OSError: it cannot be written, see `files.of_file`.
    """
    injected = parameters.route(notebook, given)
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
