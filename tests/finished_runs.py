"""Folders of finished runs that nobody has trained."""

import numpy as np
import torch

from picie_core import devices, files
from picie_core.records import parts
from picie_core.settings import Settings

MATRIX = np.array([[5, 1], [2, 8]])


def finished_run(folder, settings=None, matrix=MATRIX, **result):
    """All that a run leaves, of as many epochs as its settings say; its folder."""
    settings = settings or Settings(num_clusters=2)
    files.write(folder / "settings.yaml", settings.to_yaml())
    if matrix is not None:
        parts.write_array(folder / "confusion.npy", matrix)
    parts.write_progress(folder, [{"epoch": epoch, "seconds": 0.25} for epoch in range(settings.own_epochs)])
    parts.write_tensors(folder / "model.safetensors", {"weight": torch.arange(6.0).reshape(2, 3)})
    record = {"key": folder.name, "seconds": 1.5, "classes": None, "commit": "c"} | result
    files.write_json(folder / "result.json", record)
    files.write_json(folder / "environment.json", devices.environment(torch.device("cpu")))
    return folder
