"""Pseudo-masks: salient regions, each with the cluster that its feature falls into (COMUS, Algorithm 1)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from picie_core import discovery, draws, saliency, views
from picie_core.discovery import descriptors, proposals
from picie_core.methods.method import Batch, Method, Pass
from picie_core.network import dino
from picie_core.settings import Settings


class Pseudomasks(Method):
    """A salient region is an object of one of K clusters; everything else is cluster 0, the background.

    The only pass finds each training image's proposal and describes it; then all proposals are clustered at once. What
    is kept of image i: its mask, packed (`proposals.pack`), its cluster 1 to K or 0 where it has no proposal, its
    feature, and its distance from the cluster's centre, by which self-training filters.

    The paper and the release cluster the very images that are scored. Here an image that was not clustered takes the
    cluster that most of its nearest proposals have (`discovery.assign`), so that these scores and those after
    self-training are of the same clusters, learned from the training split alone.
    """

    masks: Tensor
    clusters_of: Tensor
    features: Tensor
    distances: Tensor

    def __init__(self, settings: Settings, num_images: int) -> None:
        super().__init__(settings, num_images)
        self.saliency = saliency.build(settings)
        self.descriptor = descriptors.build(settings)
        kinds = {"masks": torch.uint8, "clusters_of": torch.int64, "features": torch.float, "distances": torch.float}
        for name, dtype in kinds.items():
            self.register_buffer(name, torch.empty(0, dtype=dtype))
        self.requires_grad_(False)

    @classmethod
    def starts_pretrained(cls, settings: Settings) -> bool:
        """Never: what describes a proposal is of the run before, or has weights of its own."""
        return False

    @classmethod
    def inputs(cls, settings: Settings) -> str:
        """Digest of the weights or masks that the settings name."""
        return saliency.fingerprint(settings) + (dino.fingerprint(settings) if settings.pretext == "dino" else "")

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take the network that describes proposals from the weights of a run."""
        self.descriptor.start_from(weights)

    def closing_passes(self) -> Iterator[Pass]:
        """One: proposals and their features; then they are clustered."""
        s = self.settings
        self.eval()
        found: list[tuple[Tensor, Tensor, Tensor]] = []

        def step(batch: Batch) -> None:
            masks, large, features = self.propose(views.plain(batch.images, s.image_size), batch.names)
            found.append((proposals.pack(masks).cpu(), large.cpu(), features.cpu()))

        yield Pass("proposals", np.arange(self.num_images), s.batch_size, step)
        masks, large, features = (torch.cat(parts) for parts in zip(*found, strict=True))
        device = self.features.device
        discovered = self._discover(features[large].numpy())
        clusters, distances = torch.zeros(len(large), dtype=torch.int64), torch.zeros(len(large))
        clusters[large] = torch.from_numpy(discovered.labels).long() + 1
        distances[large] = torch.from_numpy(discovered.distances).float()
        self.masks, self.features = masks.to(device), features.to(device)
        self.clusters_of, self.distances = clusters.to(device), distances.to(device)

    def propose(self, images: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """The proposal of each normalised image (B, 3, S, S).

        Returns:
            bool (B, S, S), its mask, empty where there is none or it is too small; bool (B,), whether there is one;
            float32 (B, D), the unit feature of what lies in its box, zeros where there is none.
        """
        s = self.settings
        maps = self.saliency(images, names)
        masks = saliency.masks(maps, s.comus_threshold, s.comus_scaling)
        boxes, large = proposals.boxes(masks, s.comus_smallest)
        features = images.new_zeros(len(images), self.descriptor.width)
        if large.any():
            features[large] = self.descriptor(proposals.crop(images[large], boxes[large], s.comus_crop_size))
        large &= features.any(dim=1)  # a crop of one colour has no gradients to describe it by
        return masks & large[:, None, None], large, features

    def logits(self, images: Tensor) -> Mapping[str, Tensor]:
        """Of images whose names nobody knows; see `predict`."""
        return self.predict(images, ())

    def predict(self, images: Tensor, names: Sequence[str]) -> Mapping[str, Tensor]:
        """1 for each pixel's cluster, 0 for the others: (B, K + 1, S, S); nothing before there are clusters."""
        if not len(self.clusters_of):
            return {}
        masks, large, features = self.propose(images, names)
        known = self.clusters_of > 0
        clusters = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        if large.any():
            voted = discovery.assign(
                features[large].cpu().numpy(),
                self.features[known].cpu().numpy(),
                self.clusters_of[known].cpu().numpy(),
                self.settings.comus_neighbors,
            )
            clusters[large] = torch.from_numpy(voted).to(clusters)
        found = torch.zeros(len(images), self.clusters("final"), *masks.shape[1:], device=images.device)
        return {"final": found.scatter_(1, (masks * clusters[:, None, None])[:, None], 1.0)}

    def _discover(self, features: np.ndarray) -> discovery.Discovery:
        s = self.settings
        return discovery.discover(
            features,
            s.num_clusters,
            method=s.comus_clustering,
            components=s.comus_components,
            neighbors=s.comus_neighbors,
            restarts=s.comus_restarts,
            seed=draws.seed((s.seed, "discovery")),
        )

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """As torch's; the buffers take the length of what is loaded, which depends on the data."""
        for name in ("masks", "clusters_of", "features", "distances"):
            if (value := state_dict.get(prefix + name)) is not None:
                setattr(self, name, torch.empty_like(value, device=self.features.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[arg-type]
