"""Where an epoch's time goes, operator by operator."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from picie_core import devices, training
from picie_core.methods import METHODS
from picie_core.settings import Settings
from picie_core.training import passes
from picie_core.training.feed import Feed

SHOWN = 8


def measure(settings: Settings, quick: bool = False) -> dict[str, Any]:
    """Profile the second epoch of a method (the first warms up), on the device's own clock.

    Args:
        settings: of the run.
        quick: of 32 training images at most.

    Returns:
        `seconds` of all operators together and `costs`: the largest, each an operator, its share and its calls.
    """
    settings = settings.replace(train_images=min(settings.train_images or 32, 32)) if quick else settings
    train, _ = training.splits(settings)
    fabric = devices.make_fabric(settings)
    method = METHODS[settings.method](settings, len(train)).to(fabric.device)
    feed = Feed(train, fabric.device, labels=method.sees_labels(settings))
    on_gpu = fabric.device.type == "cuda"
    for pass_ in method.passes(0):
        passes.run(pass_, feed, fabric)
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as watched:
        for pass_ in method.passes(1):
            passes.run(pass_, feed, fabric)
        if on_gpu:
            torch.cuda.synchronize(fabric.device)
    own = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = [e for e in watched.key_averages() if not on_gpu or e.device_type.name == "CUDA"]  # kernels, once
    found = sorted(events, key=lambda e: getattr(e, own), reverse=True)
    total = sum(getattr(e, own) for e in found)
    costs = [{"operator": e.key, "share": getattr(e, own) / total, "calls": e.count} for e in found[:SHOWN]]
    return {"seconds": total / 1e6, "images": len(train), "costs": costs}


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The measurements as lines of text."""
    yield f"{'all operators':28} {result['seconds']:8.1f} s   an epoch of {result['images']} images"
    for cost in result["costs"]:
        yield f"{cost['operator'][:44]:44} {100 * cost['share']:5.1f} %   {cost['calls']} calls"
