"""What two processes compute together and one alone, to be compared: `torchrun ... rank_work.py OUT`.

One batch of eight images, of which each of two ranks has four, in float64, with frozen batch norm.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from tiny_runs import shrink, tiny

from picie_core import devices, evaluation, losses, training
from picie_core.classes import VOID
from picie_core.clustering import MiniBatchKMeans
from picie_core.methods import METHODS, Batch
from picie_core.methods.method import Means
from picie_core.processes import ranks

CASES = {
    "picie": {"balance": "inverse"},
    "picie with MSE": {"mse": "added", "balance": "proportional"},
    "picie+H": {"num_overclusters": 9},
    "picie, linear": {"classifier": "parametric"},
    "deepcluster": {"method": "deepcluster"},
    "supervised": {"method": "supervised", "num_clusters": 12},
    "iic": {"method": "iic", "iic_displacement": 3, "iic_affine": True, "iic_heads": "summed"},
    "iic, collapsed": {"method": "iic", "iic_displacement": 2, "iic_collapsed": True, "iic_heads": "summed"},
}


def lesson(name, root):
    """Loss and gradients of one step of a method, on the images that are this process's."""
    settings = tiny(root, **CASES[name])
    train, _ = training.splits(settings)
    method = METHODS[settings.method](settings, len(train)).double().eval()
    own = ranks.own(len(train))
    random = np.random.default_rng(5)
    for v, k in getattr(method, "labels", {}):
        method.prototypes(v, k).copy_(torch.from_numpy(random.normal(size=method.prototypes(v, k).shape)))
        # unevenly, so that the ranks' parts of the weights differ
        labels = torch.from_numpy(np.sort(random.integers(0, k, (len(train), 8, 8)).reshape(-1)).reshape(-1, 8, 8))
        method.labels[v, k] = labels[own.start : own.stop].to(torch.uint8)
        counts = ranks.total(torch.bincount(method.labels[v, k].flatten().long(), minlength=k))
        method.weights[v, k] = losses.balance_weights(counts, settings.balance).double()
    if settings.classifier == "parametric" and settings.method == "picie":
        method._new_heads(0)
        for head in method.heads.values():
            head.double()
    indices = np.array(own)
    truth = train.labels[indices]
    truth[indices < 3, :20] = VOID  # of the first rank's images alone
    batch = Batch(torch.from_numpy(train.images[indices]), indices, torch.from_numpy(truth))
    if settings.method == "iic":
        parts = iter([torch.stack(list(method.terms(1, batch, list(method.heads)).values())).sum()])
    elif settings.method == "supervised":
        parts = iter([method.loss(1, batch)])
    else:
        parts = (method.total(share) for share in method.shares(1, batch))  # descended one after the other
    loss = torch.zeros((), dtype=torch.float64)
    for part in parts:
        part.backward()
        loss += part.detach()
    ranks.add_gradients(method.parameters())
    gradients = [p.grad.reshape(-1) for p in method.parameters() if p.grad is not None]
    return {"loss": ranks.total(loss.detach()).numpy(), "gradients": torch.cat(gradients).numpy()}


def clustering():
    """K-means of nine batches of points, the first three the first centroids'."""
    points = np.random.default_rng(3).normal(size=(9, 41, 6)) + 4 * np.eye(6)[np.arange(41) % 3]
    kmeans, sampled = MiniBatchKMeans(3, 3, 2, 10, 0), MiniBatchKMeans(3, 9, 2, 10, 0, sample=20)
    for batch in points:
        part = torch.from_numpy(np.array_split(batch, ranks.count())[ranks.number()])
        kmeans.add(part)
        sampled.add(part)
    centroids, inertia = kmeans.finish()
    sampled.finish()
    found = {"centroids": centroids.numpy(), "counts": kmeans.counts.numpy(), "inertia": np.float64(inertia)}
    return found | {"pixels behind a sample": sampled.counts.sum().numpy()}


def recorded():
    """The mean of a loss over batches, of which each process adds its share."""
    means = Means()
    for images, value in ((4, 1.0), (4, 3.0), (2, 8.0)):
        means.add({"loss": torch.tensor(value / ranks.count())}, images // ranks.count())
    return {"mean": np.float64(means.values()["loss"])}


def scoring(root):
    """The confusion matrix of a network that was never trained, over the validation images."""
    settings = tiny(root, method="untrained")
    train, val = training.splits(settings)
    method = METHODS["untrained"](settings, len(train)).double()
    prototypes = np.random.default_rng(1).normal(size=(5, 8))
    method.final_prototypes = torch.from_numpy(prototypes)
    return {"confusion": evaluation.confusions(method, val, 3, torch.device("cpu"))["final"]}


def batch_norm():
    """Running statistics that every process has of its own images, made one; those of a frozen layer left alone."""
    layer, frozen = torch.nn.BatchNorm2d(2), torch.nn.BatchNorm2d(2).requires_grad_(False)
    frozen.running_mean.fill_(ranks.number())
    layer.running_mean.fill_(np.mean(ranks.own(8)))
    layer.running_var.fill_(2 * np.mean(ranks.own(8)))
    ranks.level(torch.nn.Sequential(layer, frozen))
    found = {"mean": layer.running_mean, "variance": layer.running_var, "frozen": frozen.running_mean}
    return {name: statistic.numpy() for name, statistic in found.items()}


def work(root):
    """Everything, by name."""
    shrink()
    found = {f"{name}: {key}": value for name in CASES for key, value in lesson(name, root).items()}
    found |= {f"kmeans: {key}": value for key, value in clustering().items()}
    found |= {f"recorded: {key}": value for key, value in recorded().items()}
    found |= {f"batch norm: {key}": value for key, value in batch_norm().items()}
    return found | scoring(root)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        devices.make_fabric(tiny(folder, devices=2))
        result = work(folder)
    if ranks.number() == 0:
        np.savez(Path(sys.argv[1]), ranks=ranks.count(), **result)
