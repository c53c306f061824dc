"""Run folders: what a run leaves on disk, written so that nothing half-written is ever taken for whole.

settings.yaml      the settings and where each came from
progress.csv       a row per epoch
confusion.npy      the final confusion matrix (classes, clusters)
model.safetensors  weights and prototypes
environment.json   versions, commit, device
result.json        scores; written last: a run is done when it is there
checkpoint/        while the run is going on
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from safetensors import SafetensorError
from torch import Tensor

from picie_core.classes import ClassTable
from picie_core.errors import UnreadableError
from picie_core.metrics import MATCHINGS, Scores, identity, majority, majority_iou, match, match_iou, score
from picie_core.metrics.partitions import object_classes, objects, things_and_stuff
from picie_core.places import data_name
from picie_core.records.parts import check_tensors, read_progress, read_tensors, record
from picie_core.settings import TAUGHT, Settings
from picie_core.settings.methods import OBJECTS

log = logging.getLogger(__name__)

TIDY = ["method", "dataset", "recipe", "seed", "key", "seconds", "explicit", "digest", "images", "metric", "value"]

MACHINE = {
    "data_root", "weights_file", "runs_root", "device", "workers", "fresh", "keep_checkpoint",
    "comus_saliency_place", "comus_dino_place", "comus_backbone_place",
}  # fmt: skip
"""Settings that say where a run is made, and nothing about what it is."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        settings: as resolved.
        scores: of the validation split with fresh prototypes, in percent; None in a set without labels.
        confusion: (classes, clusters) int64 behind the scores; None likewise.
        progress: a row per epoch: losses, inertia, cluster sizes, scores, seconds of each phase.
        folder: the run's folder.
        result: `result.json`: scores, seconds, class names, the data's fingerprint, the run's key, and the name of the
            folder of the run whose network it was given (`before`; of a transfer).
    """

    settings: Settings
    scores: Scores | None
    confusion: np.ndarray | None
    progress: pd.DataFrame
    folder: Path
    result: Mapping[str, Any]

    @property
    def data_name(self) -> str:
        """What the outputs on its data are called, see `places.data_name`."""
        return data_name(self.settings.dataset, self.settings.data_root)

    def weights(self) -> dict[str, Tensor]:
        """`model.safetensors`: network, prototypes, by name. Raises as `load`."""
        with _told(self.folder):
            return read_tensors(self.folder / "model.safetensors")

    @property
    def environment(self) -> Mapping[str, Any]:
        """`environment.json` (see `devices.environment`); empty, with a warning, where it cannot be read."""
        try:
            return record(self.folder / "environment.json", "python", "packages", "machine", "cpu_capability", "gpu")
        except (FileNotFoundError, ValueError) as error:
            log.warning("%s: %s", self.folder, error)
            return {}

    @property
    def classes(self) -> ClassTable | None:
        """The data set's classes; None in a set without."""
        record = self.result["classes"]
        return ClassTable.from_dict(record) if record else None


def is_done(folder: Path) -> bool:
    """Whether the folder holds a finished run."""
    return (folder / "result.json").is_file()


def load(folder: Path) -> Run:
    """The finished run in `folder`.

    Raises:
        FileNotFoundError: there is no finished run there.
        UnreadableError: its files are not those of a run; OSError: the system cannot read them now.
    """
    if not is_done(folder):
        state = "an unfinished run: run the same settings again to go on" if folder.is_dir() else "no such folder"
        raise FileNotFoundError(f"no finished run in {folder} ({state})")
    with _told(folder):
        result = record(folder / "result.json", "key", "seconds", "classes", "commit")
        scored = "accuracy" in result or (folder / "confusion.npy").is_file()
        matrix = np.load(folder / "confusion.npy", allow_pickle=False) if scored else None
        settings = Settings.from_yaml((folder / "settings.yaml").read_text())
        scores = None if matrix is None else score(matrix, classes_of(settings, matrix))
        progress = read_progress(folder)
        if len(progress) < settings.own_epochs:
            raise ValueError(f"progress.csv has {len(progress)} of {settings.own_epochs} epochs")
        check_tensors(folder / "model.safetensors")
        return Run(settings, scores, matrix, progress, folder, result)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """What of a finished run cannot be read is told as an `UnreadableError`, with what to do."""
    try:
        yield
    except (FileNotFoundError, EOFError, ValueError, KeyError, TypeError, yaml.YAMLError, SafetensorError) as error:
        raise UnreadableError(f"{folder} cannot be read: {error}. Delete the folder to have it made again") from error


def classes_of(settings: Settings, matrix: np.ndarray, name: str = "final") -> np.ndarray:
    """The class of each cluster of one of a run's sets of predictions (see `Method.logits`), (clusters,), -1 for none.

    Matched by pixels; of the set `majority` by majority vote; and where a method was taught the classes and predicts
    them (`final` of `TAUGHT`) cluster k is class k.
    """
    if name == "majority":
        return majority(matrix)
    return identity(matrix) if name == "final" and settings.method in TAUGHT else match(matrix)


def shown_classes(settings: Settings, matrix: np.ndarray) -> np.ndarray:
    """The class by whose name and colour each cluster goes, (clusters,), -1 for none: the one that most of its pixels
    have, so that several clusters may share one; where a method was taught the classes, its own. (What a score counts
    is `classes_of`.)"""
    return identity(matrix) if settings.method in TAUGHT else majority(matrix)


