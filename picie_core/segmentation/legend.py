"""The legend: what the clusters of a run are called, their colours, and how much of the photographs each covers."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from picie_core import records
from picie_core.classes import distinct_colors
from picie_core.datasets.problems import DataError
from picie_core.records import Run

PALETTE = (
    "#e6194b #3cb44b #ffe119 #4363d8 #f58231 #911eb4 #46f0f0 #f032e6 #bcf60c #fabebe "
    "#008080 #e6beff #9a6324 #fffac8 #800000 #aaffc3 #808000 #ffd8b1 #000075 #808080"
).split()
"""Sasha Trubetskoy's "20 simple, distinct colors" (2017), most distinct first: of the palettes tried, and mixed with a
black, grey or white photograph as in an overlay, its two nearest are furthest from each other (CIEDE2000: 9.2;
matplotlib's tab20, which pairs a dark and a light shade of a hue, 8.1; `distinct_colors` 6.7; seaborn's husl 3.5)."""


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


def as_csv(rows: Sequence[Cluster]) -> str:
    """The legend as a table: cluster, name, share, pixels, images, color."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["cluster", "name", "share", "pixels", "images", "color"])
    writer.writerows([row.number, row.name, f"{row.share:.3f}", row.pixels, row.images, row.color] for row in rows)
    return stream.getvalue()


def palette_of(n: int) -> np.ndarray:
    """`n` colours for clusters that have no class, uint8 (n, 3): `PALETTE`, then those of `distinct_colors`."""
    own = np.array([tuple(bytes.fromhex(color[1:])) for color in PALETTE], dtype=np.uint8)
    return np.concatenate([own, distinct_colors(n)[len(own) :]])[:n]


def cluster_colors(run: Run) -> np.ndarray:
    """A colour for each cluster, uint8 (K, 3): of a scored run that of the class that `cluster_names` calls it by."""
    palette = palette_of(run.settings.predicted_clusters)
    if run.confusion is None or run.classes is None:
        return palette
    classes = records.shown_classes(run.settings, run.confusion)
    named = classes >= 0
    palette[named] = run.classes.colors[classes[named]]
    return palette


def cluster_names(run: Run) -> dict[int, str]:
    """What the clusters of a scored run may be called: the class that most of their validation pixels have; where the
    method was taught the classes, its own."""
    if run.confusion is None or run.classes is None:
        return {}
    names = run.classes.names
    return {k: f"{names[c]}?" for k, c in enumerate(records.shown_classes(run.settings, run.confusion)) if c >= 0}


def read_names(file: Path) -> dict[int, str]:
    """Names of clusters from a CSV file with the columns `cluster` and `name` (such as an edited `clusters.csv`).

    Rows without a name are passed over. UTF-8, with or without a byte order mark.

    Raises:
        DataError: the file cannot be read, is not UTF-8, has other columns, or a cluster that is not a number.
    """
    try:
        reader = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig")))
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise DataError(
            f"names of clusters: {file}: {reason}; expected a CSV file with the columns cluster and name, such as an "
            "edited copy of the clusters.csv that `picie segment` writes"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 ({error}): in a spreadsheet, save it as 'CSV UTF-8'") from error
    if not {"cluster", "name"} <= set(reader.fieldnames or ()):
        raise DataError(f"{file}: expected the columns cluster and name, got {', '.join(reader.fieldnames or ())}")
    names = {}
    for row in reader:
        if row["name"] and row["name"].strip():
            if not (row["cluster"] or "").strip().isdecimal():
                raise DataError(f"{file}, line {reader.line_num}: cluster is {row['cluster']!r}, expected a number")
            names[int(row["cluster"])] = row["name"].strip()
    return names
