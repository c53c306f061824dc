"""`run(settings)`: prepare, train, score and record a run; or load it when it is done, or go on where it stopped."""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from picie_core import devices, draws, evaluation, files, places, records
from picie_core.datasets import DATASETS, Prepared, prepare
from picie_core.errors import WorkbookError
from picie_core.methods import METHODS, Pass
from picie_core.metrics import score
from picie_core.processes import launcher, lock, ranks
from picie_core.records import Run, parts
from picie_core.settings import TAUGHT, Settings, SettingsError, combinations
from picie_core.training import checkpoints, loading, passes
from picie_core.training.feed import Feed
from picie_core.training.progress import Progress
from picie_core.training.restoring import clusters_of, restore

__all__ = ["DivergedError", "clusters_of", "finished", "restore", "run", "run_folder", "splits"]

log = logging.getLogger(__name__)


class DivergedError(WorkbookError, RuntimeError):
    """A loss that is not finite; the message says what to try."""


def run(settings: Settings) -> Run:
    """The run of these settings: loaded when it is done, taken up when it was interrupted, else trained.

    Each epoch runs the method's passes, scores the validation split, adds a row to `progress.csv` and saves a
    checkpoint; at the end a fresh clustering gives the final score. A second process asking for the same run waits.

    With `devices` more than one, processes are started that call this function again, each as a rank (`ranks`). What
    of each batch a rank computes is its share, so that a batch is learned as one device would learn it, but for batch
    norm, which sees a rank's part unless `sync_batchnorm`; rank 0 alone writes.

    Returns:
        The finished `Run`.

    Raises:
        SettingsError, datasets' errors: the settings or the data are not right.
        DivergedError, ClusteringError: training went wrong; the checkpoint of the last good epoch stays.
        RankError: one of several processes failed, or there are others than the settings say.
    """
    train, val = splits(settings)
    folder = run_folder(settings, train, val)
    if not launcher.launched() and records.is_done(folder) and not settings.fresh:
        # without a lock: the folder may be one that only others write
        return loading.load(folder, settings, val.classes)
    with nullcontext() if ranks.number() or launcher.launched() else lock.hold(folder):
        if ranks.agreed(records.is_done(folder) and not settings.fresh):
            return loading.load(folder, settings, val.classes)
        if settings.devices == ranks.count():
            if settings.fresh and ranks.number() == 0:
                checkpoints.discard(folder)
            ranks.agreed(True)  # nobody looks for a checkpoint before
            if settings.previous:
                run(settings.previous)  # before this one takes a part of the device
            return _Loop(settings, train, val, folder).finish()
        if ranks.count() > 1:
            raise ranks.RankError(
                f"devices = {settings.devices}, and torchrun has started {ranks.count()} processes: give the same "
                f"number; a run that this one starts from ({settings.method}) is to be made before"
            )
        if settings.previous:
            run(settings.previous)
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # the run before has computed here, and the first rank is to have that memory
        launcher.launch(settings)
        return loading.load(folder, settings, val.classes)


def splits(settings: Settings) -> tuple[Prepared, Prepared]:
    """The prepared training split at `base_size` and the split that is scored at `image_size`.

    Raises:
        SettingsError: the method is taught classes that the set has not, or more than it has clusters.
        DataError: labels that are to be learned or scored, and every pixel of which is void.
    """
    s = settings
    for split in (s.learned_split, s.scored_split):
        DATASETS[s.dataset].require(split)  # before the other is prepared, which may take hours
    common = {"root": s.data_root, "on_bad_image": s.on_bad_image, "workers": s.workers}
    train = prepare(s.dataset, split=s.learned_split, size=s.base_size, limit=s.train_images, **common)
    if s.method in TAUGHT and train.labels is None:
        raise SettingsError(f"method = {s.method!r} needs labels, which {s.dataset} has not: choose another method")
    if s.method in TAUGHT and (classes := train.need_classes()) > s.num_clusters:
        raise SettingsError(
            f"num_clusters = {s.num_clusters}: method = {s.method!r} needs one for each of the {classes} classes of "
            f"{s.dataset}: give num_clusters = {classes}"
        )
    val = prepare(s.dataset, split=s.scored_split, size=s.image_size, limit=s.val_images, **common)
    val.need_classes()
    return train, val


def finished(settings: Settings) -> Run:
    """The finished run of these settings, where `run` has made it before; nothing is trained.

    Raises:
        FileNotFoundError: there is none.
        UnreadableError: see `records.load`; SettingsError, DataError: see `splits`.
    """
    train, val = splits(settings)
    return loading.load(run_folder(settings, train, val), settings, val.classes)


