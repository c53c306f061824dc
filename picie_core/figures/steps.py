"""PiCIE's steps in pictures: where two clusterings agree, and what training makes of the features.

Figures of it show images: write them by `figures.save(shows=...)`.
"""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure

from picie_core import figures, palettes, training, views
from picie_core.datasets import Prepared
from picie_core.methods import Method
from picie_core.records import Run


def pseudo_labels(pictures: tuple[np.ndarray, np.ndarray], labels: tuple[np.ndarray, np.ndarray], k: int) -> Figure:
    """Both views of some images, their pseudo-labels in flat colours, and where these agree.

    Args:
        pictures: view 1, and view 2 moved by G onto it, each uint8 (B, S, S, 3).
        labels: of both views, (B, h, h) integers 0..k-1 with S a multiple of h, the second in the first's numbers
            (`metrics.align`).
        k: number of clusters of each view.

    Returns:
        Five rows of B pictures. In the last a cell is white where the two labels are the same and black elsewhere; its
        title is the share of the image's cells that are white, in percent.
    """
    factor = pictures[0].shape[1] // labels[0].shape[1]
    first, second = (figures.enlarge(found, factor) for found in labels)
    same = labels[0] == labels[1]
    palette = palettes.of_clusters(k)
    rows = {
        "view 1": list(pictures[0]),
        "labels of view 1": list(figures.paint(first, palette)),
        "view 2, moved by G": list(pictures[1]),
        "labels of view 2": list(figures.paint(second, palette)),
        "agree": list(figures.paint((first == second).astype(int), np.array([[0] * 3, [255] * 3]))),
    }
    figure = figures.panels(rows)
    for axis, share in zip(figure.axes[-len(same) :], same.mean(axis=(1, 2)), strict=True):
        axis.set_title(f"{100 * share:.0f} %", fontsize=9)
        for spine in axis.spines.values():  # or white cells would run into the page
            spine.set(visible=True, color="0.7")
    return figure


@torch.no_grad()
def embeddings(methods: Mapping[str, Method], data: Prepared, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Unit features of images without transforms, of each method: name -> float32 (B, D, S/4, S/4).

    Args:
        methods: with unit features; in evaluation mode from here on.
        data: a prepared split at the runs' image size.
        numbers: (B,) of the images in the split.
    """
    found = {}
    for name, method in methods.items():
        device = next(method.parameters()).device
        images = torch.from_numpy(data.images[numbers]).to(device)
        found[name] = method.eval().embedding(views.plain(images, images.shape[1])).float().cpu().numpy()
    return found


def before_and_after(methods: Mapping[str, Method], run: Run, data: Prepared, count: int = 6) -> Figure:
    """The same images through several methods, then a run's clusters in two colourings, and the ground truth.

    Args:
        methods: name -> method with unit features, such as an untrained one and the run's own; a row of features each
            (`figures.main_directions`, of which each row has its own). In evaluation mode from here on.
        run: whose clusters are shown, in colours of their own, and in those of the class that most of their pixels have
            (`palettes.of_run`; this row and the truth need labels).
        data: the validation split of the run.
        count: at most so many images, spread evenly over the split.
    """
    chosen = np.linspace(0, len(data) - 1, min(count, len(data))).astype(int)
    rows = {"image": list(data.images[chosen])}
    for name, maps in embeddings(methods, data, chosen).items():
        rows[f"features, {name}"] = list(figures.main_directions(maps))
    clusters = training.clusters_of(run, data, chosen)
    rows["clusters"] = list(figures.paint(clusters, palettes.of_clusters(run.settings.predicted_clusters)))
    if run.confusion is None or data.labels is None or data.classes is None:
        return figures.panels(rows, width=1.5)
    rows["clusters, by class"] = list(figures.paint(clusters, palettes.of_run(run)))
    rows["ground truth"] = list(figures.paint(data.labels[chosen], data.classes.colors))
    return figures.legend(figures.panels(rows, width=1.5), data.classes)
