"""The legend: what the clusters of a run are called, their colours, and how much of the photographs each covers."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from picie_core import records
from picie_core.datasets import spreadsheet
from picie_core.datasets.problems import DataError
from picie_core.records import Run


@dataclass(frozen=True)
class Cluster:
    """A row of the legend.

    Attributes:
        number: from 0.
        name: empty where it has none.
        color: `#rrggbb`.
        share: percent of the pixels of all photographs.
        pixels: so many.
        images: photographs in which it is.
    """

    number: int
    name: str
    color: str
    share: float
    pixels: int
    images: int


def clusters(palette: np.ndarray, names: Mapping[int, str], pixels: np.ndarray, images: np.ndarray) -> list[Cluster]:
    """A row for each of K clusters, in the order of their numbers.

    Args:
        palette: uint8 (K, 3).
        names: by number, for those that have one.
        pixels: (K,), of all photographs.
        images: (K,), in how many photographs each is.
    """
    whole = max(int(pixels.sum()), 1)
    return [
        Cluster(k, names.get(k, ""), "#{:02x}{:02x}{:02x}".format(*palette[k]), 100 * n / whole, n, int(images[k]))
        for k, n in enumerate(pixels.tolist())
    ]


def as_csv(rows: Sequence[Cluster], run: str) -> str:
    """The legend as a table: cluster, name, share, pixels, images, color, run (whose clusters these are)."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["cluster", "name", "share", "pixels", "images", "color", "run"])
    writer.writerows([row.number, row.name, f"{row.share:.3f}", row.pixels, row.images, row.color, run] for row in rows)
    return stream.getvalue()


def cluster_names(run: Run) -> dict[int, str]:
    """What the clusters of a scored run may be called: the class that most of their validation pixels have; where the
    method was taught the classes, its own. The background, of a method that has one, is called so in any run."""
    background = run.settings.background
    own = {} if background is None else {background: "background"}
    if run.confusion is None or run.classes is None:
        return own
    names = run.classes.names
    shown = enumerate(records.shown_classes(run.settings, run.confusion))
    return {k: f"{names[c]}?" for k, c in shown if c >= 0} | own


def run_of(file: Path) -> str:
    """The run that a table's column `run` names in its first row; empty without one. Raises as `read_names`."""
    return next(((row.get("run") or "").strip() for _, row in _rows(file)), "")


def read_names(file: Path, run: str) -> dict[int, str]:
    """Names of clusters from a CSV file with the columns `cluster` and `name` (such as an edited `clusters.csv`).

    Rows without a name are passed over. See `spreadsheet.rows` for what may stand in the file.

    Args:
        file: the table; where it has a column `run`, the names are of that run's clusters.
        run: whose clusters are to be named: the name of its folder.

    Raises:
        DataError: the names are of another run; or the file cannot be read, is no CSV in UTF-8, has other columns, or a
            cluster that is not a number, or that has two names.
    """
    names = {}
    for where, row in _rows(file):
        if (theirs := (row.get("run") or "").strip()) and theirs != run:
            raise DataError(
                f"{file} names the clusters of run {theirs}, and those of {run} have numbers of their own: look at its "
                "page and name them anew (without its column `run` the table is taken as it is)"
            )
        name, cluster = (row["name"] or "").strip(), row["cluster"] or ""
        if name:
            if not cluster.strip().isdecimal():
                raise DataError(f"{where}: cluster is {row['cluster']!r}, expected a number")
            if (before := names.get(int(cluster))) is not None:
                raise DataError(f"{where}: cluster {int(cluster)} is {name!r}, and {before!r} above: keep one")
            names[int(cluster)] = name
    return names


def _rows(file: Path) -> list[spreadsheet.Row]:
    try:
        return spreadsheet.rows(file, ("cluster", "name"), "the columns cluster and name")
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise DataError(
            f"names of clusters: {file}: {reason}; expected a CSV file with the columns cluster and name, such as an "
            "edited copy of the clusters.csv that `picie segment` writes"
        ) from error
