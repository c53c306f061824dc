"""The folder of a report: the page, and what it shows beside it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from picie_core import files, places, provenance
from picie_core.report import outputs, page, runs


def local(dataset: str) -> Path:
    """Write the page of a data set's outputs beside them; they are shown from where they lie.

    Returns:
        `reports/local/<dataset>/index.html`, the name as `places.data_name` gives it.

    Raises:
        ReportError: there are no outputs.
    """
    sections, folder = outputs.local(dataset), places.local_folder(dataset)
    known = runs.local(dataset, page.named(sections), folder)
    executed = {file.stem: runs.address(file, folder) for file in sorted((folder / "notebooks").glob("[0-9]*.ipynb"))}
    lists = [file for file in [folder / "tables" / outputs.RUNS] if file.is_file()]
    return _write(folder, page.render(sections, known, _about([dataset], lists), executed))


def committed() -> Path:
    """Write the page of the committed outputs, with copies of them, into `reports/site`, and drop older copies there.

    Returns:
        `reports/site/index.html`.

    Raises:
        ReportError: see `local`.
    """
    sections, source = outputs.committed(), places.reports_folder()
    shown = [output for section in sections for output in section.outputs]
    lists = sorted((source / "tables").glob(f"*-{outputs.RUNS}"))
    about = _about(sorted({output.dataset for output in shown if output.dataset}), lists)
    known, faults = runs.committed()
    pages = page.render(sections, known, about | {"faults": faults}, {})
    folder = source / "site"
    copied = [*(output.file for output in shown), *lists]
    for part in ("figures", "tables"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for old in {*(folder / part).glob("*.*")} - {folder / part / file.name for file in copied}:
            old.unlink()
    for file in copied:
        files.write(folder / file.parent.name / file.name, file.read_bytes())
    return _write(folder, pages)


def _about(data: Sequence[str], lists: Sequence[Path]) -> dict[str, Any]:
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    addresses = {file.name: f"tables/{quote(file.name)}" for file in lists}
    return {"data": data, "made": made, "commit": provenance.commit() or "", "lists": addresses, "faults": {}}


def _write(folder: Path, pages: Mapping[str, str]) -> Path:
    for name, text in pages.items():
        files.write(folder / name, text)
    return folder / "index.html"
