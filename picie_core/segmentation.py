"""Segments of anybody's photographs: whole images, at their own size and orientation, with a trained run's clusters."""

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from picie_core import figures, metrics, records, training, views
from picie_core.datasets.decoding import read_image
from picie_core.datasets.listing import IMAGE_SUFFIXES, files_in
from picie_core.datasets.problems import BadImages, DataError, Problem, Unusable
from picie_core.methods import Method
from picie_core.records import Run

STRIP = 2**22
"""Pixels of the result that are upsampled at a time: photographs of any size within some hundred MB."""


def segment(
    run: Run,
    images: Path,
    out: Path,
    names: Mapping[int, str] | None = None,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Segment every image below a folder.

    Writes, for `sub/photo.jpg`, `sub/photo.png` (cluster of each pixel, an 8-bit palette image whose values are the
    cluster numbers; 16-bit greyscale beyond 256 clusters) and `sub/photo.overlay.jpg` (clusters drawn over the image),
    both as large as the image when it is upright (by its EXIF orientation); and `clusters.csv`.

    Args:
        run: a finished run.
        images: a folder, searched with its sub-folders, or one image.
        out: where to write; made if needed.
        names: what to call clusters, by number; the others are called by the class that most of their validation pixels
            have, where the run was scored, else not at all.
        tick: called with (done, total) after each image.

    Returns:
        `clusters.csv`: cluster, name, share (percent of all pixels), pixels, images, color.

    Raises:
        DataError: there is no image, or `out` lies in the way.
        BadImages: some images could not be used; the others have been segmented.
    """
    files = _listed(images)
    base = images if images.is_dir() else images.parent
    method, device = training.restore(run)
    k = run.settings.num_clusters
    if names and not all(0 <= n < k for n in names):
        raise DataError(f"names for clusters {sorted(names)}: this run has clusters 0 to {k - 1}")
    palette = cluster_colors(run)
    pixels, seen = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.int64)
    bad = []
    for done, file in enumerate(files, start=1):
        try:
            image = read_image(file.read_bytes())
        except Unusable as error:
            bad.append(Problem(str(file), error.reason))
            continue
        clusters = segment_image(method, np.asarray(image), run.settings.image_size, device)
        place = (out / file.relative_to(base)).with_suffix("")
        place.parent.mkdir(parents=True, exist_ok=True)
        records.write(place.with_name(place.name + ".png"), _index_png(clusters, palette))
        drawn = Image.fromarray(figures.overlay(np.asarray(image), clusters, palette))
        records.write(place.with_name(place.name + ".overlay.jpg"), _encoded(drawn, "JPEG", quality=90))
        counts = np.bincount(clusters.ravel(), minlength=k)
        pixels += counts
        seen += counts > 0
        tick(done, len(files))
    file = out / "clusters.csv"
    out.mkdir(parents=True, exist_ok=True)
    records.write(file, _clusters_csv(pixels, seen, palette, cluster_names(run) | dict(names or {})))
    if bad:
        raise BadImages(f"images in {images}", bad, len(files))
    return file


@torch.no_grad()
def segment_image(method: Method, image: np.ndarray, short_side: int, device: torch.device) -> np.ndarray:
    """The cluster of every pixel of one image.

    The network sees the whole image with its short side scaled to that of training (sides rounded to whole pixels,
    at least 32); its logits are upsampled bilinearly to the image's size.

    Args:
        method: restored, in evaluation mode.
        image: uint8 (H, W, 3).
        short_side: the run's `image_size`.
        device: the method's.

    Returns:
        (H, W) uint8, or uint16 beyond 256 clusters.
    """
    height, width = image.shape[:2]
    scale = short_side / min(height, width)
    size = max(32, round(height * scale)), max(32, round(width * scale))
    pixels = views.to_float(torch.from_numpy(np.array(image))[None].to(device))
    pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
    logits = method.logits(views.normalise(pixels))["final"].float()
    rows = max(1, STRIP // width)
    strips = [_rows(logits, start, min(start + rows, height), height, width) for start in range(0, height, rows)]
    kind = np.uint8 if logits.shape[1] <= 256 else np.uint16
    return torch.cat([strip.argmax(dim=1)[0] for strip in strips]).cpu().numpy().astype(kind)


def cluster_colors(run: Run) -> np.ndarray:
    """A colour for each cluster, uint8 (K, 3): its class's where it was matched to one of the data set's table."""
    k = run.settings.num_clusters
    palette = figures.colors(k)
    if run.confusion is None or run.classes is None:
        return palette
    classes = metrics.match(run.confusion)
    matched = classes >= 0
    palette[matched] = run.classes.colors[classes[matched]]
    return palette


def cluster_names(run: Run) -> dict[int, str]:
    """What the clusters of a scored run may be called: the class that most of their validation pixels have."""
    if run.confusion is None or run.classes is None:
        return {}
    names = run.classes.names
    return {k: f"{names[c]}?" for k, c in enumerate(metrics.majority(run.confusion)) if c >= 0}


def read_names(file: Path) -> dict[int, str]:
    """Names of clusters from a CSV file with the columns `cluster` and `name` (such as an edited `clusters.csv`).

    Raises:
        DataError: the file has other columns, or a cluster that is not a number.
    """
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        if not {"cluster", "name"} <= set(reader.fieldnames or ()):
            raise DataError(f"{file}: expected the columns cluster and name, got {', '.join(reader.fieldnames or ())}")
        try:
            return {int(row["cluster"]): row["name"] for row in reader if row["name"]}
        except ValueError as error:
            raise DataError(f"{file}: a cluster is a number, {error}") from error


def _listed(images: Path) -> list[Path]:
    if images.is_file():
        return [images]
    if not images.is_dir():
        raise DataError(f"there is no folder or image {images}")
    files = files_in(images, IMAGE_SUFFIXES, deep=True)
    if not files:
        raise DataError(f"no image under {images}: looked for files ending in {', '.join(IMAGE_SUFFIXES)}")
    return files


def _rows(logits: Tensor, start: int, stop: int, height: int, width: int) -> Tensor:
    """Rows start..stop of logits upsampled bilinearly (align_corners=False) to height x width."""
    h = logits.shape[2]
    place = ((torch.arange(start, stop, device=logits.device) + 0.5) * h / height - 0.5).clamp(0, h - 1)
    upper = place.floor().long()
    lower = (upper + 1).clamp(max=h - 1)
    share = (place - upper)[:, None]
    rows = logits[:, :, upper] * (1 - share) + logits[:, :, lower] * share
    return F.interpolate(rows, size=(stop - start, width), mode="bilinear", align_corners=False)


def _index_png(clusters: np.ndarray, palette: np.ndarray) -> bytes:
    image = Image.fromarray(clusters)
    if clusters.dtype == np.uint8:
        image.putpalette(palette.astype(np.uint8).tobytes())
    return _encoded(image, "PNG")


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _clusters_csv(pixels: np.ndarray, seen: np.ndarray, palette: np.ndarray, names: Mapping[int, str]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["cluster", "name", "share", "pixels", "images", "color"])
    for k, (count, images, color) in enumerate(zip(pixels, seen, palette, strict=True)):
        share = 100 * count / max(pixels.sum(), 1)
        writer.writerow([k, names.get(k, ""), f"{share:.3f}", count, images, "#{:02x}{:02x}{:02x}".format(*color)])
    return stream.getvalue()
