"""A grid file: rows of settings and seeds, read and checked whole before anything starts."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from picie_core import network, places, records, suggestions
from picie_core.datasets import DataError
from picie_core.errors import WorkbookError
from picie_core.methods import METHODS
from picie_core.settings import TAUGHT, Settings, SettingsError, document, parse, text
from picie_core.settings import seeds as numbers
from picie_core.tables import published
from picie_core.training import run_folder, splits

FIELDS = ("title", "about", "base", "seeds", "rows")
ROW_FIELDS = ("name", "about", "settings", "seeds", "published")
KEY_FIELDS = ("table", "method", "setting", "metric")

DATA = (
    "dataset", "data_root", "image_size", "base_size", "train_images", "val_images", "scored_split", "on_bad_image",
    "learned_split",
)  # fmt: skip
"""What of `Settings` says which prepared data a run sees."""


class GridError(WorkbookError, ValueError):
    """A grid that cannot be started; the message lists everything that is wrong. Nothing has been started."""


@dataclass(frozen=True)
class Row:
    """A row of a grid: one configuration, over several seeds.

    Attributes:
        name: what tables call it; no two rows of a grid share it.
        about: a line for people, such as the reading of an ambiguous flag.
        settings: the explicit values: the grid's base, what the caller added, and the row's own.
        seeds: ascending.
        published: which published number it stands beside: `table`, `method` and perhaps `setting` of
            `published.read`, and `metric` where the table calls mIoU otherwise; None: none.
    """

    name: str
    about: str
    settings: Mapping[str, Any]
    seeds: tuple[int, ...]
    published: Mapping[str, str] | None


@dataclass(frozen=True)
class Job:
    """One run of a grid: a row with a seed."""

    row: str
    settings: Settings

    def __str__(self) -> str:
        return f"{self.row}, seed {self.settings.seed}"


@dataclass(frozen=True)
class Grid:
    """A grid file as read.

    Attributes:
        file: where it was read from.
        title, about: for people.
        rows: in the file's order.
    """

    file: Path
    title: str
    about: str
    rows: tuple[Row, ...]

    def jobs(self) -> list[Job]:
        """Every run, a seed after the other: a table with one seed of each row comes before the second seed."""
        made = [
            (seed, number, Job(row.name, Settings(**row.settings, seed=seed)))
            for number, row in enumerate(self.rows)
            for seed in row.seeds
        ]
        return [job for _, _, job in sorted(made, key=lambda entry: entry[:2])]


def find(name: str) -> Path:
    """A grid by path, or by its name below `notebooks/grids/`.

    Raises:
        GridError: there is none; the message names those there are.
    """
    folder = places.home() / "notebooks" / "grids"
    for file in (Path(name).expanduser(), folder / name, folder / f"{name}.yaml"):
        if file.is_file():
            return file.resolve()
    known = [file.stem for file in sorted(folder.glob("*.yaml"))]
    raise GridError(f"no grid {name!r}: {_nearest(name, known)} (in {folder}); or give a path")


def read(
    file: Path, extra: Mapping[str, Any] | None = None, seeds: str | None = None, only: Collection[str] = ()
) -> Grid:
    """A grid file, its rows checked: names, values, what goes together, duplicates, published keys, seeds.

    The file is YAML: `title`, `about`, `base` (settings of every row), `seeds` (`[1, 2, 3]` or `1-10`) and `rows`, each
    with `name`, `settings`, and perhaps `about`, `seeds` and `published` (see `Row`).

    Args:
        file: to read.
        extra: settings above the file's base and below what makes a row (a data set and its place, say).
        seeds: in place of the file's.
        only: the names of the rows to keep, and to check; none: all.

    Raises:
        GridError: everything that is wrong, at once.
        OSError: the file cannot be read.
    """
    content = _load(file)
    problems = [f"{name!r} is no part of a grid: {_nearest(name, FIELDS)}" for name in content if name not in FIELDS]
    entries = content.get("rows")
    if not isinstance(entries, list) or not entries:
        raise GridError(f"{file}: `rows` holds no list of rows, each with a name and settings")
    base, above = _settings(content.get("base") or {}, "base", problems), dict(extra or {})
    rows: dict[str, Row | None] = {}  # None: not asked for
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            problems.append(f"row {number}: expected a mapping with a name, got {entry!r}")
            continue
        name, where = entry["name"], f"row {entry['name']!r}"
        if name in rows:
            problems.append(f"row {number}: there is another {where}: give each a name of its own")
            continue
        rows[name] = None
        if only and name not in only:
            continue
        problems += [
            f"{where}: {field!r} is no part of a row: {_nearest(field, ROW_FIELDS)}"
            for field in entry
            if field not in ROW_FIELDS
        ]
        own = _settings(entry.get("settings") or {}, where, problems)
        if seeds is not None:
            found = numbers.read(seeds, f"--seeds {seeds}", problems)
        elif "seeds" in entry:
            found = numbers.read(entry["seeds"], f"{where}: seeds = {entry['seeds']!r}", problems)
        else:
            found = numbers.read(content.get("seeds"), f"seeds = {content.get('seeds')!r}", problems)
        key = _published(entry.get("published"), where, problems)
        rows[name] = Row(name, str(entry.get("about") or ""), base | above | own, found, key)
    problems += [f"there is no row {name!r}: {_nearest(name, rows)}" for name in only if name not in rows]
    kept = tuple(filter(None, rows.values()))
    if not problems:
        problems += _conflicts(kept)
    if problems:
        raise GridError(_listed(file, problems))
    return Grid(file, str(content.get("title") or file.stem), str(content.get("about") or ""), kept)


def refuse_beaten(grid: Grid, given: Mapping[str, Any]) -> None:
    """Raise a `GridError` for settings given for all rows where some have another value of their own, which would stand
    above them. (Notebooks, which look runs up, give the same settings to grids with and without such rows.)"""
    problems = []
    for name, value in given.items():
        own = [f"{row.name!r} ({text(row.settings[name])})" for row in grid.rows if row.settings[name] != value]
        if own:
            problems.append(
                f"-p {name}={text(value)} does not change rows with a value of their own: {', '.join(own)}. Leave it "
                "out, choose other rows with --only, or change a copy of the file"
            )
    if problems:
        raise GridError(_listed(grid.file, problems))


def refuse_fresh(given: Mapping[str, Any]) -> None:
    """Raise a `SettingsError` for `fresh` among a grid's settings."""
    if "fresh" in given:
        raise SettingsError("fresh: a grid goes on where it stopped; to train a run again, delete its folder")


