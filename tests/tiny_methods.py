"""A method on a few random pictures, with a network of one convolution, and what the training loop does with it."""

import oracles
import torch
from torch import nn

from picie_core.methods import METHODS, Batch, Method, Pass
from picie_core.settings import Settings

N, SIZE, D, K = 10, 32, 6, 3
IMAGES = oracles.pictures(N, SIZE)


class Tiny(nn.Module):
    """A convolution and a batch norm, in the place of the ResNet."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.conv = nn.Conv2d(3, settings.feature_dim, 4, stride=4)
        self.norm = nn.BatchNorm2d(settings.feature_dim)
        self.channels = settings.feature_dim

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(images))


def build(name: str = "picie", **values) -> Method:
    common = {"image_size": SIZE, "base_size": SIZE, "feature_dim": D, "num_clusters": K, "batch_size": 4}
    kmeans = {"kmeans_batch_size": 4, "kmeans_init_batches": 2, "kmeans_update_batches": 1, "pretrained": False}
    return METHODS[name](Settings(**(common | kmeans | {"method": name} | values)), N)


def batches(pass_: Pass) -> list[Batch]:
    cuts = range(0, len(pass_.order), pass_.batch_size)
    orders = [pass_.order[start : start + pass_.batch_size] for start in cuts]
    return [Batch(IMAGES[order], order) for order in orders]


def run(pass_: Pass) -> list[float]:
    """What the training loop does with a pass."""
    found = []
    for batch in batches(pass_):
        for optimizer in pass_.optimizers:
            optimizer.zero_grad()
        with torch.set_grad_enabled(bool(pass_.optimizers)):
            parts = []
            for part in pass_.step(batch) or ():
                part.backward()
                parts.append(float(part.detach()))
        if parts:
            for optimizer in pass_.optimizers:
                optimizer.step()
            found.append(sum(parts))
    return found


def close(method: Method) -> Method:
    for pass_ in method.closing_passes():
        run(pass_)
    return method.eval()
