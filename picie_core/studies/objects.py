"""What COMUS finds in images, to look at: proposals and their clusters, and segmentations of objects on background."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from picie_core import discovery, evaluation, figures, metrics, palettes, training, views
from picie_core.classes import VOID, ClassTable
from picie_core.datasets import Prepared
from picie_core.discovery import proposals
from picie_core.methods.pseudomasks import Pseudomasks
from picie_core.metrics import partitions
from picie_core.records import Run
from picie_core.settings import Settings

BACKGROUND = (0, 0, 0)

Kinds = Mapping[int, tuple[str, str]]
"""number -> its name and its colour, as matplotlib writes it"""


@dataclass(frozen=True)
class Objects:
    """The proposals of a training split.

    Attributes:
        image: (n,) int64, the image that each proposal is of; an image without has none.
        masks: bool (n, S, S).
        clusters: (n,) int64, 1 to K.
        distances: (n,) float32, from the cluster's centre.
        kept: bool (n,), whether self-training learns from it.
        features: (n, D) float32, of length 1.
        classes: (n,) int64, the class that most of the mask's pixels have; `VOID` in a set without labels.
    """

    image: np.ndarray
    masks: np.ndarray
    clusters: np.ndarray
    distances: np.ndarray
    kept: np.ndarray
    features: np.ndarray
    classes: np.ndarray


def find(run: Run, data: Prepared, filtered: float) -> Objects:
    """The proposals that a finished run of pseudo-masks clustered.

    Args:
        run: of the method `pseudomasks`.
        data: the split it was trained on, at the run's image size.
        filtered: the share that self-training leaves out (`comus_filtered`).

    Raises:
        ValueError: the data are not what the run was made of.
    """
    weights = run.weights()
    if len(data) != len(weights["clusters_of"]) or data.images[0].shape[0] != run.settings.image_size:
        raise ValueError(
            f"the run in {run.folder} has proposals of {len(weights['clusters_of'])} images of "
            f"{run.settings.image_size} pixels; the split in {data.folder} has {len(data)} of {data.images[0].shape[0]}"
        )
    image = np.flatnonzero(weights["clusters_of"].numpy())
    masks = proposals.unpack(weights["masks"][image]).numpy()
    clusters, distances = (weights[name].numpy()[image] for name in ("clusters_of", "distances"))
    kept = discovery.kept(clusters, distances, filtered)
    features = weights["features"].numpy()[image]
    return Objects(image, masks, clusters, distances, kept, features, _majority(data, image, masks))


def possible(settings: Settings, proposals: int) -> bool:
    """Whether so many proposals, if all differ, can be clustered as the settings say (`discovery.discover`): a graph
    needs more than `comus_neighbors` and components, a clustering as many as clusters."""
    s = settings
    needed = max(s.comus_neighbors, s.comus_components or s.num_clusters) if s.comus_clustering == "spectral" else 0
    return proposals > needed and proposals >= s.num_clusters


def by_cluster(found: Objects, table: ClassTable) -> pd.DataFrame:
    """What each cluster holds: columns cluster, proposals, kept, class (that of most of its proposals), its share among
    them, percent, and among those that are kept."""
    rows = []
    for k in sorted(set(found.clusters.tolist())):
        classes = found.classes[found.clusters == k]
        core = found.classes[(found.clusters == k) & found.kept]
        most = int(np.bincount(classes).argmax())
        rows.append(
            {
                "cluster": k,
                "proposals": len(classes),
                "kept": len(core),
                "class": table.names[most] if most != VOID else "",
                "of all": 100 * float((classes == most).mean()),
                "of the kept": 100 * float((core == most).mean()),
            }
        )
    return pd.DataFrame(rows)


@torch.no_grad()
def steps(run: Run, data: Prepared, images: Sequence[int]) -> Figure:
    """From image to pseudo-mask: image, saliency, mask and box, the cluster, and the things of the ground truth.

    Args:
        run: of the method `pseudomasks`.
        data: a labelled split at the run's image size.
        images: numbers of images.
    """
    method, fabric = training.restore(run)
    if not isinstance(method, Pseudomasks):
        raise ValueError(f"the run in {run.folder} is of method {run.settings.method!r}; expected 'pseudomasks'")
    labels, table = data.need_labels()
    chosen = np.array(images)
    pixels = views.plain(torch.from_numpy(data.images[chosen]).to(fabric.device), run.settings.image_size)
    names = [data.names[i] for i in images]
    maps = method.saliency(pixels, names)
    masks, _, _ = method.propose(pixels, names)
    boxes, _ = proposals.boxes(masks, 0.0)
    clusters = method.predict(pixels, names)["final"].argmax(dim=1).cpu().numpy()
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    grey = (255 * (maps - low) / (high - low).clamp(min=1e-12)).byte().cpu().numpy()
    rows = {
        "image": list(data.images[chosen]),
        "saliency": [np.repeat(g[..., None], 3, axis=2) for g in grey],
        "proposal": [
            _boxed(image, mask.cpu().numpy(), box.int().tolist())
            for image, mask, box in zip(data.images[chosen], masks, boxes, strict=True)
        ],
        "pseudo-mask": list(figures.paint(clusters, _palette(run, table))),
        "ground truth": list(truth(labels[chosen], table)),
    }
    return figures.key(figures.panels(rows, width=1.3), _colors(table))


@torch.no_grad()
def salient(run: Run, data: Prepared) -> np.ndarray:
    """How much of each class the proposals of a labelled split cover: (classes, 2) counts of pixels outside and inside,
    for `partitions.foreground_iou`.

    Args:
        run: of the method `pseudomasks`.
        data: at the run's image size.
    """
    labels, table = data.need_labels()
    method, fabric = training.restore(run)
    counts = np.zeros((len(table), 2), dtype=np.int64)
    for numbers, found in evaluation.predictions(method, data, run.settings.batch_size, fabric.device):
        counts += metrics.confusion(labels[numbers], (found["final"] > 0).astype(np.int64), len(table), 2)
    return counts


def sizes(data: Prepared) -> np.ndarray:
    """Mean share of the image that each thing has where it is, (T,), in ascending order of the things; nan for none."""
    labels, table = data.need_labels()
    shares = np.array([np.bincount(labels[i].ravel(), minlength=VOID + 1) for i in range(len(data))]) / labels[0].size
    return np.array([metrics.mean(np.where(s > 0, s, np.nan)) for s in shares.T[sorted(table.things)]])


def numbers(gaps: pd.DataFrame, again: pd.DataFrame, classes: int) -> Figure:
    """Two curves over the number of clusters (`granularity.eigengaps`, `granularity.stability`), and the number of
    classes as a dashed line."""
    figure, axes = plt.subplots(1, 2, figsize=(7.6, 2.8), layout="constrained")
    axes[0].plot(gaps["clusters"], gaps["gap"], "o-", markersize=4)
    axes[1].errorbar(again["clusters"], again["agreement"], yerr=again["sd"], fmt="o-", markersize=4, capsize=3)
    for axis, name in zip(axes, ("eigengap", "agreement of subsamples (ARI)"), strict=True):
        axis.axvline(classes, color="0.6", linestyle="--", linewidth=1)
        axis.set(xlabel="clusters (dashed: kinds of things)", ylabel=name, ylim=(0, None))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def cores(found: Objects, data: Prepared, each: int = 4) -> Figure:
    """For each cluster the proposals nearest its centre and, on the right, the farthest, which are filtered out.

    Args:
        found: of the split.
        data: that split, at the masks' size.
        each: how many of either.
    """
    rows = {}
    for k in sorted(set(found.clusters.tolist())):
        order = np.flatnonzero(found.clusters == k)
        order = order[np.argsort(found.distances[order], kind="stable")]
        kept, out = order[found.kept[order]][:each], order[~found.kept[order]][::-1][:each]
        blank = [np.full_like(data.images[0], 255)]
        shown = [_cut(data.images[int(found.image[i])], found.masks[i]) for i in kept]
        shown += blank * (each - len(kept) + 1) + [_cut(data.images[int(found.image[i])], found.masks[i]) for i in out]
        rows[f"cluster {k}"] = shown
    return figures.panels(rows, ["nearest", *[""] * each, "filtered"], width=1.1)


def scatter(at: np.ndarray, found: Objects, table: ClassTable) -> Figure:
    """Proposals on a map of their features: coloured by cluster and by class; those that are filtered are hollow.

    Args:
        at: (n, 2), e.g. of `representation.flattened`.
        found: the proposals.
        table: of the classes.
    """
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.9), layout="constrained")
    palette = palettes.of_clusters(int(found.clusters.max()) + 1)
    clusters = {k: (f"cluster {k}", _hex(palette[k])) for k in sorted(set(found.clusters.tolist()))}
    classes = {c: (table.names[c], _hex(table.colors[c])) for c in sorted(set(found.classes.tolist()) - {VOID})}
    _dots(axes[0], at, found, found.clusters, clusters)
    _dots(axes[1], at, found, found.classes, classes)
    axes[0].set_title("by cluster", fontsize=10)
    axes[1].set_title("by what most of the mask shows", fontsize=10)
    return figure


def compared(runs: Mapping[str, Run], data: Prepared, count: int = 7) -> Figure:
    """Images, what each run makes of them, and the objects of the ground truth; background is black.

    Args:
        runs: finished and scored on the classes of `data`, by the name that stands beside the row. A cluster has the
            colour of the object, or the background, that it overlaps best (by IoU).
        data: a labelled split.
        count: images, spread evenly over the split.
    """
    chosen = np.linspace(0, len(data) - 1, min(count, len(data))).astype(int)
    labels, table = data.need_labels()
    rows = {"image": list(data.images[chosen])}
    for name, run in runs.items():
        rows[name] = list(figures.paint(training.clusters_of(run, data, chosen), _palette(run, table)))
    rows["ground truth"] = list(truth(labels[chosen], table))
    return figures.key(figures.panels(rows, width=1.3), _colors(table))


def truth(labels: np.ndarray, table: ClassTable) -> np.ndarray:
    """The things of label maps in their colours, stuff black, void grey: (..., H, W) -> uint8 (..., H, W, 3)."""
    palette = np.array([table.colors[c] if c in table.things else BACKGROUND for c in range(len(table))])
    return np.where((labels == VOID)[..., None], 128, figures.paint(labels, palette)).astype(np.uint8)


def _colors(table: ClassTable) -> dict[str, np.ndarray]:
    return {"background": np.array(BACKGROUND)} | {table.names[c]: table.colors[c] for c in sorted(table.things)}


def _palette(run: Run, table: ClassTable) -> np.ndarray:
    """A colour for each cluster: that of the object it overlaps best in the run's confusion matrix."""
    if run.confusion is None:
        raise ValueError(f"the run in {run.folder} was not scored: its clusters have no classes")
    kinds = metrics.majority_iou(partitions.objects(run.confusion, table.things))
    colors = [BACKGROUND, *table.colors[sorted(table.things)]]
    return np.array([colors[k] if k >= 0 else BACKGROUND for k in kinds])


