"""What this machine has: versions, devices, places, and which data sets are there (`picie doctor`)."""

import os
import shutil
import sys

import faiss
import torch

from picie_core import devices, places
from picie_core.datasets import DATASETS


def report() -> str:
    """The diagnosis as text, a subject a line."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    faiss_gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    cpu, home = torch.backends.cpu.get_cpu_capability(), places.home()
    lines = [
        "versions    python " + sys.version.split()[0] + "".join(f", {n} {v}" for n, v in devices.versions().items()),
        f"devices     {os.cpu_count()} cores ({devices.cpu()}, {cpu}), GPUs: {', '.join(gpus) or 'none'}",
        f"faiss       {faiss.__version__}, {faiss_gpus} GPUs in use",
    ]
    if gpus and not faiss_gpus:
        lines += ["            this faiss is a CPU build: `make setup LOCK=requirements-gpu.lock` installs the GPU's"]
    lines += [
        f"home        {home} ({shutil.disk_usage(home).free / 2**30:.0f} GB free)",
        f"runs        {places.runs_root()}",
        f"prepared    {places.prepared_folder()}",
        "data sets",
    ]
    for name, dataset in DATASETS.items():
        folder = places.data_folder() / dataset.folder if dataset.folder else None
        state = "embedded" if not dataset.layout else "give --root (data_root)" if folder is None else str(folder)
        state += "" if folder is None or not dataset.layout else (": there" if folder.is_dir() else ": not there")
        lines += [f"  {name:22} {state}"]
    return "\n".join(lines)
