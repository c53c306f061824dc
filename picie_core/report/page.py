"""From outputs and runs to one page, as HTML and as Markdown."""

import csv
import html
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from picie_core import provenance
from picie_core.report.outputs import Output, ReportError, Section
from picie_core.report.runs import COLUMNS, Entry, Key, anchor

log = logging.getLogger(__name__)

DECIMAL = re.compile(r"[-+]?\d+\.\d+(?:[eE][-+]?\d+)?")
SPECIAL = re.compile(r"([\\`*_\[\]|~#])")


@dataclass(frozen=True)
class Link:
    """One of the runs behind a row: what to say, and where on the page it is (empty: the run is not here)."""

    text: str
    anchor: str


@dataclass(frozen=True)
class Table:
    """A table as the page shows it.

    Attributes:
        names: of its columns.
        rows: cells as text, numbers rounded, and the runs behind them (None: the table has no such column).
        empty: columns that are left out because no row has a value.
        fault: why it cannot be shown; empty where it can.
    """

    names: Sequence[str] = ()
    rows: Sequence[tuple[Sequence[str], Sequence[Link] | None]] = ()
    empty: Sequence[str] = ()
    fault: str = ""

    @property
    def traced(self) -> bool:
        """Whether its rows name the runs they are of."""
        return any(links is not None for _, links in self.rows)


def named(sections: Sequence[Section]) -> set[Key]:
    """The runs that the tables name (see `runs_of`)."""
    return {key for output in _tables(sections) for key in runs_of(output.file)}


def runs_of(file: Path) -> set[Key]:
    """The runs that a table names; none where it has no such column, is not there or cannot be read (see `table`)."""
    with suppress(ReportError):
        return {key for _, runs in read(file)[1] for key in runs or ()}
    return set()


def read(file: Path) -> tuple[list[str], list[tuple[list[str], list[Key] | None]]]:
    """A table's columns but for the one that names runs, and its rows, each with its runs (None without that column).

    Raises:
        ReportError: it is no CSV in UTF-8, a row has more or fewer cells than columns, or its runs cannot be read.
    """
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            names, *rows = list(csv.reader(stream)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReportError(f"it is no CSV in UTF-8 ({error}); make it again, or take it away") from error
    place = names.index(provenance.COLUMN) if provenance.COLUMN in names else None
    found: list[tuple[list[str], list[Key] | None]] = []
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise ReportError(f"line {number}: {len(row)} cells for {len(names)} columns; make it again")
        try:
            runs = None if place is None else provenance.read(row[place])
        except ValueError as error:
            raise ReportError(f"line {number}: {error}; make the table again") from error
        found.append(([cell for at, cell in enumerate(row) if at != place], runs))
    return [name for name in names if name != provenance.COLUMN], found


def table(file: Path, runs: Mapping[Key, Entry]) -> Table:
    """A table to be shown, with links to those of its runs that are known; one that cannot be read is named in a
    warning."""
    try:
        names, rows = read(file)
    except ReportError as error:
        log.warning("left out %s: %s", file, error)
        return Table(fault=str(error))
    full = [at for at in range(len(names)) if not rows or any(cells[at] for cells, _ in rows)]
    shown = [
        ([rounded(cells[at]) for at in full], None if keys is None else [_link(key, runs) for key in keys])
        for cells, keys in rows
    ]
    return Table([names[at] for at in full], shown, [name for at, name in enumerate(names) if at not in full])


def rounded(cell: str) -> str:
    """A decimal number with two digits after the point, a small one with its first digit; other text as it is."""
    if not DECIMAL.fullmatch(cell):
        return cell
    value = float(cell)
    return f"{value:.2f}" if abs(value) >= 0.005 or not value else f"{value:.0e}"


def render(
    sections: Sequence[Section], runs: Mapping[Key, Entry], about: Mapping[str, Any], notebooks: Mapping[str, str]
) -> dict[str, str]:
    """The page.

    Args:
        sections: what it shows.
        runs: those it knows.
        about: `data` (the data sets), `made` (date), `commit`, `lists` (the lists of runs: name -> address), `faults`
            (those of them that cannot be read: name -> why).
        notebooks: section -> address of the executed notebook, for those that are here.

    Returns:
        `index.html` and `index.md` -> their text. Everything that comes from outputs is escaped.
    """
    machines = Counter((entry.values["versions"], entry.values["device"]) for entry in runs.values())
    given = {
        "sections": sections, "runs": runs, "columns": COLUMNS, "about": about, "notebooks": notebooks,
        "machines": machines, "tables": {output.place: table(output.file, runs) for output in _tables(sections)},
        "anchor": anchor, "quote": lambda place: Markup(quote(place)), "slug": _slug, "markup": Markup,
    }  # fmt: skip
    folder = FileSystemLoader(Path(__file__).parent)
    common: dict[str, Any] = {
        "loader": folder,
        "undefined": StrictUndefined,
        "trim_blocks": True,
        "lstrip_blocks": True,
    }
    as_html = Environment(autoescape=True, **common)
    as_markdown = Environment(autoescape=False, finalize=markdown, **common)  # which escapes
    return {
        "index.html": as_html.get_template("page.html.j2").render(given),
        "index.md": as_markdown.get_template("page.md.j2").render(given),
    }


def markdown(value: Any) -> Any:
    """Any text as Markdown that shows it: no markup, no HTML, no end of a table's cell. `Markup` stays as it is."""
    if isinstance(value, Markup):
        return value
    return SPECIAL.sub(r"\\\1", html.escape(" ".join(str(value).split()), quote=False))


def _tables(sections: Sequence[Section]) -> Iterator[Output]:
    return (output for section in sections for output in section.outputs if output.file.suffix == ".csv")


def _link(key: Key, runs: Mapping[Key, Entry]) -> Link:
    if key in runs:
        return Link(runs[key].name, anchor(key))
    return Link(f"run not here: digest {key[0]}, seed {key[1]}", "")


def _slug(output: Output) -> str:
    return re.sub(r"[^\w]+", "-", output.place)
