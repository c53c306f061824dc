"""What notebooks have left: tables and figures, in the order of the notebooks, each with its caption."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from picie_core import places
from picie_core.errors import WorkbookError

RUNS = "runs.csv"
"""The list of runs among the tables, which is no table of a notebook."""


class ReportError(WorkbookError, ValueError):
    """There is nothing to report; the message says what to execute."""


@dataclass(frozen=True)
class Output:
    """A generated table or figure.

    Attributes:
        file: where it lies.
        place: where it lies seen from the page, such as `figures/data-samples.png`.
        dataset: that it was made on.
        name: as notebooks call it, `data-samples.png`.
        caption: what it shows; empty for one that is not listed.
    """

    file: Path
    place: str
    dataset: str
    name: str
    caption: str


@dataclass(frozen=True)
class Section:
    """The outputs of one notebook.

    Attributes:
        notebook: `01_data`; empty for those outputs that are in no list.
        title, about: what the notebook is about, for readers.
        runs: whether its tables are made of runs.
        outputs: of it, in their order.
    """

    notebook: str
    title: str
    about: str
    runs: bool
    outputs: tuple[Output, ...]


def listed() -> list[Mapping[str, Any]]:
    """`contents.yaml`: the notebooks with title, about, runs and outputs (file name -> caption)."""
    return yaml.safe_load((Path(__file__).parent / "contents.yaml").read_text(encoding="utf-8"))


def local(dataset: str) -> list[Section]:
    """The outputs in `reports/local/<dataset>`, the name as `places.data_name` gives it.

    Raises:
        ReportError: there are none.
    """
    folder = places.local_folder(dataset)
    files = _files(folder)
    if not files:
        known = places.dataset_of(dataset)
        command = (
            "picie demo"
            if dataset == "scenes"
            else f"picie run 03 -p overrides={{}} -p dataset={known} -p data_root=DIR"
        )
        there = elsewhere(folder)
        raise ReportError(f"nothing to report in {folder}: execute a notebook first, e.g. `{command}` ({there})")
    return _sections((file, dataset, file.name) for file in files)


def committed() -> list[Section]:
    """The outputs in `reports/figures` and `reports/tables`, published as `<dataset>-<name>`.

    Raises:
        ReportError: there are none.
    """
    folder = places.reports_folder()
    files = [file for file in _files(folder) if not file.name.endswith(f"-{RUNS}")]
    if not files:
        raise ReportError(f"nothing to report in {folder}: publish outputs first, e.g. `picie publish scenes`")
    parts = ((file, *file.name.partition("-")[::2]) for file in files)
    return _sections((file, dataset if name else "", name or file.name) for file, dataset, name in parts)


def generated(folder: Path) -> list[Path]:
    """What lies in a folder of outputs: tables, the list of runs among them, and figures."""
    return sorted([*(folder / "tables").glob("*.csv"), *(folder / "figures").glob("*.png")])


def elsewhere(folder: Path) -> str:
    """Which neighbours of a data set's folder have outputs, in words, for a message that it has none."""
    others = sorted(other.name for other in folder.parent.glob("*") if _files(other))
    return f"there are outputs on {', '.join(others)}" if others else "there are no outputs on other data either"


def _files(folder: Path) -> list[Path]:
    return [file for file in generated(folder) if file.name != RUNS]


def _sections(found: Iterable[tuple[Path, str, str]]) -> list[Section]:
    """Those with outputs, in the order of the list; what it does not name comes last, so that nothing is lost."""
    files = sorted(found, key=lambda entry: entry[1])  # stable: data set by data set
    sections, known = [], set()
    for entry in listed():
        captions: Mapping[str, str] = entry["outputs"]
        known |= set(captions)
        own = tuple(_output(*file, caption) for name, caption in captions.items() for file in files if file[2] == name)
        sections.append(Section(entry["notebook"], entry["title"], entry["about"], entry.get("runs", True), own))
    rest = tuple(_output(*file, "") for file in files if file[2] not in known)
    about = "Outputs that no notebook of this version makes: of an older one, or your own."
    sections.append(Section("", "Other outputs", about, True, rest))
    return [section for section in sections if section.outputs]


def _output(file: Path, dataset: str, name: str, caption: str) -> Output:
    return Output(file, f"{file.parent.name}/{file.name}", dataset, name, caption)
