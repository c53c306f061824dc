"""The features of single pixels: a sample of them, what their neighbours have in common, and a map of them (t-SNE)."""

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from picie_core import draws, figures, training, views
from picie_core.classes import VOID
from picie_core.clustering import scores
from picie_core.datasets import Prepared
from picie_core.records import Run


@dataclass(frozen=True)
class Pixels:
    """Cells of the feature grid, drawn from a split.

    Attributes:
        features: (n, D) float32, of length 1.
        clusters: (n,) int64, by the run's final prototypes.
        classes: (n,) uint8, of the label's pixel nearest to the cell's centre; None in a set without labels.
        images: (n,) int64, the image each is from.
        places: (n, 2) float64, (y, x) of the cell's centre in shares of the image's side.
    """

    features: np.ndarray
    clusters: np.ndarray
    classes: np.ndarray | None
    images: np.ndarray
    places: np.ndarray


@torch.no_grad()
def sample(run: Run, data: Prepared, count: int, seed: int = 1) -> Pixels:
    """Pixels of a split, drawn evenly over images and places; void is left out.

    Args:
        run: finished, of a method that clusters at the end.
        data: a prepared split at the run's image size.
        count: of pixels drawn; fewer come back where some are void.
        seed: of the draw, which is the same for every run.
    """
    method, fabric = training.restore(run)
    prototypes = method.final_prototypes
    if prototypes is None:
        raise ValueError(
            f"the run in {run.folder} has no prototypes: {run.settings.method} does not cluster at the end"
        )
    generator = draws.generator((seed, "sampled pixels"))
    each = np.bincount(generator.integers(0, len(data), count), minlength=len(data))
    found = []
    for i in np.flatnonzero(each):
        images = torch.from_numpy(data.images[[i]]).to(fabric.device)
        maps = method.embedding(views.plain(images, images.shape[1]))
        side = maps.shape[-1]
        cells = np.sort(generator.choice(side * side, min(each[i], side * side), replace=False))
        classes = np.full(len(cells), VOID, dtype=np.uint8)
        if data.labels is not None:
            labels = views.nearest(torch.from_numpy(data.labels[[i]]), side)
            classes = labels.flatten()[torch.from_numpy(cells)].numpy()
        vectors = maps[0].flatten(1).T[torch.from_numpy(cells).to(maps.device)]
        clusters = _clusters(vectors, prototypes, run)
        places = np.stack(np.divmod(cells, side), axis=1)
        found.append((vectors.cpu().numpy(), clusters, classes, np.full(len(cells), i), (places + 0.5) / side))
    features, clusters, classes, images, places = (np.concatenate(part) for part in zip(*found, strict=True))
    if data.labels is None:
        return Pixels(features, clusters, None, images, places)
    kept = classes != VOID
    return Pixels(features[kept], clusters[kept], classes[kept], images[kept], places[kept])


def in_common(pixels: Pixels, k: int = 10) -> dict[str, float]:
    """What pixels have in common with their `k` nearest of other images, by cosine in all dimensions of the features.

    Args:
        pixels: with classes.
        k: neighbours of each.

    Returns:
        Percent of the neighbours with the pixel's own class; the same of pixels of other images drawn at random (which
        is what the classes' shares give); and the mean distance of the neighbours' places and of random ones, in
        percent of the image's side.

    Raises:
        ValueError: there are no classes, or too few pixels of other images.
    """
    if pixels.classes is None:
        raise ValueError("pixels without classes have no class in common: the data set has no labels")
    other = pixels.images[:, None] != pixels.images
    if other.sum(axis=1).min() < k:
        raise ValueError(f"{k} neighbours of other images were asked for; some pixel has {other.sum(axis=1).min()}")
    similar = np.where(other, pixels.features @ pixels.features.T, -np.inf)
    near = np.argsort(-similar, axis=1, kind="stable")[:, :k]
    same = pixels.classes[:, None] == pixels.classes
    apart = np.linalg.norm(pixels.places[:, None] - pixels.places, axis=-1)
    return {
        "same class, neighbours (%)": 100 * float(np.take_along_axis(same, near, axis=1).mean()),
        "same class, at random (%)": 100 * float(same[other].mean()),
        "distance of places, neighbours (%)": 100 * float(np.take_along_axis(apart, near, axis=1).mean()),
        "distance of places, at random (%)": 100 * float(apart[other].mean()),
    }


def flattened(pixels: Pixels, seed: int = 1) -> np.ndarray:
    """t-SNE of the features (van der Maaten & Hinton 2008): (n, 2), neighbours in D dimensions near each other.

    Cosine distances, perplexity 30 (or a third of the pixels where they are few), begun from the main directions.
    Distances between groups and the groups' sizes mean nothing.
    """
    from sklearn.manifold import TSNE  # seconds of import

    perplexity = min(30, (len(pixels.features) - 1) / 3)
    chosen = {"metric": "cosine", "init": "pca", "perplexity": perplexity, "random_state": seed, "n_jobs": 1}
    return TSNE(**chosen).fit_transform(pixels.features)


def maps(drawn: Mapping[str, tuple[Pixels, np.ndarray]], names: tuple[str, ...], palette: np.ndarray) -> Figure:
    """t-SNE maps, a row for each network: coloured by class, by cluster, and by height in the image.

    Args:
        drawn: name -> pixels and their `flattened` places.
        names: of the classes; only those that occur stand in the legend.
        palette: the classes' colours, uint8 (classes, 3).
    """
    columns = ("class", "cluster", "height in the image")
    size = (9.5, 3.1 * len(drawn) + 0.7)
    figure, axes = plt.subplots(len(drawn), len(columns), figsize=size, squeeze=False, layout="constrained")
    seen: set[int] = set()
    for row, (name, (pixels, at)) in zip(axes, drawn.items(), strict=True):
        paints = [None, figures.colors(int(pixels.clusters.max()) + 1)[pixels.clusters] / 255, pixels.places[:, 0]]
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
        row[0].set_ylabel(name, fontsize=10)
        bar = figure.colorbar(dots, ax=row[-1], ticks=[0.05, 0.95], shrink=0.8)
        bar.ax.set_yticklabels(["top", "bottom"], fontsize=8)
        bar.ax.invert_yaxis()
    handles = [Line2D([], [], marker="o", linestyle="", color=palette[c] / 255, label=names[c]) for c in sorted(seen)]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=8, fontsize=8, frameon=False)
    return figure


def _clusters(vectors: Tensor, prototypes: Tensor, run: Run) -> np.ndarray:
    """The cluster of each of n unit features (n, D) by the run's own rule."""
    return (
        scores(vectors.T[None, :, :, None], prototypes, run.settings.logit_rule)[0, :, :, 0].argmax(dim=0).cpu().numpy()
    )