def prepare(grid: Grid) -> dict[Job, Path]:
    """The run folder of each job; its data are prepared and its trained weights fetched, once for all jobs.

    Raises:
        GridError: data or weights that are not there, all of them at once.
    """
    folders: dict[Job, Path] = {}
    rows: dict[Path, str] = {}
    found: dict[tuple[Any, ...], Any] = {}  # or the error
    problems: dict[str, list[str]] = {}

    def once(key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key not in found:
            try:
                found[key] = make()
            except (DataError, SettingsError, OSError) as error:
                found[key] = error
        if isinstance(found[key], Exception):
            raise found[key]
        return found[key]

    for job in grid.jobs():
        s = job.settings
        taught = s.method in TAUGHT and s.num_clusters  # which refuses data without labels, or with more classes
        data = (*(getattr(s, name) for name in DATA), taught)
        weights = (s.backbone, s.weights_file)
        try:
            folder = folders[job] = run_folder(s, *once(data, lambda s=s: splits(s)))
            if (other := rows.setdefault(folder, job.row)) != job.row:
                raise SettingsError(f"on these data the same run as row {other!r}")
            if any(METHODS[each.method].starts_pretrained(each) for each in (s, *s.earlier)):
                once(weights, lambda s=s: network.require(s))
        except (DataError, SettingsError, OSError) as error:
            problems.setdefault(str(error), []).append(job.row)
    if problems:
        raise GridError(
            _listed(grid.file, [f"{', '.join(dict.fromkeys(rows))}: {why}" for why, rows in problems.items()])
        )
    return folders


def _load(file: Path) -> Mapping[str, Any]:
    try:
        content = document.load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise GridError(f"{file} is not YAML: {error}") from error
    if not isinstance(content, Mapping):
        raise GridError(f"{file}: expected a mapping with the names {', '.join(FIELDS)}")
    return content


def _settings(given: Any, where: str, problems: list[str]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        problems.append(f"{where}: expected settings by name, such as {{epochs: 4}}, got {given!r}")
        return {}
    found = {}
    for name, value in given.items():
        try:
            if name == "seed":
                raise SettingsError("seed: a grid's seeds stand in `seeds`")
            refuse_fresh({name: value})
            # YAML reads 1e-3 as a text and `on` as true, and `parse` knows unknown names
            found[name] = parse(text(name), text(value))
        except SettingsError as error:
            problems.append(f"{where}: {error}")
    return found


def _published(given: Any, where: str, problems: list[str]) -> Mapping[str, str] | None:
    if given is None:
        return None
    if not isinstance(given, Mapping) or not {"table", "method"} <= set(given) or set(given) - set(KEY_FIELDS):
        problems.append(f"{where}: published = {given!r}: expected table, method and perhaps setting, metric")
        return None
    key = {name: str(value) for name, value in given.items()}
    try:
        rows = published.read(key["table"])
    except FileNotFoundError as error:
        problems.append(f"{where}: {error}")
        return None
    for name in KEY_FIELDS[1:]:
        if name in key:
            known = list(dict.fromkeys(rows[name].tolist()))
            rows = rows.loc[rows[name] == key[name]]
            if not len(rows):
                problems.append(f"{where}: {key['table']} has no {name} {key[name]!r}: {_nearest(key[name], known)}")
                return None
    if len(known := list(dict.fromkeys(rows["setting"].tolist()))) > 1:
        which = f"{key['table']} has {len(known)} rows {key['method']!r}"
        problems.append(f"{where}: {which}: give the `setting`, one of {', '.join(map(repr, known))}")
        return None
    return key


def _conflicts(rows: Collection[Row]) -> list[str]:
    """Values that do not go together, and rows that are the same run under two names."""
    problems: list[str] = []
    same: dict[str, str] = {}
    for row in rows:
        try:
            digest = records.digest(Settings(**row.settings))
        except SettingsError as error:
            problems += [f"row {row.name!r}: {line}" for line in str(error).splitlines()]
            continue
        if digest in same:
            problems.append(f"row {row.name!r}: the same settings as row {same[digest]!r}")
        same.setdefault(digest, row.name)
    return problems


def _nearest(word: Any, known: Collection[str]) -> str:
    return suggestions.nearest(str(word), known)


def _listed(file: Path, problems: list[str]) -> str:
    return "\n".join([f"{file}: nothing was started.", *(f"- {problem}" for problem in dict.fromkeys(problems))])
