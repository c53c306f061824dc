"""What a method is to the training loop: modules with their optimisers, and passes over the data.

The loop owns devices, checkpoints and records; a method owns its modules, heads and optimisers and says what one epoch
consists of. `passes` is a generator: what a method has to do between two passes (say, end a clustering) stands between
two `yield`s.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from picie_core import draws, network, views
from picie_core.clustering import MiniBatchKMeans, flatten, scores
from picie_core.processes import ranks
from picie_core.settings import TAUGHT, Settings


@dataclass(frozen=True)
class Batch:
    """Some images of the training split on the run's device.

    Attributes:
        images: uint8 (B, base_size, base_size, 3).
        indices: the images' numbers in the split, (B,) int64, on the host.
        labels: ground truth uint8 (B, base_size, base_size); None in a set without, and where `Method.sees_labels` says
            that the method gets none.
        names: the images' names, B of them.
    """

    images: Tensor
    indices: np.ndarray
    labels: Tensor | None = None
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Pass:
    """One pass over the training split.

    Attributes:
        name: what `progress.csv` calls its seconds, e.g. `train`.
        order: image numbers in the order they are visited.
        batch_size: images a step; the last batch may be smaller.
        step: takes a batch; yields the loss to descend in parts, each computed when the backward of the one before is
            done and its activations are given back; None where nothing is learned.
        optimizers: zeroed before the step and moved after its last backward; none: the step runs without gradients.
    """

    name: str
    order: np.ndarray
    batch_size: int
    step: Callable[[Batch], Iterator[Tensor] | None]
    optimizers: tuple[torch.optim.Optimizer, ...] = ()


@dataclass
class Means:
    """Means over images of named scalars that come batch by batch, each rank's share of them."""

    _values: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    _images: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, batch: Mapping[str, Tensor], images: int) -> None:
        """The scalars of a batch of so many images. They stay on their device, so that nobody waits for them here."""
        for name, value in batch.items():
            self._values[name].append(value.detach())
            self._images[name].append(images)

    def values(self) -> dict[str, float]:
        """The means, by name; the same on every rank."""
        found = {}
        for name, values in self._values.items():
            whole = ranks.total(torch.stack(values)).double().cpu()
            images = ranks.total(torch.tensor(self._images[name])).double()
            found[name] = float((whole * images).sum() / images.sum())
        return found


