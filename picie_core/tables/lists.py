"""Lists of runs: a row for each, with its scores, its command and where it was made, as CSV files that add up."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from picie_core import places, records
from picie_core.errors import WorkbookError
from picie_core.records import MACHINE, Run
from picie_core.settings import Settings
from picie_core.tables import NAMES, JoinError

LISTED = ("dataset", "method", "recipe", "seed", "scored", "accuracy", "mIoU", "seconds", "commit", "digest", "command")
"""Of every list of runs, also one that older code wrote (see `every_run`)."""


class ListError(WorkbookError, ValueError):
    """A file that is no list of runs; the message says what it lacks."""


def every_run(runs: Iterable[Run]) -> pd.DataFrame:
    """One row a finished run, to be read and to be made again.

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
                "dataset": s.dataset,
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
    return table.sort_values([*LISTED[:4], "command"], ignore_index=True)


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
        raise JoinError(
            f"{file} lists the runs of {own[0]}, and these are of {', '.join(strange)} too: give -p dataset={own[0]}, "
            "or another file"
        )
    both = pd.concat([table, older], ignore_index=True)
    both = both.drop_duplicates(["digest", "seed", "scored"], keep="first")
    return both.sort_values(["dataset", "method", "recipe", "seed", "command"], ignore_index=True)


def listed(file: Path) -> pd.DataFrame:
    """A table of `every_run` as it was written to a CSV file; older ones lack columns.

    Raises:
        ListError: the file is no such table.
    """
    try:
        table = pd.read_csv(file, dtype={"digest": str, "commit": str})  # or 12e456789012 is a number
        if missing := [name for name in LISTED if name not in table]:
            raise ValueError(f"it has no column {', '.join(missing)}")
        for row, (digest, seed) in enumerate(zip(table["digest"], table["seed"], strict=True), start=1):
            if not isinstance(digest, str) or not str(seed).removesuffix(".0").isdecimal():
                raise ValueError(f"row {row} has no digest or no seed")
    except ValueError as error:  # pandas' and UTF-8's too
        raise ListError(f"{file} is not a list of runs: {error}. Mend it, or take it away") from error
    return table


def command(settings: Settings) -> str:
    """The command line that makes a run of these settings; `DIR` stands for the folder of the data."""
    given = {name: settings.values()[name] for name in settings.explicit if name not in MACHINE}
    given |= {"data_root": "DIR"} if settings.data_root else {}
    return " ".join(["picie run 00 -p overrides={}", *(f"-p {n}={_plain(v)}" for n, v in sorted(given.items()))])


def committed(dataset: str) -> pd.DataFrame:
    """The runs of a data set whose scores are committed (`picie results --out`, `reports/tables/<dataset>-runs.csv`).

    Returns:
        Columns dataset, recipe, seed, digest, command, commit, metric (`accuracy`, `mean_iou`) and value, as in rows of
        `records.tidy`. Runs scored on the training split are left out.

    Raises:
        FileNotFoundError: there is no such file.
        ListError: see `listed`.
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
    names = ["dataset", "recipe", "seed", "digest", "command", "commit"]
    scored = pd.DataFrame(table[table["scored"] == "val"]).rename(columns={"mIoU": "mean_iou"})
    return scored.melt(names, ["accuracy", "mean_iou"], var_name="metric", value_name="value")


def _machine(environment: Mapping[str, Any]) -> dict[str, str]:
    """`devices.environment` in words: versions and device; empty where it is not known."""
    if not environment:
        return {"versions": "", "device": ""}
    cpu = f"{environment['machine']}, {environment['cpu_capability']}"
    versions = f"torch {environment['packages']['torch']}, python {environment['python']}"
    return {"versions": versions, "device": environment["gpu"] or cpu}


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool | None) else f"{value}"