def run_folder(settings: Settings, train: Prepared, val: Prepared) -> Path:
    """Where a run on these data lies: `<root>/<dataset>-<method>-<key>`. The key is also that of the run before."""
    before, method = settings.previous, METHODS[settings.method]
    further = [run_folder(before, *splits(before)).name if before else "", method.inputs(settings)]
    key = settings.key(method.results_version, " ".join([train.fingerprint, val.fingerprint, *filter(None, further)]))
    root = settings.runs_root.expanduser().resolve() if settings.runs_root else places.runs_root()
    return root / f"{settings.dataset}-{settings.method}-{key}"


class _Loop:
    """The state of one run while it is going on."""

    def __init__(self, settings: Settings, train: Prepared, val: Prepared, folder: Path) -> None:
        self.settings, self.train, self.val, self.folder = settings, train, val, folder
        self.fabric = devices.make_fabric(settings)
        self.device = self.fabric.device
        self.feed = Feed(train, self.device, labels=METHODS[settings.method].sees_labels(settings))
        self.method = METHODS[settings.method](settings, len(train)).to(self.device)
        if settings.sync_batchnorm and ranks.count() > 1:
            if self.device.type == "cpu":
                raise SettingsError("sync_batchnorm = True: torch synchronises batch norm on GPUs alone; give False")
            # torch's own conversion drops the activations that timm joins to its norms
            from timm.layers.norm_act import convert_sync_batchnorm

            convert_sync_batchnorm(self.method)  # in place
        self.writes = ranks.number() == 0
        self.scored = val.labels is not None
        if self.writes and self.method.learns and len(train) < settings.batch_size:
            log.warning("%d images are less than one batch (%d): learn from hundreds", len(train), settings.batch_size)
        for said in combinations.unread(settings) if self.writes else ():
            log.warning("%s", said)
        ranks.own(len(val))  # refused now, not after an epoch
        self.epochs = settings.own_epochs
        self.rows: list[dict[str, Any]] = []
        self.seconds = 0.0

    def finish(self) -> Run:
        s = self.settings
        environment = devices.environment(self.device)
        self.commit = environment["commit"]  # of the code that runs: by the end the source tree may be at another
        if self.writes:
            files.write(self.folder / "settings.yaml", loading.in_full(s).to_yaml())
            files.write_json(self.folder / "environment.json", environment)
        start = self._resume()
        scored = len(self.val) if self.scored else 0
        train, closing = len(self.train), len(self.train) * self.method.passes_at_the_end
        total = (self.epochs - start) * (self.method.passes_an_epoch * train + scored) + closing + scored
        with Progress(total, f"{s.method} on {s.dataset}, seed {s.seed}", silent=not self.writes) as self.progress:
            for epoch in range(start, self.epochs):
                self._epoch(epoch)
            matrices = self._closing()
            if self.writes:
                self._record(matrices)
        ranks.agreed(True)  # the others wait for the files
        return records.load(self.folder)

    def _epoch(self, epoch: int) -> None:
        phases: dict[str, float] = defaultdict(float)
        began = time.monotonic()
        losses: list[Tensor] = []
        visited = 0
        for number, pass_ in enumerate(self.method.passes(epoch)):
            losses += self._pass(pass_, phases, (epoch, number))
            visited = max(visited, len(pass_.order))
        loss = float(ranks.total(torch.stack(losses)).mean()) if losses else float("nan")
        if losses and not np.isfinite(loss):
            raise DivergedError(
                f"the loss of epoch {epoch} is {loss}. Try a lower {(rate := self.method.rate_setting)} "
                f"(now {getattr(self.settings, rate):g}) or precision = '32'; the checkpoint is kept in {self.folder}"
            )
        row: dict[str, Any] = {"epoch": epoch, "loss": loss} | self.method.record
        row |= self._validate(phases)
        row |= {f"seconds_{name}": round(value, 3) for name, value in phases.items()}
        seconds = time.monotonic() - began
        self.rows.append(
            row | {"seconds": seconds, "images_per_second": visited / seconds} | devices.peak_memory(self.device)
        )
        self.seconds += seconds
        if self.writes:
            parts.write_progress(self.folder, self.rows)
            self._checkpoint(epoch + 1)

    def _closing(self) -> dict[str, np.ndarray]:
        """The final clustering, and the final confusion matrices; none without labels."""
        phases: dict[str, float] = defaultdict(float)
        began = time.monotonic()
        for number, pass_ in enumerate(self.method.closing_passes()):
            self._pass(pass_, phases, (self.epochs, number))
        matrices = self._confusions(phases) if self.scored else {}
        self.seconds += time.monotonic() - began
        return matrices

    def _record(self, matrices: Mapping[str, np.ndarray]) -> None:
        """The files of a finished run."""
        tensors = self.method.state_dict()
        if self.method.final_prototypes is not None:
            tensors["final_prototypes"] = self.method.final_prototypes
        parts.write_tensors(self.folder / "model.safetensors", tensors)
        result: dict[str, Any] = {"method": self.settings.method, "key": self.folder.name.rsplit("-", 1)[-1]}
        if matrices:
            result |= self._named_scores({name: matrix for name, matrix in matrices.items() if name != "final"})
            scores = score(matrices["final"], records.classes_of(self.settings, matrices["final"]))
            parts.write_array(self.folder / "confusion.npy", matrices["final"])
            result |= {"accuracy": scores.accuracy, "mean_iou": scores.mean_iou}
            result["iou"] = [None if np.isnan(v) else float(v) for v in scores.iou]
        result |= {
            "classes": self.val.classes.to_dict() if self.val.classes else None,
            "before": (before := self.settings.previous) and run_folder(before, *splits(before)).name,
            "train": _provenance(self.train),
            "val": _provenance(self.val),
            "results_version": self.method.results_version,
            "seconds": self.seconds,
            "commit": self.commit,
        }
        files.write_json(self.folder / "result.json", result)
        if not self.settings.keep_checkpoint:
            checkpoints.drop(self.folder)

    def _pass(self, pass_: Pass, phases: dict[str, float], at: tuple[int, int]) -> list[Tensor]:
        where = f"epoch {at[0] + 1}/{self.epochs}" if at[0] < self.epochs else "closing"
        self.progress.say(f"{where}: {pass_.name}")
        began = time.monotonic()
        with draws.by_torch((self.settings.seed, "layers", *at, ranks.number()), self.device):
            losses = passes.run(pass_, self.feed, self.fabric, self._tick)
        ranks.level(self.method)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # or its last kernels count as the next phase's
        phases[pass_.name] += time.monotonic() - began
        return losses

    def _tick(self, images: int) -> None:
        self.progress.tick(images * ranks.count())  # the others go on as fast

    def _confusions(self, phases: dict[str, float]) -> dict[str, np.ndarray]:
        began = time.monotonic()
        self.progress.say("scoring")
        with self.fabric.autocast():
            found = evaluation.confusions(self.method, self.val, self.settings.batch_size, self.device, self._tick)
        phases["score"] += time.monotonic() - began
        return found

    def _validate(self, phases: dict[str, float]) -> dict[str, float]:
        """Scores of the epoch's own prototypes, from before its training (as in the release), or its own classifier."""
        return self._named_scores(self._confusions(phases)) if self.scored else {}

    def _named_scores(self, matrices: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Accuracy and mIoU of sets of predictions under their names."""
        found = {}
        for name, matrix in matrices.items():
            scores = score(matrix, records.classes_of(self.settings, matrix, name))
            found |= {f"accuracy_{name}": scores.accuracy, f"mean_iou_{name}": scores.mean_iou}
        return found

    def _checkpoint(self, epochs_done: int) -> None:
        tensors, groups = checkpoints.state(self.method)
        counters = {"epochs_done": epochs_done, "seconds": self.seconds, "param_groups": groups, "rows": self.rows}
        checkpoints.save(self.folder, tensors, counters)

    def _resume(self) -> int:
        """Put the last checkpoint's state in place; how many epochs are done."""
        if self.settings.previous:
            self.method.start_from(run(self.settings.previous).weights())
        found = checkpoints.load(self.folder)
        done = found[1]["epochs_done"] if found else 0
        if int(ranks.total(torch.tensor(done))) != done * ranks.count():
            raise ranks.RankError(
                f"the processes of this run see different checkpoints in {self.folder}: runs_root must be one folder "
                "that all machines share"
            )
        if found is None:
            return 0
        tensors, counters = found
        checkpoints.restore(self.method, tensors, counters["param_groups"])
        self.rows, self.seconds = counters["rows"], counters["seconds"]
        if self.writes:
            parts.write_progress(self.folder, self.rows)  # which a kill may have left ahead, and a disk damaged
        log.info("%s: going on after %d of %d epochs", self.folder, counters["epochs_done"], self.epochs)
        return counters["epochs_done"]


def _provenance(data: Prepared) -> dict[str, Any]:
    return {"images": len(data), "fingerprint": data.fingerprint}
