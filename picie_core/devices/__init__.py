"""Where a run is computed: the fabric that knows device and precision, the threads, and the memory that was used."""

import os
import platform
import resource
import sys
from contextlib import suppress
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss
import torch
import torch.distributed as dist

from picie_core import provenance
from picie_core.devices import allocator
from picie_core.processes import ranks
from picie_core.settings import Settings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PACKAGES = (
    "torch", "torchvision", "faiss-cpu", "faiss-gpu", "lightning-fabric", "numpy", "scipy", "scikit-learn",
    "scikit-image", "timm", "pandas", "pillow", "safetensors", "papermill", "nbval", "jupyterlab",
)  # fmt: skip
"""Whose versions `picie doctor` shows and a run records, where they are installed."""

STATUS = Path("/proc/self/status")
"""Where Linux says how much memory this process has had."""

CPU = Path("/proc/cpuinfo")
"""Where Linux says what processor this is."""


def make_fabric(settings: Settings) -> "Fabric":
    """Device and precision of a run; also puts threads and memory in place, for this process.

    In a process that torchrun has started (`launcher`), it also waits for the others: from then on this is one of
    several ranks, with a device of its own (`ranks`).
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    allocator.keep_freed_memory()
    kind, _, number = settings.device.partition(":")
    if kind == "auto":  # Fabric would take a Mac's GPU, which has no float64
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    precision = "bf16-mixed" if settings.precision == "bf16" else "32-true"
    if not dist.is_torchelastic_launched():
        _share_threads(settings.threads, 1)
        devices: Any = [int(number)] if number else 1
        return Fabric(accelerator=kind, devices=devices, precision=precision)
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    _share_threads(settings.threads, local)
    nodes = int(os.environ["WORLD_SIZE"]) // local
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    # a rank that dies is noticed by torchrun; one that waits (for a lock, for data that another prepares) may wait long
    strategy = DDPStrategy(process_group_backend=backend, timeout=timedelta(days=7))
    fabric = Fabric(accelerator=kind, devices=local, num_nodes=nodes, strategy=strategy, precision=precision)
    fabric.launch()
    return fabric


def present(device: str) -> str:
    """A device as settings name it, where this machine has it; else `auto`."""
    kind, _, number = device.partition(":")
    return "auto" if kind == "cuda" and int(number or 0) >= torch.cuda.device_count() else device


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that this process may still take: what nobody has, and what torch keeps for it unused."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def _share_threads(threads: int, processes: int) -> None:
    each = max(1, threads // processes)
    torch.set_num_threads(each)
    faiss.omp_set_num_threads(each)


def peak_memory(device: torch.device) -> dict[str, float]:
    """Peak memory of the process so far, and of the GPU, in MB."""
    row = {"peak_memory_mb": _peak_resident() / 2**20}
    if device.type == "cuda":
        row["peak_gpu_mb"] = torch.cuda.max_memory_allocated(device) / 2**20
    return row


def _peak_resident() -> int:
    """In bytes. On Linux not by `getrusage`, whose peak a process inherits from the one that started it."""
    if STATUS.exists():
        said = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
        if "VmHWM" in said:  # some sandboxes leave it out
            return int(said["VmHWM"].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def versions() -> dict[str, str]:
    """The version of each of `PACKAGES` that is installed, by name."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def cpu() -> str:
    """The processor by name. On Linux its family and model stand behind: some virtual machines name no more than a
    brand, and equal bits are claimed on one type alone."""
    if not CPU.exists():
        return platform.processor() or platform.machine()
    lines = (line.partition(":") for line in CPU.read_text(encoding="utf-8", errors="replace").splitlines())
    said: dict[str, str] = {}
    for name, _, value in lines:
        said.setdefault(name.strip(), value.strip())  # of the first core
    if "model name" not in said:
        return platform.machine()
    return f"{said['model name']}, family {said.get('cpu family', '?')}, model {said.get('model', '?')}"


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, commit and device of this process."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "python": platform.python_version(),
        "packages": versions(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": cpu(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": str(device),
        "devices": ranks.count(),
        "gpu": gpu,
        "commit": provenance.commit(),
    }