def _majority(data: Prepared, image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    if data.labels is None:
        return np.full(len(image), VOID)
    inside = (data.labels[int(i)][mask] for i, mask in zip(image, masks, strict=True))
    return np.array([np.bincount(labels).argmax() for labels in inside])


def _boxed(image: np.ndarray, mask: np.ndarray, box: Sequence[int]) -> np.ndarray:
    left, top, right, bottom = box
    drawn = np.where(mask[..., None], image, image // 3)
    if mask.any():
        drawn[[top, bottom - 1], left:right] = drawn[top:bottom, [left, right - 1]] = (255, 60, 60)
    return drawn


def _cut(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What lies in the mask's box, with the rest of the box darker."""
    y, x = np.nonzero(mask)
    window = np.s_[y.min() : y.max() + 1, x.min() : x.max() + 1]
    return np.where(mask[window][..., None], image[window], image[window] // 3)


def _dots(axis: Axes, at: np.ndarray, found: Objects, of: np.ndarray, kinds: Kinds) -> None:
    for k, (_, color) in kinds.items():
        here = of == k
        for chosen, fill in ((here & found.kept, color), (here & ~found.kept, "none")):
            axis.scatter(*at[chosen].T, s=14, facecolors=fill, edgecolors=color, linewidths=0.8)
    handles = [Line2D([], [], marker="o", linestyle="", color=color, label=name) for name, color in kinds.values()]
    axis.legend(handles=handles, fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axis.set(xticks=[], yticks=[])


def _hex(color: np.ndarray) -> str:
    return "#" + bytes(color.tolist()).hex()
