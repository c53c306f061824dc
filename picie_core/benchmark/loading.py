"""Decoding photographs, once, and reading them again epoch after epoch."""

import io
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from picie_core import draws
from picie_core.datasets import prepare
from picie_core.processes import cores
from picie_core.settings import Settings

WIDTH, HEIGHT = 640, 480  # of a photograph of COCO


def measure(settings: Settings, quick: bool = False) -> dict[str, Any]:
    """Rates of decoding JPEGs bare, of preparing the same files, and of reading what was prepared in random order.

    Args:
        settings: `base_size`, `batch_size`, `seed`, `workers`.
        quick: 100 photographs instead of 1,000.

    Returns:
        Images a second: `bare` (Pillow decodes, nothing else, as many threads as `prepare` has), `prepare`, `read`;
        `share`, prepare's of the bare rate.
    """
    count, workers = 100 if quick else 1000, settings.workers or cores()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = _photographs(folder, count, settings.seed)
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(_decode, files[: count // 10]))  # warms up
            began = time.perf_counter()
            list(pool.map(_decode, files))
            bare = count / (time.perf_counter() - began)
        before = os.environ.get("PICIE_PREPARED")
        os.environ["PICIE_PREPARED"] = str(folder / "prepared")
        try:
            began = time.perf_counter()
            data = prepare("folder", root=folder, size=settings.base_size, workers=workers, progress=False)
            prepared = len(data) / (time.perf_counter() - began)
        finally:
            os.environ.pop("PICIE_PREPARED")
            os.environ.update({} if before is None else {"PICIE_PREPARED": before})
        order = draws.permutation(len(data), (settings.seed, "benchmark"))
        began = time.perf_counter()
        for start in range(0, len(order), settings.batch_size):
            _ = data.images[order[start : start + settings.batch_size]]
        read = len(order) / (time.perf_counter() - began)
    return {
        "photographs": count,
        "workers": workers,
        "bare": bare,
        "prepare": prepared,
        "share": prepared / bare,
        "read": read,
    }


def _photographs(folder: Path, count: int, seed: int) -> list[Path]:
    """JPEGs of some hundred kilobytes, as photographs have: smooth, with noise."""
    random = draws.generator((seed, "photographs"))
    places = folder / "images"
    places.mkdir()
    files = []
    for _ in range(min(count, 20)):
        coarse = random.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float64)
        pixels = (smooth + random.normal(0, 12, smooth.shape)).clip(0, 255).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=90)
        files.append(stream.getvalue())
    paths = [places / f"{number:05}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(files[number % len(files)])
    return paths


def _decode(file: Path) -> None:
    with Image.open(file) as image:
        image.convert("RGB").load()


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The measurements as lines of text."""
    what = f"{result['photographs']} JPEGs of 640 x 480, {result['workers']} threads"
    yield f"{'decoding alone':28} {result['bare']:8.0f} images/s   {what}"
    yield f"{'prepare':28} {result['prepare']:8.0f} images/s   {result['share']:.2f} of it"
    yield f"{'reading what was prepared':28} {result['read']:8.0f} images/s   random order"
