"""How long an epoch takes, phase by phase, and how near that is to what the bare network costs.

The floor: per image and epoch the method needs 4 forwards (clustering and labelling of two views) and 2 forwards with
backwards (training). The share of the floor is the floor's time, in the fastest bare configuration found here, over the
epoch's time.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from picie_core import devices, network, training
from picie_core.records import Run
from picie_core.settings import Settings

RELEASE_MS = 275.0
"""The authors' release, ms an image and epoch on a 2-core CPU at 160 x 160, batch 16 (measured for this project)."""


def benchmark(settings: Settings, repeats: int = 3, beside: Sequence[str] = ()) -> dict[str, Any]:
    """Time epochs of a run and the bare network, in this process.

    Args:
        settings: of the run; its epochs after the first are timed (the first pays for warming up).
        repeats: timed repetitions of the bare network; the fastest counts.
        beside: other methods whose epoch is timed with the same settings.

    Returns:
        `phases`: ms an image of each pass (median over epochs); `epoch`: their sum with everything between; `floor`,
        `share`; `bare`: ms an image of forward and of forward and backward by memory layout; `beside`: ms an image and
        epoch of each other method; `machine`, `settings`.

    Raises:
        SettingsError: a method of `beside` does not exist, or does not go with the settings.
    """
    others = {method: settings.replace(method=method) for method in beside}  # what cannot be is refused before the rest
    run, phases, epoch = _timed(settings)
    bare = bare_network(settings, repeats)
    floor = min(4 * cost["forward"] + 2 * cost["forward and backward"] for cost in bare.values())
    return {
        "phases": phases,
        "epoch": epoch,
        "floor": floor,
        "share": floor / epoch,
        "peak_memory_mb": max(run.progress["peak_memory_mb"].tolist()),
        "bare": bare,
        "beside": {method: _timed(other)[-1] for method, other in others.items()},
        "images": run.result["train"]["images"],
        "machine": devices.environment(devices.make_fabric(settings).device),
        "settings": settings.values() | {"data_root": None, "runs_root": None, "weights_file": None},
    }


def _timed(settings: Settings) -> tuple[Run, dict[str, float], float]:
    """A run in a folder of its own, and ms an image of its phases and of its epoch, but for scoring."""
    with tempfile.TemporaryDirectory() as root:
        run = training.run(settings.replace(runs_root=Path(root), fresh=True, epochs=max(settings.epochs, 2)))
    progress, per_image = run.progress.iloc[1:], 1000 / run.result["train"]["images"]
    phases = {
        name.removeprefix("seconds_"): float(progress[name].median()) * per_image
        for name in progress.columns
        if name.startswith("seconds_")
    }
    return run, phases, float(progress["seconds"].median()) * per_image - phases.pop("score", 0.0)


def bare_network(settings: Settings, repeats: int) -> dict[str, dict[str, float]]:
    """ms an image of the network alone on a batch, by memory layout: forward; forward and backward."""
    fabric = devices.make_fabric(settings)
    torch.set_num_threads(settings.threads)
    net = network.build(settings).to(fabric.device)
    batch = torch.randn(settings.batch_size, 3, settings.image_size, settings.image_size, device=fabric.device)

    def forward() -> None:
        with torch.no_grad(), fabric.autocast():
            net(batch)

    def both() -> None:
        net.zero_grad(set_to_none=True)
        with fabric.autocast():
            loss = net(batch).float().square().mean()
        loss.backward()

    found = {}
    for name, layout in (("channels last", torch.channels_last), ("contiguous", torch.contiguous_format)):
        net, batch = net.to(memory_format=layout), batch.to(memory_format=layout)
        found[name] = {
            "forward": _fastest(forward, repeats, fabric.device) * 1000 / len(batch),
            "forward and backward": _fastest(both, repeats, fabric.device) * 1000 / len(batch),
        }
    return found


def report(result: dict[str, Any]) -> str:
    """The benchmark as a table for a terminal."""
    s = result["settings"]
    lines = [
        f"{s['method']}, {result['images']} images, {s['image_size']} x {s['image_size']}, batch {s['batch_size']}, "
        f"{s['threads']} threads, precision {s['precision']}, {result['machine']['device']}",
        "",
        *(f"{name:24} {ms:8.1f} ms an image" for name, ms in result["phases"].items()),
        f"{'epoch':24} {result['epoch']:8.1f} ms an image   (the release: {RELEASE_MS:.0f} at 160 x 160, 2 cores)",
        f"{'floor':24} {result['floor']:8.1f} ms an image   4 forwards + 2 forwards and backwards",
        f"{'share of the floor':24} {result['share']:8.2f}",
        f"{'peak memory':24} {result['peak_memory_mb']:8.0f} MB",
        *(
            f"{f'epoch of {method}':24} {ms:8.1f} ms an image   {ms / result['epoch']:.2f} of the above"
            for method, ms in result["beside"].items()
        ),
    ]
    return "\n".join(lines)


def _fastest(work: Callable[[], None], repeats: int, device: torch.device) -> float:
    times = []
    for _ in range(repeats + 1):  # the first warms up
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return float(np.min(times[1:]))