def finished(root: Path) -> list[Run]:
    """Every finished run under a runs' root, oldest first; one that cannot be read is named in a warning."""
    found = []
    for file in sorted(root.glob("*/result.json"), key=lambda file: file.stat().st_mtime):
        try:
            found.append(load(file.parent))
        except (OSError, UnreadableError) as error:
            log.warning("left out: %s", error)
    return found


def tidy(runs: Iterable[Run]) -> pd.DataFrame:
    """One row a run and metric, so that a table or a figure is a query.

    Returns:
        Columns method, dataset, recipe, seed, key, seconds, explicit (the explicit settings as JSON), digest (see
        `digest`), images (split -> how many there were, as JSON, of those learned from and scored on; none where that
        is not known), metric and value (percent). The metrics of a scored run: `accuracy` and `mean_iou`, of all
        classes with clusters matched by pixels, are what counts. Further ones are named by what differs: the matching
        (`mean_iou, majority vote`), the predictions (`mean_iou, clustered` of a re-training), or, where a data set has
        both things and stuff, the partition and its definition (`accuracy, things (block)`) or COMUS's protocol
        (`mean_iou, objects`: things on one background, matched by IoU; `mean_iou, objects, majority vote`: each cluster
        votes by IoU). What was taught the classes is matched by none of these.
    """
    rows = []
    for run in runs:
        s = run.settings
        data = {s.learned_split: run.result.get("train"), s.scored_split: run.result.get("val")}
        common = {
            "method": method_name(s), "dataset": run.data_name, "recipe": s.recipe, "seed": s.seed,
            "key": run.result["key"], "seconds": run.result["seconds"], "explicit": explicit(s), "digest": digest(s),
            "images": json.dumps({split: made["images"] for split, made in data.items() if made}),
        }  # fmt: skip
        for suffix, scores in every_score(run).items():
            rows.append(common | {"metric": f"accuracy{suffix}", "value": scores.accuracy})
            rows.append(common | {"metric": f"mean_iou{suffix}", "value": scores.mean_iou})
        for metric in ("accuracy", "mean_iou"):
            if (value := run.result.get(f"{metric}_clustered")) is not None:
                rows.append(common | {"metric": f"{metric}, clustered", "value": value})
    return pd.DataFrame(rows, columns=TIDY)


def every_score(run: Run) -> dict[str, Scores]:
    """The scores of a run by what is added to a metric's name (see `tidy`), "" for those that count; {} unlabelled."""
    if run.scores is None or run.confusion is None:
        return {}
    matchings = [] if run.settings.method in TAUGHT else list(MATCHINGS.items())[1:]
    found = {"": run.scores} | {f", {name}": score(run.confusion, match(run.confusion)) for name, match in matchings}
    if run.classes and run.classes.things and run.classes.stuff:
        parts = things_and_stuff(run.confusion, run.classes, classes_of(run.settings, run.confusion))
        found |= {f", {part} ({definition})": scores for (part, definition), scores in parts.items()}
        found |= _scores_of_objects(run.settings, run.confusion, run.classes.things)
    return found


def explicit(settings: Settings) -> str:
    """The settings that were given, as JSON."""
    return json.dumps({name: settings.values()[name] for name in settings.explicit}, sort_keys=True)


def digest(settings: Settings) -> str:
    """What the runs of one configuration share, whatever words it was given in: 12 hexadecimal digits.

    Of every resolved value but the seed, `recipe` and `scale` (which stand for values), `MACHINE`, `threads` and
    `views_memory` (which, as the device, may change the last bits), and of the same of the run before a transfer; a
    field added later does not change it (`Settings.without`). Of which folder of images it is (`places.data_name`),
    where that is the data set.
    """
    values = settings.without(MACHINE | {"seed", "recipe", "scale", "threads", "views_memory"})
    if (data := data_name(settings.dataset, settings.data_root)) != settings.dataset:
        values |= {"data": data}
    if settings.previous:
        values |= {"before": digest(settings.previous)}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def method_name(settings: Settings) -> str:
    """What tables tell methods apart by: the method, and what makes it a row of its own in the paper's tables.

    `picie+H` where it overclusters, `untrained-linear` with a linear classifier, `iic-res12` (or the like) on another
    trunk than the feature pyramid, `probe of picie` where another method trained the network first, `comus-2 of picie`
    after two self-trainings.
    """
    if settings.method in OBJECTS:
        first = settings
        while first.method in OBJECTS and first.previous:
            first = first.previous
        part = f"comus-{settings.comus_iterations}" if settings.method == "comus" else "pseudomasks"
        return f"{part} of {first.pretext if first.method in OBJECTS else method_name(first)}"
    if settings.previous:
        return f"{settings.method} of {method_name(settings.previous)}"
    trunk = settings.trunk
    if settings.method == "untrained" and settings.classifier == "parametric":
        return "untrained-linear"
    overclusters = settings.method == "picie" and settings.num_overclusters
    return settings.method + ("" if trunk == "fpn" else f"-{trunk}") + ("+H" if overclusters else "")


def _scores_of_objects(settings: Settings, matrix: np.ndarray, things: frozenset[int]) -> dict[str, Scores]:
    counts = objects(matrix, things)
    if settings.method in TAUGHT:
        return {", objects": score(counts, object_classes(classes_of(settings, matrix), things))}
    return {
        ", objects": score(counts, match_iou(counts)),
        ", objects, majority vote": score(counts, majority_iou(counts)),
    }
