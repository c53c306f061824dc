"""Pictures: of data, of views, of pseudo-labels, of training and of results; figures, and the arrays they show.

A figure that shows images says of which data set (`save(shows=...)`), so that `publish` can refuse to commit
photographs.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from picie_core import files, metrics, palettes, training
from picie_core.classes import ClassTable
from picie_core.datasets import Prepared
from picie_core.figures import heatmaps
from picie_core.records import Run

VOID_COLOR = (20, 20, 20)
NO_IMAGES = "no images"


def paint(indices: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """A label map as a picture: (..., H, W) indices -> uint8 (..., H, W, 3); -1, void and what else has no colour in
    the palette, uint8 (K, 3), are near black."""
    painted = palette.astype(np.uint8)[np.clip(indices, 0, len(palette) - 1)]
    painted[(indices < 0) | (indices >= len(palette))] = VOID_COLOR
    return painted


def overlay(images: np.ndarray, indices: np.ndarray, palette: np.ndarray, alpha: float = 0.55) -> np.ndarray:
    """A label map drawn over its images: uint8 (..., H, W, 3)."""
    return (alpha * paint(indices, palette) + (1 - alpha) * images).astype(np.uint8)


def enlarge(maps: np.ndarray, factor: int) -> np.ndarray:
    """Label maps (..., h, w) with every cell repeated: (..., h * factor, w * factor)."""
    return maps.repeat(factor, axis=-2).repeat(factor, axis=-1)


def panels(rows: Mapping[str, Sequence[np.ndarray]], titles: Sequence[str] = (), width: float = 1.7) -> Figure:
    """A grid of pictures, a row for each name: image rows (H, W, 3) uint8 of any sizes."""
    columns = max(len(pictures) for pictures in rows.values())
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(width * columns + 0.6, width * len(rows) + 0.3),
        squeeze=False,
        layout="constrained",
    )
    for row, (name, pictures) in zip(axes, rows.items(), strict=True):
        for axis in row:
            axis.set(xticks=[], yticks=[])
            sns.despine(ax=axis, left=True, bottom=True)
        for axis, picture in zip(row, pictures, strict=False):
            axis.imshow(picture, interpolation="nearest")
        lines = textwrap.fill(name, int(11 * width), break_on_hyphens=False)  # none longer than a picture is high
        row[0].set_ylabel(lines, fontsize=9)
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize=9)
    return figure


def legend(figure: Figure, table: ClassTable) -> Figure:
    """The classes' colours below a figure."""
    return key(figure, dict(zip(table.names, table.colors, strict=True)) | {"void": np.array(VOID_COLOR)})


def key(figure: Figure, colors: Mapping[str, np.ndarray]) -> Figure:
    """Names and their colours, uint8 (3,), below a figure."""
    handles = [Patch(color=tuple(color / 255), label=name) for name, color in colors.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=7, fontsize=8, frameon=False)
    return figure


def samples(data: Prepared) -> Figure:
    """At most six images of a split, spread evenly over it, and their labels where there are any."""
    chosen = np.linspace(0, len(data) - 1, min(6, len(data))).astype(int)
    rows = {"image": list(data.images[chosen])}
    if data.labels is None or data.classes is None:
        return panels(rows)
    rows["label"] = list(paint(data.labels[chosen], data.classes.colors))
    return legend(panels(rows), data.classes)


