"""Where a run is computed: the fabric that knows device and precision, the threads, and the memory that was used."""

import platform
import resource
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import faiss
import torch

from picie_core import allocator, provenance
from picie_core.settings import Settings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pandas", "safetensors", "pillow")
"""Whose versions a run records."""


def make_fabric(settings: Settings) -> "Fabric":
    """Device and precision of a run; also puts threads and memory in place, for this process."""
    from lightning_fabric import Fabric

    allocator.keep_freed_memory()
    torch.set_num_threads(settings.threads)
    faiss.omp_set_num_threads(settings.threads)
    kind, _, number = settings.device.partition(":")
    precision = "bf16-mixed" if settings.precision == "bf16" else "32-true"
    devices: Any = [int(number)] if number else 1
    return Fabric(accelerator=kind, devices=devices, precision=precision)


def peak_memory(device: torch.device) -> dict[str, float]:
    """Peak memory of the process so far, and of the GPU, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    row = {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20}
    if device.type == "cuda":
        row["peak_gpu_mb"] = torch.cuda.max_memory_allocated(device) / 2**20
    return row


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, commit and device of this process."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": str(device),
        "gpu": gpu,
        "commit": provenance.commit(),
    }