class Method(nn.Module):
    """A way to give every pixel one of K clusters.

    A subclass has `embedding`, the features that the final clustering and the prediction use, and overrides `passes` if
    it learns, `closing_passes` if it ends otherwise than by k-means, `logits` if it predicts otherwise than by the
    nearest prototype, and `starts_pretrained` if it has no network.

    State that must outlast an interruption is in modules, in buffers that have their shape from the start
    (`state_dict`), and in `optimizers`. A finished run is restored by building the method with `num_images` 0 and
    loading its weights. Checkpoints lie between epochs: closing passes begin anew. What is drawn is drawn from
    `draws`; what layers draw (dropout, stochastic depth) the loop makes a function of seed, epoch and pass.
    """

    results_version: ClassVar[int] = 1
    """Raised when a change moves the method's numbers: older runs are then not taken for the same."""

    learns: ClassVar[bool] = False
    """Whether there are epochs; a method that learns nothing has only `closing_passes`."""

    rate_setting: ClassVar[str] = "learning_rate"
    """Which setting is its optimiser's learning rate."""

    passes_an_epoch: int = 0
    """How many `passes` yields, for the progress bar."""

    passes_at_the_end: int = 1
    """How many `closing_passes` yields, likewise; 0 where nothing is clustered at the end."""

    coarsest: ClassVar[int] = 32
    """Side in pixels of the coarsest cell: an image whose sides are its multiples is seen alike at every edge."""

    final_prototypes: Tensor | None
    """(K, D) of the final clustering; None before it."""

    def __init__(self, settings: Settings, num_images: int) -> None:
        super().__init__()
        self.settings = settings
        self.num_images = num_images
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.register_buffer("final_prototypes", None, persistent=False)  # a buffer, so that it moves with the module
        self.record: dict[str, float | list[int]] = {}

    def embedding(self, images: Tensor) -> Tensor:
        """Features of normalised images without transforms: (B, 3, S, S) -> (B, D, h, w)."""
        raise NotImplementedError

    def passes(self, epoch: int) -> Iterator[Pass]:
        """The passes of one epoch; nothing where nothing is learned. Numbers for the record go to `self.record`."""
        yield from ()

    def closing_passes(self) -> Iterator[Pass]:
        """After the last epoch: a fresh clustering of the training images without transforms gives the prototypes
        of the final score (the release's "[NEW]" number). Nothing where `passes_at_the_end` is 0."""
        if not self.passes_at_the_end:
            return
        kmeans = self.kmeans(self.settings.num_clusters, "final")
        self.clustering_mode()

        def step(batch: Batch) -> None:
            kmeans.add(flatten(self.embedding(views.plain(batch.images, self.settings.image_size))))

        yield self.clustering_pass("final clustering", step, "final")
        self.final_prototypes, _ = kmeans.finish()

    def logits(self, images: Tensor) -> Mapping[str, Tensor]:
        """Scores of the clusters for normalised images, (B, 3, S, S) -> name of the prototypes: (B, K, h, w).

        `final` is what the run's score is of: the prototypes of `closing_passes`, and nothing before them. A method
        that learns prototypes or classifiers names them too, in training (PiCIE: `view1`, `view2`) or beside `final`
        (`deepcluster`). How each is matched with classes: `records.classes_of`.
        """
        if self.final_prototypes is None:
            return {}
        return {"final": scores(self.embedding(images), self.final_prototypes, self.settings.logit_rule)}

    def predict(self, images: Tensor, names: Sequence[str]) -> Mapping[str, Tensor]:
        """`logits` of prepared images, whose names are known: what is scored."""
        return self.logits(images)

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take what this run needs from the weights of the run before (`Settings.previous`); called where there is
        one, also when an interrupted run goes on."""

    @classmethod
    def sees_labels(cls, settings: Settings) -> bool:
        """Whether its batches hold ground truth in training: no method but those that are taught gets to see any."""
        return settings.method in TAUGHT

    @classmethod
    def starts_pretrained(cls, settings: Settings) -> bool:
        """Whether a run reads the trained weights of its backbone (`network.build`)."""
        return settings.pretrained

    @classmethod
    def inputs(cls, settings: Settings) -> str:
        """Digest of files that the result depends on beside settings and data; "" where there are none."""
        return network.fingerprint(settings) if cls.starts_pretrained(settings) else ""

    def clusters(self, name: str) -> int:
        """How many clusters the set of predictions that `logits` calls `name` has."""
        return self.settings.predicted_clusters

    def kmeans(self, k: int, *key: int | str, together: int = 1) -> MiniBatchKMeans:
        """A clustering of the run's settings, its first centroids drawn from the run's seed and `key`; so many are made
        at a time, and share `kmeans_memory`."""
        s = self.settings
        first = min(s.kmeans_init_batches, math.ceil(self.num_images / s.kmeans_batch_size))
        return MiniBatchKMeans(
            k,
            first,
            s.kmeans_update_batches,
            s.kmeans_iterations,
            draws.seed((s.seed, "kmeans", k, *key)),
            s.kmeans_points and math.ceil(s.kmeans_points * k / first),
            s.kmeans_memory and s.kmeans_memory * 2**20 // together,
        )

    def clustering_pass(self, name: str, step: Callable[[Batch], None], *key: int | str) -> Pass:
        """A pass in clustering batches, in a random order of its own: the first batches are a random sample."""
        order = draws.permutation(self.num_images, (self.settings.seed, "clustering order", *key))
        return Pass(name, order, self.settings.kmeans_batch_size, step)

    def clustering_mode(self) -> None:
        """Batch norm as `kmeans_batchnorm` says: with batch statistics, which move the running ones, or with those."""
        self.train(self.settings.kmeans_batchnorm == "batch")
