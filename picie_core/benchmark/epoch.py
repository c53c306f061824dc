"""How long an epoch takes, phase by phase, and how near that is to what the bare network costs.

The floor: per image and epoch PiCIE needs 4 forwards (clustering and labelling of two views) and 2 forwards with
backwards (training); other methods fewer or more (`needed`). The share of the floor is the floor's time, in the fastest
bare configuration found here, over the epoch's time.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from picie_core import devices, network, training
from picie_core.records import Run
from picie_core.settings import Settings, SettingsError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

RELEASE_MS = {"AMD EPYC, family 26, model 2": 114.0}
"""The authors' release by processor (`devices.cpu`), ms an image and epoch at 160 x 160, batch 16, on two cores:
measured for this project by a transcription of it, on photographs with K = 27, as `reports/bench/release.md` says."""


def measure(settings: Settings, quick: bool = False, beside: Sequence[str] = ()) -> dict[str, Any]:
    """Time epochs of a run and the bare network, in this process.

    Args:
        settings: of the run; its epochs after the first are timed (the first pays for warming up).
        quick: the bare network eager alone, for compiling takes minutes, and one repetition.
        beside: other methods whose epoch is timed with the same settings.

    Returns:
        `phases`: ms an image of each pass (median over epochs); `epoch`: their sum with everything between; `needed`,
        `floor`, `share`; `bare`: ms an image of forward and of forward and backward by configuration, and seconds of
        compiling where there is any, or why a configuration does not run; `beside`: ms an image and epoch of each other
        method; `release`: the authors' ms an image and epoch on this processor at this size, None where it was not
        timed.

    Raises:
        SettingsError: a method of `beside` does not exist, or does not go with the settings; see `needed`.
    """
    counts = needed(settings)
    others = {method: settings.replace(method=method) for method in beside}  # what cannot be is refused before the rest
    run, phases, epoch = timed(settings)
    bare = bare_network(settings, 1 if quick else 3, compiled=not quick)
    floors = [_floor(cost, counts) for cost in bare.values() if "forward" in cost]
    return {
        "images": run.result["train"]["images"],
        "phases": phases,
        "epoch": epoch,
        "needed": counts,
        "floor": min(floors),
        "share": min(floors) / epoch,
        "peak_memory_mb": max(run.progress["peak_memory_mb"].tolist()),
        "bare": bare,
        "beside": {method: timed(other)[-1] for method, other in others.items()},
        "release": release(settings),
    }


def needed(settings: Settings) -> tuple[int, int]:
    """How many forwards, and how many forwards with backwards, an image needs in an epoch of the settings' method.

    Raises:
        SettingsError: it has no epochs, or those of a network that another run has made.
    """
    clustered = 2 if settings.clusterings == "two" else 1
    turns = 2 if settings.iic_auxiliary_clusters and settings.iic_heads == "alternating" else 1
    known = {"picie": (2 * clustered, 2), "deepcluster": (2, 1), "iic": (0, 2 * turns), "supervised": (0, 1)}
    if settings.method not in known:
        raise SettingsError(
            f"method = {settings.method!r}: what is timed is an epoch of {', '.join(known)}: give one of these"
        )
    return known[settings.method]


def _floor(bare: Mapping[str, float], counts: tuple[int, int]) -> float:
    """ms an image of so many passes through the bare network."""
    return counts[0] * bare["forward"] + counts[1] * bare["forward and backward"]


def release(settings: Settings) -> float | None:
    """What the authors' release of PiCIE takes on this processor, ms an image and epoch; None where nobody has timed
    it: on another processor, at another size, on a GPU, of another method."""
    if settings.method != "picie":
        return None
    sizes = (settings.image_size, settings.batch_size, settings.threads)
    device = devices.make_fabric(settings).device
    return RELEASE_MS.get(devices.cpu()) if sizes == (160, 16, 2) and device.type == "cpu" else None


def timed(settings: Settings, before: int = 1) -> tuple[Run, dict[str, float], float]:
    """A run in a folder of its own, and ms an image of its phases and of its epoch, but for scoring: medians over its
    epochs, but for so many of the first."""
    with tempfile.TemporaryDirectory() as root:
        run = training.run(settings.replace(runs_root=Path(root), epochs=max(settings.epochs, before + 1)))
    progress, per_image = run.progress.iloc[before:], 1000 / run.result["train"]["images"]
    phases = {
        name.removeprefix("seconds_"): float(progress[name].median()) * per_image
        for name in progress.columns
        if name.startswith("seconds_")
    }
    return run, phases, float(progress["seconds"].median()) * per_image - phases.pop("score", 0.0)


def bare_network(settings: Settings, repeats: int, compiled: bool) -> dict[str, dict[str, Any]]:
    """ms an image of the network alone on a batch, by memory layout, eager and, if asked for, by torch.compile."""
    fabric = devices.make_fabric(settings)
    found: dict[str, dict[str, Any]] = {}
    layouts = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
    for kind in ("eager", *(["compiled"] if compiled else [])):
        for name, layout in layouts.items():
            net: nn.Module = network.build(settings).to(fabric.device).to(memory_format=layout)
            shape = (settings.batch_size, 3, settings.image_size, settings.image_size)
            batch = torch.randn(shape, device=fabric.device).to(memory_format=layout)
            called = net if kind == "eager" else torch.compile(net)
            began = time.perf_counter()
            try:
                times = _bare(called, net, batch, fabric, repeats)
            except Exception as error:  # noqa: BLE001  no compiler, an unsupported Python: said, not hidden
                found[f"{name}, {kind}"] = {"fails": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
                continue
            took = time.perf_counter() - began
            found[f"{name}, {kind}"] = times | ({"seconds with compiling": took} if kind == "compiled" else {})
    return found


def _bare(called: Callable, net: nn.Module, batch: torch.Tensor, fabric: "Fabric", repeats: int) -> dict[str, Any]:
    def forward() -> None:
        with torch.no_grad(), fabric.autocast():
            called(batch)

    def both() -> None:
        net.zero_grad(set_to_none=True)
        with fabric.autocast():
            loss = called(batch).float().square().mean()
        loss.backward()

    each = {"forward": forward, "forward and backward": both}
    return {name: fastest(work, repeats, fabric.device) * 1000 / len(batch) for name, work in each.items()}


def fastest(work: Callable[[], None], repeats: int, device: torch.device) -> float:
    """Seconds of the fastest of some calls; one before them warms up."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return float(np.min(times[1:]))


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The measurements as lines of text."""
    for name, ms in result["phases"].items():
        yield f"{name:28} {ms:8.1f} ms an image"
    beside = ""
    if result["release"]:
        beside = f"   (the authors' release on such a machine, transcribed, on photographs: {result['release']:.0f})"
    yield f"{'epoch':28} {result['epoch']:8.1f} ms an image{beside}"
    forwards, both = result["needed"]
    yield f"{'floor':28} {result['floor']:8.1f} ms an image   {forwards} forwards + {both} forwards and backwards"
    yield f"{'share of the floor':28} {result['share']:8.2f}"
    yield f"{'peak memory':28} {result['peak_memory_mb']:8.0f} MB"
    for name, cost in result["bare"].items():
        if "fails" in cost:
            yield f"bare, {name}: {cost['fails']}"
        else:
            floor = _floor(cost, (forwards, both))
            compiling = f"   {cost['seconds with compiling']:.0f} s with compiling" if len(cost) > 2 else ""
            yield f"{f'bare, {name}':28} {floor:8.1f} ms an image{compiling}"
    for method, ms in result["beside"].items():
        yield f"{f'epoch of {method}':28} {ms:8.1f} ms an image   {ms / result['epoch']:.2f} of the above"
