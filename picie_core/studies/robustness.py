"""How the score of a trained method bears transformed test images (the supplement's Table 2 and beyond).

The images of a split are transformed as in training, but at the size they are scored at, so that a crop is less sharp
than one of a larger base image; where the transform is geometric the labels move along. The
method, its prototypes among it, stays as it is; clusters are matched with classes anew for every transformed split.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from picie_core import evaluation, metrics, provenance, records, views
from picie_core.datasets import Prepared
from picie_core.methods import Method
from picie_core.metrics import seeds
from picie_core.settings import Settings
from picie_core.studies import supplement
from picie_core.views import geometry, photometry
from picie_core.views.geometry import Geometry
from picie_core.views.photometry import Photometry

FLAGS: Mapping[str, tuple[str, ...]] = {
    "brightness": ("brightness",), "contrast": ("contrast",), "saturation": ("saturation",), "hue": ("hue",),
    "grayscale": ("saturated",), "gaussian_blur": ("sigma",), "hflip": ("flip",), "random_crop": ("side", "x", "y"),
}  # fmt: skip
"""The table's columns -> the parameters of a transform that each turns on."""

STRENGTHS: Mapping[str, Sequence[float]] = {
    "brightness": (0.2, 0.4, 0.7, 1.0, 1.3, 1.6, 2.0), "contrast": (0.2, 0.4, 0.7, 1.0, 1.3, 1.6, 2.0),
    "saturation": (0.0, 0.4, 0.7, 1.0, 1.3, 1.6, 2.0), "hue": (-0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5),
    "sigma": (0.0, 0.5, 1.0, 2.0, 3.0, 5.0), "side": (0.25, 0.35, 0.5, 0.65, 0.8, 1.0),
}  # fmt: skip
"""What `curves` tries: factors (1 leaves the image), turns of the colour circle, pixels, sides of the crop."""


@dataclass(frozen=True)
class Transform:
    """A photometric and a geometric transform for each of B images."""

    photometry: Photometry
    geometry: Geometry

    def images(self, pictures: Tensor) -> Tensor:
        """uint8 (B, n, n, 3) -> uint8 (B, n, n, 3)."""
        changed = photometry.apply(views.to_float(pictures), self.photometry)
        return views.to_uint8(geometry.apply(changed, self.geometry, pictures.shape[1]) if self.moves else changed)

    def labels(self, maps: np.ndarray) -> np.ndarray:
        """Maps of integers (B, n, n) -> (B, n, n) of the same dtype, by the nearest pixel."""
        if not self.moves:
            return maps
        return geometry.apply_to_labels(torch.from_numpy(maps.copy()), self.geometry, maps.shape[1]).numpy()

    @property
    def moves(self) -> bool:
        """Whether it is geometric at all."""
        return bool(self.geometry.flip.any() or (self.geometry.side != 1).any())


def neutral(count: int) -> Transform:
    """The transform that leaves `count` images as they are."""
    one, zero = np.ones(count), np.zeros(count)
    return Transform(
        Photometry(brightness=one, contrast=one, saturation=one, hue=zero, saturated=one, sigma=zero),
        Geometry(side=one, x=zero, y=zero, flip=zero.astype(bool)),
    )


def draw(settings: Settings, number: int, indices: np.ndarray, flags: Collection[str]) -> Transform:
    """The transforms of some images with a run's training parameters, those of the flags only.

    Args:
        settings: of the run: spreads and probabilities.
        number: which of several draws, 0, 1, ... A transform draws the same with and without the others.
        indices: the images' numbers, (B,).
        flags: of `FLAGS`.
    """
    epoch = settings.epochs + number  # draws that training has not seen
    colours = photometry.draw(settings, epoch, 1, indices)
    scale = settings.image_size / settings.base_size  # sigma is in pixels of the base image, of which these are a copy
    drawn = Transform(replace(colours, sigma=colours.sigma * scale), geometry.draw(settings, epoch, indices))
    return _with(neutral(len(indices)), drawn, [name for flag in flags for name in FLAGS[flag]])


