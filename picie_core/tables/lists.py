"""Lists of runs: a row for each, with its scores, its command and where it was made, as CSV files that add up."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import SoftFileLock, Timeout

from picie_core import files, places, records
from picie_core.errors import WorkbookError
from picie_core.records import MACHINE, Run
from picie_core.settings import Settings, SettingsError, parse, text
from picie_core.tables import NAMES, JoinError

LISTED = ("dataset", "method", "recipe", "seed", "scored", "accuracy", "mIoU", "seconds", "commit", "digest", "command")
"""Of every list of runs, also one that older code wrote (see `every_run`)."""

LOCK_SECONDS = 60.0
"""How long to wait for who adds to a list."""


class ListError(WorkbookError, ValueError):
    """A file that is no list of runs; the message says what it lacks."""


def every_run(runs: Iterable[Run]) -> pd.DataFrame:
    """One row a finished run, to be read and to be made again; of those that differ in nothing but their key (other
    threads, older code or data) the last, as in tables.

    Returns:
        Columns dataset, method, recipe, seed, scored (the split), accuracy, mIoU (percent; none without labels),
        seconds, commit (of the code; `+` after it: with changes of its own), digest (of the settings but for the seed),
        versions and device (in words), folder (the run folder's name), command. Sorted by the first four.
    """
    rows = []
    for run in runs:
        s, scores = run.settings, run.scores
        rows.append(
            {
                "dataset": run.data_name,
                "method": NAMES.get(name := records.method_name(s), name),
                "recipe": s.recipe,
                "seed": s.seed,
                "scored": s.scored_split,
                "accuracy": scores and round(scores.accuracy, 2),
                "mIoU": scores and round(scores.mean_iou, 2),
                "seconds": round(run.result["seconds"], 1),
                "commit": (run.result["commit"] or "")[:12] + "+" * (run.result["commit"] or "").endswith("+"),
                "digest": records.digest(s),
                **_machine(run.environment),
                "folder": run.folder.name,
                "command": command(s),
            }
        )
    table = pd.DataFrame(rows, columns=[*LISTED[:-1], "versions", "device", "folder", LISTED[-1]])
    last = table.drop_duplicates(["digest", "seed"], keep="last")
    return last.sort_values([*LISTED[:4], "command"], ignore_index=True)


def merged(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """A table of `every_run` with those rows of an older one in `file` whose runs it does not have: scores add up over
    machines and months. What an older row does not say (its versions, say) is missing in it.

    Raises:
        ListError: see `listed`.
        JoinError: the file lists the runs of one data set, and the table has runs of others.
    """
    if not file.is_file():
        return table
    older = listed(file)
    own, strange = older["dataset"].unique(), sorted(set(table["dataset"]) - set(older["dataset"]))
    if len(own) == 1 and strange:
        alone = f"dataset={own[0]}" if places.dataset_of(own[0]) == own[0] else "data_root=DIR, its folder of images"
        raise JoinError(
            f"{file} lists the runs of {own[0]}, and these are of {', '.join(strange)} too: give -p {alone}, "
            "or another file"
        )
    both = pd.concat([table, older], ignore_index=True)
    both = both.drop_duplicates(["digest", "seed", "scored"], keep="first")
    return both.sort_values(["dataset", "method", "recipe", "seed", "command"], ignore_index=True)


def add(table: pd.DataFrame, file: Path) -> None:
    """Write a table of `every_run` to a CSV file, with those rows that only the file has (see `merged`). Who else adds
    to it waits in the meantime, at most `LOCK_SECONDS`.

    Raises:
        ListError, JoinError: see `merged`; another process has been adding to it all the time, or has died so on
            another host.
        OSError: see `files.write`.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = file.with_name(f".{file.name}.lock")  # of which nothing stays
    try:
        with SoftFileLock(lock, timeout=LOCK_SECONDS):
            files.write(file, merged(table, file).to_csv(index=False))
    except Timeout as error:
        raise ListError(f"another process adds to {file}; if none does, delete the file {lock}") from error


def listed(file: Path) -> pd.DataFrame:
    """A table of `every_run` as it was written to a CSV file; older ones lack columns.

    Raises:
        ListError: the file is no such table, or not there; of a cell that is none of it the line and the column.
    """
    try:
        table = pd.read_csv(file, dtype=str)  # or the digest 12e456789012 is a number
        if missing := [name for name in LISTED if name not in table]:
            raise ValueError(f"it has no column {', '.join(missing)}")
        for name in ("dataset", "digest"):
            _refuse(table, name, table[name].isna(), "a text")
        numbers = table[["seed", "accuracy", "mIoU", "seconds"]].apply(pd.to_numeric, errors="coerce")
        words = numbers.isna() & table[numbers.columns].notna()
        for name in numbers:
            _refuse(table, name, words[name], "a number")
        _refuse(table, "seed", (numbers["seed"] % 1 != 0) | (numbers["seed"] < 0), "a whole number")
        table[numbers.columns] = numbers.astype({"seed": int, "accuracy": float, "mIoU": float, "seconds": float})
    except FileNotFoundError as error:
        raise ListError(f"there is no file {file}: give a CSV that `picie results --out` wrote") from error
    except ValueError as error:  # pandas' and UTF-8's too
        raise ListError(f"{file} is not a list of runs, a CSV that `picie results --out` wrote: {error}") from error
    return table


def command(settings: Settings) -> str:
    """The command line that makes a run of these settings; `DIR` stands for the folder of the data."""
    given = {name: settings.values()[name] for name in settings.explicit if name not in MACHINE}
    given |= {"data_root": "DIR"} if settings.data_root else {}
    return " ".join(["picie run 00 -p overrides={}", *(f"-p {n}={text(v)}" for n, v in sorted(given.items()))])


def settings_of(table: pd.DataFrame) -> list[Settings]:
    """The settings of every row of a list of runs, as its command gives them, with `DIR` for the folder of the data.

    Raises:
        ListError: a command gives a setting or a value that there is not, or not the row's data set and seed.
    """
    found = []
    columns = ["dataset", "seed", "digest", "command"]
    for dataset, seed, digest, given in table[columns].itertuples(index=False):
        start, *pairs = (part.partition("=") for part in str(given).split(" -p "))
        try:
            settings = Settings(**{name: parse(name, value) for name, _, value in pairs if name != "overrides"})
            named = (places.dataset_of(dataset), int(seed))
            if (settings.dataset, settings.seed) != named or start[0] != "picie run 00":
                raise ValueError(f"that is no `picie run 00` of {dataset}, seed {seed}")
        except (SettingsError, ValueError) as error:
            raise ListError(f"the list's run {digest}, seed {seed}, has the command {given!r}: {error}") from error
        found.append(settings)
    return found


def where(table: pd.DataFrame, wanted: Callable[[Settings], bool]) -> pd.DataFrame:
    """The rows of a list of runs whose settings are wanted."""
    return pd.DataFrame(table.loc[[wanted(settings) for settings in settings_of(table)], :])


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """A list of runs as `records.tidy` has them: what `tables.over_seeds` and `published` take, without the runs.

    Args:
        table: of `every_run` or `listed`.

    Returns:
        The columns of `records.tidy` (the key is empty; of the images nothing is known), commit and command. The
        metrics are `accuracy` and `mean_iou`, to two decimals; runs without scores are left out.

    Raises:
        ListError: see `settings_of`.
    """
    scored = pd.DataFrame(table.dropna(subset=["mIoU"])).rename(columns={"mIoU": "mean_iou"})
    settings = settings_of(scored)
    scored["method"] = [records.method_name(s) for s in settings]
    scored["explicit"] = [records.explicit(s) for s in settings]
    metrics = ["accuracy", "mean_iou"]
    long = scored.assign(key="", images="{}").melt(
        [*(name for name in records.TIDY if name not in ("metric", "value")), "commit", "command"],
        metrics, var_name="metric", value_name="value",
    )  # fmt: skip
    return long.sort_values(["digest", "seed"], kind="stable", ignore_index=True)


def committed(dataset: str) -> pd.DataFrame:
    """The runs of a data set whose scores are committed (`picie results --out`, `reports/tables/<dataset>-runs.csv`).

    Returns:
        Rows of `tidy`, of those scored on the validation split.

    Raises:
        FileNotFoundError: there is no such file.
        ListError: see `listed` and `tidy`.
        JoinError: it has runs of another data set.
    """
    file = places.reports_folder() / "tables" / f"{dataset}-runs.csv"
    if not file.is_file():
        raise FileNotFoundError(f"no runs of {dataset} are committed: expected {file}, as `picie results --out` writes")
    table = listed(file)
    if strange := sorted(set(table["dataset"]) - {dataset}):
        raise JoinError(
            f"{file} has runs of {', '.join(strange)} among those of {dataset}: take their rows out, and write it with "
            f"`picie results -p dataset={dataset} --out {file.name}`"
        )
    return tidy(pd.DataFrame(table[table["scored"] == "val"]))


def _refuse(table: pd.DataFrame, column: str, wrong: Any, expected: str) -> None:
    """Raise a `ValueError` that names the first cell of the column that is wrong (of the rows: whether)."""
    for line, (cell, bad) in enumerate(zip(table[column].fillna(""), wrong, strict=True), start=2):
        if bad:
            raise ValueError(f"line {line}, column {column}: expected {expected}, got {cell!r}")


def _machine(environment: Mapping[str, Any]) -> dict[str, str]:
    """`devices.environment` in words: versions and device; empty where it is not known."""
    if not environment:
        return {"versions": "", "device": ""}
    cpu = f"{environment.get('cpu', environment['machine'])}, {environment['cpu_capability']}"
    versions = f"torch {environment['packages']['torch']}, python {environment['python']}"
    return {"versions": versions, "device": environment["gpu"] or cpu}