def class_shares(shares: pd.DataFrame) -> Figure:
    """Share of the pixels of each class, things and stuff apart.

    Args:
        shares: columns `class`, `share` (percent), `kind` (thing or stuff), `split`.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", width_ratios=[3, 1])
    sns.barplot(shares, x="class", y="share", hue="split", ax=axes[0])
    axes[0].set(xlabel="", ylabel="share of labelled pixels (%)")
    axes[0].tick_params(axis="x", rotation=60)
    kinds = pd.DataFrame(shares.groupby(["split", "kind"], as_index=False)["share"].sum())
    sns.barplot(kinds, x="kind", y="share", hue="split", ax=axes[1], legend=False)
    axes[1].set(xlabel="", ylabel="share (%)")
    return figure


def training_curves(progress: pd.DataFrame, final: float | None = None) -> Figure:
    """Loss, and where a run has them k-means inertia and validation mIoU over the epochs.

    Args:
        progress: of a run (`records.Run`).
        final: the run's mIoU, percent, as a line beside that of the epochs, where these were scored.
    """
    titles = {"loss": "training loss", "inertia": "k-means inertia", "mean_iou": "validation mIoU (%)"}
    found = {prefix: [name for name in progress if name.startswith(f"{prefix}_")] for prefix in ("inertia", "mean_iou")}
    columns = {"loss": ["loss"]} | {prefix: names for prefix, names in found.items() if names}
    width = 3.2 * len(columns)
    figure, axes = plt.subplots(1, len(columns), figsize=(width, 2.8), squeeze=False, layout="constrained")
    epochs = progress["epoch"] + 1
    for axis, (prefix, names) in zip(axes[0], columns.items(), strict=True):
        for name in names:
            label = None if name == prefix else _of_column(name.removeprefix(prefix + "_"))
            axis.plot(epochs, progress[name], marker="o", label=label)
        axis.set(xlabel="epoch", ylabel=titles[prefix])
    if final is not None and "mean_iou" in columns:
        axes[0, -1].axhline(final, color="grey", linestyle="--", linewidth=1, label="the run's score")
    for axis in axes[0]:
        axis.xaxis.get_major_locator().set_params(integer=True)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7, frameon=False)
    sns.despine(figure)
    return figure


def _of_column(name: str) -> str:
    """`view1` or, of k-means, `1_27` (view and clusters) as "view 1", "view 1, K = 27"; other names as they are."""
    view, _, k = name.removeprefix("view").partition("_")
    return f"view {view}" + (f", K = {k}" if k else "") if view.isdigit() else name


def cluster_sizes(progress: pd.DataFrame, column: str) -> Figure:
    """Share of the pixels in each cluster, sorted, epoch by epoch, from light to dark: is anything collapsing?"""
    figure, axis = plt.subplots(figsize=(5, 2.8), layout="constrained")
    shades = plt.get_cmap("Blues")(np.linspace(0.35, 1, len(progress)))
    for epoch, sizes, shade in zip(progress["epoch"], progress[column], shades, strict=True):
        shares = 100 * np.sort(sizes)[::-1] / np.sum(sizes)
        axis.plot(range(1, len(shares) + 1), shares, marker=".", color=shade, label=f"epoch {epoch + 1}")
    axis.axhline(
        100 / len(progress[column].iloc[0]), color="grey", linestyle="--", linewidth=1, label="all of one size"
    )
    axis.set(xlabel="cluster, largest first", ylabel="share of pixels (%)", ylim=(0, None))
    axis.legend(fontsize=7, frameon=False)
    sns.despine(figure)
    return figure


def confusion(matrix: np.ndarray, names: Sequence[str]) -> Figure:
    """Where the pixels of each class went, in percent of the class; clusters in the order of their matched class,
    with a frame round the cell of the two."""
    classes = metrics.match(matrix)
    order = np.lexsort((np.arange(len(classes)), np.where(classes < 0, len(matrix), classes)))
    share = 100 * matrix[:, order] / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    matched = [f"{k} → {names[int(classes[k])]}" if classes[k] >= 0 else f"{k} → none" for k in order]
    side = 0.36 * max(matrix.shape) + 1.8
    figure, axis = plt.subplots(figsize=(side + 0.8, side), layout="constrained")
    heatmaps.draw(share, axis, "% of the class's pixels", numbers=len(names) <= 15, shrink=0.7)
    axis.set(aspect="equal")
    axis.set_xticks(np.arange(len(order)) + 0.5, matched, rotation=90)
    axis.set_yticks(np.arange(len(names)) + 0.5, list(names), rotation=0)
    for place, row in enumerate(classes[order]):
        if row >= 0:
            axis.add_patch(Rectangle((place, row), 1, 1, fill=False, linewidth=1.2))
    axis.set(xlabel="cluster → matched class", ylabel="class")
    return figure


def main_directions(features: np.ndarray) -> np.ndarray:
    """Feature maps as pictures: the three main directions (PCA over all the maps' pixels) as red, green and blue.

    Args:
        features: (B, D, h, w).

    Returns:
        uint8 (B, h, w, 3).
    """
    points = np.moveaxis(features, 1, -1).reshape(-1, features.shape[1]).astype(np.float64)
    points = points - points.mean(axis=0)
    _, vectors = np.linalg.eigh(points.T @ points)
    projected = points @ vectors[:, -3:][:, ::-1]
    low, high = np.percentile(projected, [2, 98], axis=0)
    scaled = np.clip((projected - low) / np.maximum(high - low, 1e-12), 0, 1)
    return (255 * scaled).astype(np.uint8).reshape(features.shape[0], *features.shape[2:], 3)


def spectra(features: Mapping[str, np.ndarray]) -> Figure:
    """The variance of features by direction, the sixteen largest (`metrics.spectrum`), a line for each name.

    Args:
        features: name -> maps (B, D, h, w).
    """
    figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
    for name, maps in features.items():
        shares = metrics.spectrum(maps)
        label = f"{name}: {1 / np.square(shares).sum():.1f} directions in use"
        axis.plot(np.arange(1, len(shares[:16]) + 1), 100 * shares[:16], marker="o", label=label)
    axis.set(xlabel="direction (principal component)", ylabel="share of the variance, %", ylim=(0, None))
    axis.legend(title="(participation ratio)")
    sns.despine(figure)
    return figure


def compared(runs: Mapping[str, Run], data: Prepared, count: int = 6) -> Figure:
    """Images, what each run makes of them, and the ground truth where there is one (Figure 3).

    Args:
        runs: finished, all on `data`, by the name that stands beside the row. For their colours see
            `palettes.of_run`; without labels a colour means nothing from one row to the next.
        data: the validation split of the runs.
        count: at most so many images, spread evenly over the split.
    """
    chosen = np.linspace(0, len(data) - 1, min(count, len(data))).astype(int)
    rows = {"image": list(data.images[chosen])}
    for name, run in runs.items():
        rows[name] = list(paint(training.clusters_of(run, data, chosen), palettes.of_run(run)))
    if data.labels is None or data.classes is None:
        return panels(rows, width=1.3)
    rows["ground truth"] = list(paint(data.labels[chosen], data.classes.colors))
    return legend(panels(rows, width=1.3), data.classes)


def save(figure: Figure, folder: Path, name: str, shows: str = NO_IMAGES) -> Figure:
    """Write a figure as `folder/name.png`.

    Args:
        figure: to write.
        folder: made where it does not exist.
        name: without ending.
        shows: the data set whose images are in the picture, or `NO_IMAGES`; it is stored in the file.

    Returns:
        The figure, as a notebook's last line shows it (pyplot forgets it, or the notebook would show it twice).
    """
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130, metadata={"Shows": shows, "Software": "picie_core"})
    files.write(folder / f"{name}.png", stream.getvalue())
    plt.close(figure)
    return figure


def shows(file: Path) -> str:
    """What `save` was told that a figure shows; `unknown` for a picture that something else made."""
    with Image.open(file) as picture:
        return str(picture.info.get("Shows", "unknown"))
