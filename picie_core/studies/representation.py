"""The features of single pixels: a sample of them, and a map of them (t-SNE). What neighbours share: `retrieval`."""

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from picie_core import draws, palettes, training
from picie_core.classes import VOID
from picie_core.datasets import Prepared
from picie_core.records import Run
from picie_core.studies import cells


@dataclass(frozen=True)
class Pixels:
    """Cells of the features' grid (see `cells`), drawn from a split.

    Attributes:
        features: (n, D) float32, of length 1.
        clusters: (n,) int64, by the highest of the final logits.
        classes: (n,) uint8, that all pixels of the cell have; None in a set without labels.
        height: (n,) float64, of the cell's centre below the image's upper edge, in shares of the side.
    """

    features: np.ndarray
    clusters: np.ndarray
    classes: np.ndarray | None
    height: np.ndarray


@torch.no_grad()
def sample(run: Run, data: Prepared, count: int, seed: int = 1) -> Pixels:
    """Cells of a split, drawn evenly from those whose pixels have one class; without labels, from all.

    Args:
        run: finished, of a method with unit features.
        data: a prepared split at the run's image size.
        count: how many; fewer come back where there are no more.
        seed: of the draw, which is the same for every run.
    """
    method, fabric = training.restore(run)
    grid = cells.grid(method, data, fabric.device)
    known = np.ones(grid.clusters.size, dtype=bool) if grid.labels is None else grid.labels.ravel() != VOID
    able = np.flatnonzero(known)
    drawn = draws.generator((seed, "sampled pixels")).choice(able, min(count, len(able)), replace=False)
    chosen = cells.Cells(*np.unravel_index(np.sort(drawn), grid.clusters.shape))
    features = []
    for numbers, images in cells.batches(method, data, fabric.device, run.settings.batch_size):
        here = np.isin(chosen.image, numbers)
        at = (chosen.image[here] - numbers[0], slice(None), chosen.y[here], chosen.x[here])
        features.append(method.embedding(images).cpu().numpy()[at])
    classes = None if grid.labels is None else chosen.of(grid.labels)
    height = (chosen.y + 0.5) / grid.clusters.shape[1]
    return Pixels(np.concatenate(features), chosen.of(grid.clusters), classes, height)


def flattened(features: np.ndarray, seed: int = 1) -> np.ndarray:
    """t-SNE of features (n, D) (van der Maaten & Hinton 2008): (n, 2), neighbours in D dimensions near each other.

    Cosine distances, perplexity 30 (or a third of the points where they are few), begun from the main directions.
    Distances between groups and the groups' sizes mean nothing.
    """
    from sklearn.manifold import TSNE  # seconds of import

    perplexity = min(30, (len(features) - 1) / 3)
    chosen = {"metric": "cosine", "init": "pca", "perplexity": perplexity, "random_state": seed, "n_jobs": 1}
    return TSNE(**chosen).fit_transform(features)


def maps(drawn: Mapping[str, tuple[Pixels, np.ndarray]], names: tuple[str, ...], palette: np.ndarray) -> Figure:
    """t-SNE maps, a row for each network: coloured by class, by cluster, and by height in the image.

    Clusters have colours of their own and their numbers at the medians of their pixels: they are no classes, and those
    of one network are not those of the next.

    Args:
        drawn: name -> pixels and their `flattened` places.
        names: of the classes; only those that occur stand in the legend.
        palette: the classes' colours, uint8 (classes, 3).
    """
    columns = ("class", "cluster (numbered)", "height in the image")
    size = (9.5, 3.1 * len(drawn) + 0.7)
    figure, axes = plt.subplots(len(drawn), len(columns), figsize=size, squeeze=False, layout="constrained")
    seen: set[int] = set()
    for row, (name, (pixels, at)) in zip(axes, drawn.items(), strict=True):
        paints = [None, palettes.of_clusters(int(pixels.clusters.max()) + 1)[pixels.clusters] / 255, pixels.height]
        if pixels.classes is not None:
            paints[0] = palette[pixels.classes] / 255
            seen |= set(pixels.classes.tolist())
        for axis, title, paint in zip(row, columns, paints, strict=True):
            axis.set(xticks=[], yticks=[])
            if axis in axes[0]:
                axis.set_title(f"by {title}", fontsize=10)
            if paint is not None:
                scale = {"cmap": "viridis_r"} if paint.ndim == 1 else {}
                dots = axis.scatter(at[:, 0], at[:, 1], c=paint, s=7, linewidths=0, **scale)
        for k in sorted(set(pixels.clusters.tolist())):
            middle = np.median(at[pixels.clusters == k], axis=0)
            outline = [withStroke(linewidth=2.5, foreground="white")]
            row[1].text(*middle, str(k), ha="center", va="center", fontsize=9, path_effects=outline)
        row[0].set_ylabel(name, fontsize=10)
        bar = figure.colorbar(dots, ax=row[-1], ticks=[0.05, 0.95], shrink=0.8)
        bar.ax.set_yticklabels(["top", "bottom"], fontsize=8)
        bar.ax.invert_yaxis()
    handles = [Line2D([], [], marker="o", linestyle="", color=palette[c] / 255, label=names[c]) for c in sorted(seen)]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=8, fontsize=8, frameon=False)
    return figure
