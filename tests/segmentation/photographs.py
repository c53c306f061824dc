"""Photographs that take no time, and what was written about them."""

import csv

import numpy as np
from PIL import Image


def picture(width, height, channels=3, dtype=np.uint8):
    """A sky over ground, with some noise."""
    rng = np.random.default_rng(width * height)
    top = np.iinfo(dtype).max
    pixels = rng.integers(0, top // 4, (height, width, channels), dtype=dtype)
    pixels[: height // 2, :, -1] += dtype(top // 2)
    return pixels[..., 0] if channels == 1 else pixels


def rows(file):
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def small(path, size=(40, 32), **options):
    """An image file that takes no time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(*size)).save(path, **options)
    return path


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
