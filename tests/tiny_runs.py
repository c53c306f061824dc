"""Runs of seconds, and ways for a process to die in the middle of one."""

import dataclasses
import errno
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import torchvision
from torch import nn

from picie_core import training
from picie_core.settings import Settings
from picie_core.training import passes

TINY = {
    "image_size": 32,
    "base_size": 48,
    "train_images": 8,
    "val_images": 4,
    "num_clusters": 5,
    "feature_dim": 8,
    "epochs": 3,
    "batch_size": 4,
    "kmeans_batch_size": 3,
    "kmeans_init_batches": 1,
    "kmeans_update_batches": 1,
    "pretrained": False,
    "threads": 1,
    "device": "cpu",
}
# Processes that are forked from one that has imported what takes long, and that has run nothing.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["torch", "torchvision", "faiss", "lightning_fabric", "pandas", "tiny_runs"])
# A forked process dies as a whole where it is told to; it neither draws with torch nor comes back.
FORK = multiprocessing.get_context("fork")
TIMES = ("seconds", "images_per_second", "peak_")


def tiny(root, **changes):
    """Settings of a run below `root` that takes a second."""
    return Settings(**{"runs_root": root, **TINY, **changes})


class SmallResNet(nn.Module):
    """A backbone with the parts of torchvision's and a thousandth of its weights."""

    def __init__(self, weights=None):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), _norm()
        self.relu, self.maxpool = nn.ReLU(), nn.MaxPool2d(2)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(nn.Conv2d(8, 8, 3, stride=s, padding=1, bias=False), _norm(), nn.ReLU()) for s in (1, 2, 2, 2)
        )
        self.avgpool, self.fc = nn.Identity(), nn.Identity()


def _norm():
    return nn.BatchNorm2d(8, momentum=0.5)  # at 0.1 a handful of batches leaves the running statistics where they began


def shrink(setattr_=setattr):
    """Put `SmallResNet` in place of resnet18, so that what a run writes is small too."""
    setattr_(torchvision.models, "resnet18", SmallResNet)


def outcome(run):
    """All that must be the same in two runs of the same settings, bit for bit."""
    table = run.progress
    kept = table[[name for name in table.columns if not name.startswith(TIMES)]]
    return {
        "weights": (run.folder / "model.safetensors").read_bytes(),
        "confusion": None if run.confusion is None else run.confusion.tolist(),
        "scores": None if run.scores is None else (run.scores.accuracy, run.scores.mean_iou, run.scores.iou.tobytes()),
        "progress": kept.to_dict("records"),
    }


def die(*_args, **_kwargs):
    """As by `kill -9`, or the machine's out-of-memory killer."""
    os.kill(os.getpid(), signal.SIGKILL)


def watch_disk(setattr_, seen):
    """Call `seen` with the name of each thing that is done to the disk, before it is done."""

    def watch(owner, name, describe):
        real = getattr(owner, name)
        setattr_(owner, name, lambda *a, **k: (seen(describe(*a)), real(*a, **k))[1])

    watch(os, "fsync", lambda fd: "fsync")
    watch(Path, "replace", lambda path, to: f"replace {Path(to).name}")
    watch(Path, "rename", lambda path, to: f"rename {path.name} {Path(to).name}")
    watch(Path, "mkdir", lambda path, *a: f"mkdir {path.name}")
    watch(shutil, "rmtree", lambda path, *a: f"rmtree {Path(path).name}")


def watch_passes(setattr_, seen):
    """Call `seen` with the name of each pass after each of its batches."""
    real = passes.run

    def run_pass(pass_, data, fabric, tick=lambda images: None):
        def ticked(images):
            tick(images)
            seen(pass_.name)

        return real(pass_, data, fabric, ticked)

    setattr_(passes, "run", run_pass)


def spoil_training(setattr_, epoch, factor=np.nan):
    """Multiply the last loss of one epoch."""
    real, epochs = passes.run, iter(range(1000))

    def run_pass(pass_, *args):
        if pass_.name == "train" and next(epochs) == epoch:
            last, step = pass_.order[-1], pass_.step
            pass_ = dataclasses.replace(
                pass_, step=lambda b: (part * (factor if last in b.indices else 1) for part in step(b))
            )
        return real(pass_, *args)

    setattr_(passes, "run", run_pass)


def run_and_die(settings, small, event, nth):
    """For a process: run until the nth time that `event` is about to happen to the disk, or has happened in a pass."""
    left = iter(range(nth - 1, -10_000, -1))

    def seen(name):
        if name == event and next(left) == 0:
            die()

    if small:
        shrink()
    watch_disk(setattr, seen)
    watch_passes(setattr, seen)
    training.run(settings)


def run_together(settings, barrier, answers):
    """For a process: run at the same moment as others; answer with the passes that it made itself and the scores."""
    shrink()
    made = []
    watch_passes(setattr, made.append)
    training.lock.POLL_SECONDS = 0.05
    barrier.wait(60)
    run = training.run(settings)
    answers.put((len(made), outcome(run)))


def killed(work):
    """Run `work` in a process of its own; whether it was killed."""
    process = FORK.Process(target=work)
    process.start()
    process.join(20)
    if process.is_alive():  # not left behind: it holds the pipes of whoever reads the tests
        process.kill()
        raise TimeoutError("the forked process neither died nor ended within 20 s")
    return process.exitcode == -signal.SIGKILL


def full(*_args, **_kwargs):
    """In place of a function that writes: the disk is full."""
    raise OSError(errno.ENOSPC, "No space left on device")
