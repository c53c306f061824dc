"""Pictures of single pixels: their nearest neighbours (Figure 4), and a gallery of every cluster.

Each returns a figure that shows images: write it by `figures.save(shows=...)`.
"""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from picie_core import palettes
from picie_core.classes import VOID, ClassTable
from picie_core.datasets import Prepared
from picie_core.studies.cells import Cells, Grid
from picie_core.studies.retrieval import Hits

RIGHT, WRONG = "tab:green", "tab:red"
OUTSIDE = 200
"""The grey around a patch that reaches over the edge of its image."""
MOST = 3
"""Classes of a cluster that are named."""
MIXED = "mixed"
"""What a cell is called whose pixels have several classes, or none."""


def centre(cell: int, cells: int, size: int) -> float:
    """Where a cell's middle lies on a picture's axis, in pixels, 0 the middle of the first: s (cell + 1/2) - 1/2 with
    s = size / cells pixels a cell."""
    return size / cells * (cell + 0.5) - 0.5


def neighbours(data: Prepared, grid: Grid, queries: Cells, hits: Hits, classes: np.ndarray | None = None) -> Figure:
    """Queries and the images of their nearest neighbours, a row for each query, every place in a ring (Figure 4).

    Below a query stands its class, and where `classes` are given what it was taken for; below a neighbour its
    similarity and its class, with a tick or a cross: whether it is the query's. Cells of several classes are called
    mixed.

    Args:
        data: the split.
        grid: of the split.
        queries: (Q,).
        hits: (Q, k).
        classes: (K,) the class each cluster was matched with, -1 for none; None: nothing is said of classes.
    """
    count, k = hits.image.shape
    cells, size = grid.clusters.shape[1], data.images.shape[1]
    figure, axes = plt.subplots(count, k + 1, figsize=(1.45 * (k + 1), 1.72 * count + 0.3), squeeze=False,
                                layout="constrained")  # fmt: skip
    for q, row in enumerate(axes):
        query = Cells(*(values[q : q + 1] for values in (queries.image, queries.y, queries.x)))
        found = Cells(hits.image[q], hits.y[q], hits.x[q])
        own = called(grid, query, data.classes)[0]
        text, color = f"image {query.image[0]}", "black"
        if own and classes is not None and data.classes is not None and grid.labels is not None:
            taken = classes[query.of(grid.clusters)[0]]
            color = RIGHT if taken == query.of(grid.labels)[0] else WRONG
            text = f"{own}, predicted" if color == RIGHT else f"{own}, taken\nfor {_name(data.classes, int(taken))}"
        _place(row[0], data.images[query.image[0]], centre(query.y[0], cells, size), centre(query.x[0], cells, size))
        _say(row[0], text, color, bold=True)
        for spine in row[0].spines.values():
            spine.set(visible=True, linewidth=2.5, color=color)
        for n, (axis, name) in enumerate(zip(row[1:], called(grid, found, data.classes), strict=True)):
            y, x = (centre(values[n], cells, size) for values in (found.y, found.x))
            _place(axis, data.images[found.image[n]], y, x)
            same = name == own
            mark = "" if not name or name == MIXED else f" {'✓' if same else '✗'}"
            color = "0.35" if not mark else RIGHT if same else WRONG
            _say(axis, f"{hits.similarity[q, n]:.2f}  {name}{mark}", color)
    axes[0, 0].set_title("query", fontsize=9)
    for n, axis in enumerate(axes[0, 1:], start=1):
        axis.set_title(f"neighbour {n}", fontsize=9)
    return figure


def called(grid: Grid, cells: Cells, table: ClassTable | None) -> list[str]:
    """The classes' names of some cells, (n,); `mixed` where a cell has several or none, empty in a split without."""
    if grid.labels is None or table is None:
        return [""] * len(cells.image)
    return [MIXED if label == VOID else table.names[label] for label in cells.of(grid.labels)]


def clusters(grid: Grid, confusion: np.ndarray | None, table: ClassTable | None, k: int) -> pd.DataFrame:
    """What every cluster is, the largest first.

    Args:
        grid: of the scored split.
        confusion: of the run's score, (classes, K); None without labels.
        table: the classes; None without labels.
        k: number of clusters.

    Returns:
        A row for each of the K clusters: cluster; share, percent of the split's cells; height and light, means over its
        cells of how far below the image's upper edge they lie and how bright they are, percent; and where there are
        labels purity, percent of its labelled pixels that have its commonest class, and classes, the commonest ones
        with their percents. nan and empty for a cluster without pixels.
    """
    counts = np.bincount(grid.clusters.ravel(), minlength=k)
    height = np.broadcast_to(
        (np.arange(grid.clusters.shape[1])[:, None] + 0.5) / grid.clusters.shape[1], grid.light.shape
    )
    found = pd.DataFrame({"cluster": np.arange(k), "share": 100 * counts / counts.sum()})
    for name, values in (("height", height), ("light", grid.light)):
        sums = np.bincount(grid.clusters.ravel(), values.ravel(), minlength=k)
        found[name] = 100 * sums / np.where(counts > 0, counts, np.nan)
    if confusion is not None and table is not None:
        parts = 100 * confusion / np.where(confusion.sum(axis=0) > 0, confusion.sum(axis=0), np.nan)
        found["purity"] = parts.max(axis=0)
        found["classes"] = [_mixture(column, table) for column in parts.T]
    return found.sort_values(["share", "cluster"], ascending=[False, True], ignore_index=True)