def predictions(
    method: Method, data: Prepared, transform: Callable[[np.ndarray], Transform], device: torch.device, batch_size: int
) -> Iterator[tuple[np.ndarray, Transform, np.ndarray]]:
    """Clusters of a transformed split by the final prototypes, batch by batch.

    Args:
        method: trained, in evaluation mode.
        data: a prepared split at the run's image size.
        transform: of the images with these numbers.
        device: where the method is.
        batch_size: images at a time.

    Yields:
        The images' numbers, (B,), their transform, and (B, S, S) int64 clusters.
    """
    for start in range(0, len(data), batch_size):
        indices = np.arange(start, min(start + batch_size, len(data)))
        changed = transform(indices)
        pictures = changed.images(torch.from_numpy(data.images[indices]).to(device))
        with torch.no_grad():
            logits = method.logits(views.plain(pictures, pictures.shape[1]))["final"]
        clusters = evaluation.predict(logits.float(), (pictures.shape[1], pictures.shape[2]))
        yield indices, changed, clusters.cpu().numpy()


def confusion(
    method: Method, data: Prepared, transform: Callable[[np.ndarray], Transform], device: torch.device, batch_size: int
) -> np.ndarray:
    """The confusion matrix (classes, clusters) int64 over a transformed split, for the arguments of `predictions`.

    Raises:
        Unlabelled: the split has no labels.
    """
    labels, classes = data.need_labels()
    total = np.zeros((len(classes.names), method.clusters("final")), dtype=np.int64)
    for indices, changed, clusters in predictions(method, data, transform, device, batch_size):
        total += metrics.confusion(changed.labels(labels[indices]), clusters, *total.shape)
    return total


