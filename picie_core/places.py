"""Where things lie: the workbook's home, its data, its runs and its reports.

The same notebook works from JupyterLab (started in `notebooks/`), papermill (the caller's folder), nbval and `/`,
because every place derives from one home.
"""

import hashlib
import os
import tomllib
from pathlib import Path

PROJECT = "picie-workbook"


def home() -> Path:
    """The workbook's folder: `PICIE_HOME`, else the nearest parent of the working directory whose pyproject.toml is
    this project's, else the source tree this package is installed from (an editable install), else the working
    directory.

    Raises:
        NotADirectoryError: `PICIE_HOME` names something that is not a folder.
    """
    named = os.environ.get("PICIE_HOME")
    if named:
        folder = Path(named).expanduser().resolve()
        if not folder.is_dir():
            raise NotADirectoryError(f"PICIE_HOME is {named!r}, which is not a folder: create it or unset PICIE_HOME")
        return folder
    here = Path.cwd().resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if _is_project(folder):
            return folder
    return here


def data_folder() -> Path:
    """`data/` under the home."""
    return home() / "data"


def prepared_folder() -> Path:
    """Where prepared arrays are cached: `PICIE_PREPARED`, else `data/prepared/` under the home (git-ignored)."""
    named = os.environ.get("PICIE_PREPARED")
    return Path(named).expanduser().resolve() if named else data_folder() / "prepared"


def runs_root() -> Path:
    """Where run folders lie: `PICIE_RUNS`, else `reports/runs/` under the home (git-ignored)."""
    named = os.environ.get("PICIE_RUNS")
    return Path(named).expanduser().resolve() if named else reports_folder() / "runs"


def reports_folder() -> Path:
    """`reports/` under the home."""
    return home() / "reports"


def local_folder(dataset: str, root: str | Path | None = None) -> Path:
    """Where notebooks write the outputs on a data set: `reports/local/<data_name>/`, with `figures` and `tables`."""
    return reports_folder() / "local" / data_name(dataset, root)


def data_name(dataset: str, root: str | Path | None = None) -> str:
    """What the outputs on a data set are called: as the data set is.

    Those on a folder of images (`folder`), of which a person may have several, are `folder-NAME-0123`: the folder's own
    name, and the first digits of a hash of its whole path.
    """
    if dataset != "folder" or root is None:
        return dataset
    place = Path(root).expanduser().resolve()
    name = os.fsencode(place.name).decode(errors="replace")  # of a name that is not UTF-8 what can be written
    return f"folder-{name}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:4]}"


def dataset_of(name: str) -> str:
    """The data set of a `data_name`."""
    return "folder" if name.startswith("folder-") else name


def as_environment() -> dict[str, str]:
    """The places of this process, in full, as the variables that give them to another one."""
    here = {"PICIE_HOME": home, "PICIE_RUNS": runs_root, "PICIE_PREPARED": prepared_folder}
    return {name: str(place()) for name, place in here.items()}


def _is_project(folder: Path) -> bool:
    file = folder / "pyproject.toml"
    try:
        return tomllib.loads(file.read_text(encoding="utf-8")).get("project", {}).get("name") == PROJECT
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return False  # somebody else's file, or none: not our project