def gallery(data: Prepared, grid: Grid, table: pd.DataFrame, hits: Hits, side: int = 32) -> Figure:
    """Every cluster: its colour, share and classes, and the patches around its most central cells, one an image.

    The ring is in the middle of each patch; grey lies outside of the image. A cluster that is in fewer images than
    there are columns has empty places, and says in how many.

    Args:
        data: the split.
        grid: of the split.
        table: of `clusters`, a row of the figure for each of its rows.
        hits: of `retrieval.central`, (K, k).
        side: of a patch, in pixels of the split's images.
    """
    k, cells, size = hits.image.shape[1], grid.clusters.shape[1], data.images.shape[1]
    palette = palettes.of_clusters(len(hits.image)) / 255
    figure, axes = plt.subplots(len(table), k + 1, figsize=(2.1 + 1.05 * k, 1.08 * len(table)), squeeze=False,
                                layout="constrained", width_ratios=[2] + [1] * k)  # fmt: skip
    for row, line in zip(axes, table.to_dict("records"), strict=True):
        c = int(line["cluster"])
        images = len(np.unique(np.nonzero(grid.clusters == c)[0]))
        few = f" in {images} image{'s' * (images != 1)}" if images < k else ""
        row[0].set(xlim=(0, 1), ylim=(0, 1))
        row[0].axis("off")
        row[0].add_patch(Rectangle((0, 0.08), 0.09, 0.84, color=palette[c]))
        row[0].text(0.15, 0.92, f"cluster {c}: {line['share']:.1f} %{few}", fontsize=9, weight="bold", va="top")
        row[0].text(0.15, 0.68, str(line.get("classes", "")).replace(", ", "\n"), fontsize=8, va="top")
        for n, axis in enumerate(row[1:]):
            if hits.image[c, n] < 0:
                axis.axis("off")
                continue
            y, x = (centre(int(values[c, n]), cells, size) for values in (hits.y, hits.x))
            _place(axis, patch(data.images[hits.image[c, n]], y, x, side), side / 2 - 0.5, side / 2 - 0.5)
    return figure


def patch(image: np.ndarray, y: float, x: float, side: int) -> np.ndarray:
    """The square of `side` pixels (even) around a place of an image (H, W, 3) uint8; `OUTSIDE` beyond its edge.

    A place between two pixels (see `centre`) lies exactly in the middle of the patch; one on a pixel half a pixel below
    and right of it.
    """
    half = side // 2
    top, left = int(np.ceil(y)), int(np.ceil(x))  # of the padded image, whose place (y, x) is at (y + half, x + half)
    padded = np.pad(image, ((half, half), (half, half), (0, 0)), constant_values=OUTSIDE)
    return padded[top : top + side, left : left + side]


def _mixture(percents: np.ndarray, table: ClassTable) -> str:
    """The commonest classes of a cluster with their percents, those below half a percent left out."""
    first = [c for c in np.argsort(-percents, kind="stable")[:MOST] if percents[c] >= 0.5]
    return ", ".join(f"{table.names[c]} {percents[c]:.0f} %" for c in first)


def _name(table: ClassTable, number: int) -> str:
    return table.names[number] if number >= 0 else "no class"


def _place(axis: Axes, picture: np.ndarray, y: float, x: float) -> None:
    """A picture with a ring around a place: white within black, to be seen on anything."""
    axis.imshow(picture, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)
    radius = 0.075 * len(picture)
    for color, width in (("black", 3.2), ("white", 1.4)):
        axis.add_patch(Circle((x, y), radius, fill=False, edgecolor=color, linewidth=width, clip_on=False))


def _say(axis: Axes, text: str, color: str, bold: bool = False) -> None:
    wrapped = "\n".join(textwrap.fill(line, 20) for line in text.split("\n"))
    axis.set_xlabel(wrapped, fontsize=8, color=color, weight="bold" if bold else "normal", labelpad=9)