def agreement(
    method: Method,
    data: Prepared,
    transform: Callable[[np.ndarray], Transform],
    device: torch.device,
    batch_size: int,
    plain: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """How many pixels of each transformed image keep their cluster, in percent, (N,): where the clusters of the
    transformed image equal the clusters of the image, moved along. It needs no labels.

    Args:
        method, data, transform, device, batch_size: of `predictions`.
        plain: the clusters of the images as they are, a batch each; None: they are predicted here.
    """
    still = plain or _plain(method, data, device, batch_size)
    changes = predictions(method, data, transform, device, batch_size)
    same = [
        np.mean(changed.labels(before) == clusters, axis=(1, 2))
        for before, (_, changed, clusters) in zip(still, changes, strict=True)
    ]
    return 100 * np.concatenate(same)


def _plain(method: Method, data: Prepared, device: torch.device, batch_size: int) -> list[np.ndarray]:
    still = predictions(method, data, lambda indices: neutral(len(indices)), device, batch_size)
    return [clusters.astype(np.int16) for _, _, clusters in still]


def typical(shares: np.ndarray, count: int) -> np.ndarray:
    """Which images stand for all: of as many equal groups by their share, (N,), the middle one each, lowest first."""
    places = (np.arange(count) + 0.5) / count * len(shares)
    return np.argsort(shares, kind="stable")[places.astype(int)]


def table(
    method: Method, data: Prepared, settings: Settings, device: torch.device, draws: int = 5, batch_size: int = 16
) -> pd.DataFrame:
    """The supplement's Table 2: every published row of flags, over several draws of the transforms.

    Args:
        method, data, device, batch_size: see `confusion`.
        settings: of the run, whose training transforms are drawn.
        draws: how many times each row is transformed anew.

    Returns:
        A row for each published one: row (its flags in words), accuracy and mIoU (mean over the draws), their sd
        (ddof 1; nan where nothing is drawn), accuracy, paper and mIoU, paper, the agreement of the first
        draw, and runs (see `provenance`).
    """
    found = []
    for flags, paper in supplement.published_rows().items():
        once = not flags
        scores = [
            _score(method, confusion(method, data, lambda i, n=n, f=flags: draw(settings, n, i, f), device, batch_size))
            for n in range(1 if once else draws)
        ]
        line: dict[str, Any] = {"row": ", ".join(flags) or "none"}
        for name, values in (("accuracy", [s.accuracy for s in scores]), ("mIoU", [s.mean_iou for s in scores])):
            line[name] = np.mean(values)
            line[f"{name} sd"] = np.std(values, ddof=1) if len(values) > 1 else np.nan
            line[f"{name}, paper"] = paper[name]
        kept = agreement(method, data, lambda i, f=flags: draw(settings, 0, i, f), device, batch_size)
        line["agreement"] = kept.mean()
        found.append(line)
    return pd.DataFrame(found).assign(runs=_behind(settings))


def over_seeds(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """What several runs of one configuration lose under each row's transforms.

    Args:
        tables: of `table`, one for each seed, the first row without transforms.

    Returns:
        The rows of `table` with accuracy, mIoU and agreement as means over seeds, sd over seeds (of a single seed: over
        its draws), and: mIoU lost, the mean over seeds of mIoU without transforms minus mIoU with them; low and high,
        its 95 % interval (nan of a single seed); mIoU lost, paper; runs of all.
    """
    first = tables[0]
    found = pd.DataFrame({"row": first["row"]})
    for name in ("accuracy", "mIoU"):
        values = np.stack([table[name].to_numpy(dtype=float) for table in tables])
        found[name] = values.mean(axis=0)
        found[f"{name} sd"] = values.std(axis=0, ddof=1) if len(tables) > 1 else first[f"{name} sd"]
        found[f"{name}, paper"] = first[f"{name}, paper"]
    lost = [seeds.spread((values[:, :1] - values)[:, row].tolist()) for row in range(len(first))]
    found["mIoU lost"] = [each.mean for each in lost]
    found["low"], found["high"] = [each.low for each in lost], [each.high for each in lost]
    found["mIoU lost, paper"] = first["mIoU, paper"].iloc[0] - first["mIoU, paper"]
    found["agreement"] = np.mean([table["agreement"].to_numpy(dtype=float) for table in tables], axis=0)
    together = provenance.behind(run for table in tables for run in provenance.read(table[provenance.COLUMN].iloc[0]))
    return found.assign(**{provenance.COLUMN: together})


def curves(
    method: Method, data: Prepared, settings: Settings, device: torch.device, batch_size: int = 16
) -> pd.DataFrame:
    """Score and agreement against the strength of each transform of `STRENGTHS`, the same strength for every image.

    Crops lie at a place of their own in each image, drawn as in training.

    Args:
        method, data, settings, device, batch_size: see `table`.

    Returns:
        Columns transform, strength, accuracy, mIoU, agreement (percent), runs (see `provenance`).
    """
    found, plain = [], _plain(method, data, device, batch_size)
    for name, strengths in STRENGTHS.items():
        for strength in strengths:

            def constant(indices: np.ndarray, name: str = name, strength: float = strength) -> Transform:
                drawn = draw(settings, 0, indices, ["random_crop"] if name == "side" else [])
                value = np.full(len(indices), strength)
                if name == "side":
                    return replace(drawn, geometry=replace(drawn.geometry, side=value))
                return replace(drawn, photometry=replace(drawn.photometry, **{name: value}))

            scores = _score(method, confusion(method, data, constant, device, batch_size))
            kept = agreement(method, data, constant, device, batch_size, plain).mean()
            found.append((name, strength, scores.accuracy, scores.mean_iou, kept, _behind(settings)))
    return pd.DataFrame(found, columns=["transform", "strength", "accuracy", "mIoU", "agreement", provenance.COLUMN])


def _score(method: Method, matrix: np.ndarray) -> metrics.Scores:
    return metrics.score(matrix, records.classes_of(method.settings, matrix))


def _behind(settings: Settings) -> str:
    return provenance.behind([(records.digest(settings), settings.seed)])


def _with(base: Transform, drawn: Transform, names: Collection[str]) -> Transform:
    """`base` with the named parameters of `drawn`, and its rounding."""
    return Transform(
        replace(base.photometry, **{n: v for n, v in vars(drawn.photometry).items() if n in names}),
        replace(base.geometry, **{n: v for n, v in vars(drawn.geometry).items() if n in (*names, "rounding")}),
    )
