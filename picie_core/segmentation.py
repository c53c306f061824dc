"""Segments of anybody's photographs: whole images, at their own size and orientation, with a trained run's clusters."""

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from picie_core import figures, files, records, training, views
from picie_core.datasets.decoding import read_image
from picie_core.datasets.listing import IMAGE_SUFFIXES, files_in
from picie_core.datasets.problems import BadImages, DataError, Problem, Unusable
from picie_core.methods import Method
from picie_core.records import Run

STRIP = 2**24
"""Logits (pixels x clusters) that are upsampled at a time, 64 MB: what a photograph costs beyond itself is bounded."""


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
    both as large as the image when it is upright (by its EXIF orientation); and `clusters.csv`. Images that differ in
    nothing but their ending (`photo.jpg` beside `photo.png`) keep it: `photo.jpg.png`.

    Args:
        run: a finished run.
        images: a folder, searched with its sub-folders, or one image.
        out: where to write; made if needed. Not among the images: the maps would overwrite them, or be taken for
            photographs the next time.
        names: what to call clusters, by number; the others are called by the class that most of their validation pixels
            have, where the run was scored, else not at all.
        tick: called with (done, total) after each image.

    Returns:
        `clusters.csv`: cluster, name, share (percent of all pixels), pixels, images, color.

    Raises:
        DataError: there is no image, `out` is a file or lies among the images, or `names` has a cluster that the run
            has not; nothing has been written.
        BadImages: some images could not be used; the others have been segmented.
    """
    photos = _listed(images)
    places = _places(photos, images, out)
    k = run.settings.predicted_clusters
    if strange := sorted(n for n in names or {} if not 0 <= n < k):
        raise DataError(f"a name for cluster {', '.join(map(str, strange))}: this run has clusters 0 to {k - 1}")
    method, fabric = training.restore(run)
    out.mkdir(parents=True, exist_ok=True)
    palette = cluster_colors(run)
    pixels, seen = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.int64)
    bad = []
    for done, (file, place) in enumerate(zip(photos, places, strict=True), start=1):
        try:
            image = np.asarray(_read(file))
        except Unusable as error:
            bad.append(Problem(str(file), error.reason))
        else:
            with fabric.autocast():
                clusters = segment_image(method, image, run.settings.image_size, fabric.device)
            place.parent.mkdir(parents=True, exist_ok=True)
            files.write(place.with_name(place.name + ".png"), _index_png(clusters, palette))
            files.write(place.with_name(place.name + ".overlay.jpg"), _overlay_jpeg(image, clusters, palette))
            counts = np.bincount(clusters.ravel(), minlength=k)
            pixels += counts
            seen += counts > 0
        tick(done, len(photos))
    file = out / "clusters.csv"
    files.write(file, _clusters_csv(pixels, seen, palette, cluster_names(run) | dict(names or {})))
    if bad:
        rest = f"The other {len(photos) - len(bad)} are segmented in {out}; repair or remove these."
        raise BadImages(f"images in {images}", bad, len(photos), advice=rest)
    return file


@torch.no_grad()
def segment_image(method: Method, image: np.ndarray, short_side: int, device: torch.device) -> np.ndarray:
    """The cluster of every pixel of one image.

    The network sees the whole image with its short side scaled to that of training. Sides are rounded to multiples of
    4, a cell of the features, and continued by their edge to multiples of 32, the coarsest cell, so that all levels of
    the pyramid lie over each other; the margin's logits are dropped, the rest upsampled bilinearly to the image's size.

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
    down, across = (max(1, round(side * scale / 4)) for side in (height, width))  # cells of the features
    pixels = views.to_float(torch.from_numpy(np.array(image))[None].to(device))
    pixels = F.interpolate(pixels, size=(4 * down, 4 * across), mode="bilinear", antialias=True, align_corners=False)
    pixels = F.pad(pixels, (0, -4 * across % 32, 0, -4 * down % 32), mode="replicate")
    logits = method.logits(views.normalise(pixels))["final"].float()
    cell = pixels.shape[-1] // logits.shape[-1]  # 4; 8 of DeepLabv3; 1 for methods that look at the pixels themselves
    logits = logits[..., : math.ceil(4 * down / cell), : math.ceil(4 * across / cell)]
    clusters = np.empty((height, width), dtype=np.uint8 if logits.shape[1] <= 256 else np.uint16)
    for rows in _strips(height, width * logits.shape[1]):
        clusters[rows] = _upsampled(logits, rows, height, width).argmax(dim=1)[0].cpu().numpy()
    return clusters


def cluster_colors(run: Run) -> np.ndarray:
    """A colour for each cluster, uint8 (K, 3): of a scored run that of the class that `cluster_names` calls it by."""
    palette = figures.colors(run.settings.predicted_clusters)
    if run.confusion is None or run.classes is None:
        return palette
    classes = records.shown_classes(run.settings, run.confusion)
    named = classes >= 0
    palette[named] = run.classes.colors[classes[named]]
    return palette


def cluster_names(run: Run) -> dict[int, str]:
    """What the clusters of a scored run may be called: the class that most of their validation pixels have; where the
    method was taught the classes, its own."""
    if run.confusion is None or run.classes is None:
        return {}
    names = run.classes.names
    return {k: f"{names[c]}?" for k, c in enumerate(records.shown_classes(run.settings, run.confusion)) if c >= 0}


def read_names(file: Path) -> dict[int, str]:
    """Names of clusters from a CSV file with the columns `cluster` and `name` (such as an edited `clusters.csv`).

    Rows without a name are passed over. UTF-8, with or without a byte order mark.

    Raises:
        DataError: the file is not UTF-8, has other columns, or a cluster that is not a number.
    """
    try:
        reader = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig")))
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 ({error}): in a spreadsheet, save it as 'CSV UTF-8'") from error
    if not {"cluster", "name"} <= set(reader.fieldnames or ()):
        raise DataError(f"{file}: expected the columns cluster and name, got {', '.join(reader.fieldnames or ())}")
    names = {}
    for row in reader:
        if row["name"] and row["name"].strip():
            if not (row["cluster"] or "").strip().isdecimal():
                raise DataError(f"{file}, line {reader.line_num}: cluster is {row['cluster']!r}, expected a number")
            names[int(row["cluster"])] = row["name"].strip()
    return names


def _listed(images: Path) -> list[Path]:
    if images.is_file():
        return [images]
    if not images.is_dir():
        raise DataError(f"there is no folder or image {images}")
    files = files_in(images, IMAGE_SUFFIXES, deep=True)
    if not files:
        raise DataError(f"no image under {images}: looked for files ending in {', '.join(IMAGE_SUFFIXES)}")
    return files


def _places(files: Sequence[Path], images: Path, out: Path) -> list[Path]:
    """Where the outputs of each image go, without their endings: different for each, and none among the images."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; expected a folder to write to")
    base, target = (images if images.is_dir() else images.parent).resolve(), out.resolve()
    inside = [file.relative_to(images) if images.is_dir() else Path(file.name) for file in files]
    if target == base or (images.is_dir() and any((target / path).is_relative_to(base) for path in inside)):
        raise DataError(
            f"{out} would put maps among the images of {base}: they would overwrite them, or be segmented the next "
            "time; choose a folder outside"
        )
    # A stem that another image has too, or that is the whole name of another, would lead to the same place.
    taken = Counter(str(name).casefold() for path in inside for name in (path, path.with_suffix("")))
    stems = (path.with_suffix("") for path in inside)
    return [out / (stem if taken[str(stem).casefold()] == 1 else path)
            for path, stem in zip(inside, stems, strict=True)]  # fmt: skip


def _read(file: Path) -> Image.Image:
    try:
        return read_image(file.read_bytes())
    except OSError as error:
        raise Unusable(f"cannot be read ({error.strerror})") from error


def _strips(height: int, row: int) -> Iterator[slice]:
    """Rows 0..height in pieces of at most `STRIP` values, of which a row has `row`; at least one row each."""
    rows = max(1, STRIP // row)
    return (slice(start, min(start + rows, height)) for start in range(0, height, rows))


def _upsampled(logits: Tensor, rows: slice, height: int, width: int) -> Tensor:
    """Some rows of logits (1, K, h, w) upsampled bilinearly (align_corners=False) to height x width."""
    h = logits.shape[2]
    place = ((torch.arange(rows.start, rows.stop, device=logits.device) + 0.5) * h / height - 0.5).clamp(0, h - 1)
    upper = place.floor().long()
    lower = (upper + 1).clamp(max=h - 1)
    share = (place - upper)[:, None]
    mixed = logits[:, :, upper] * (1 - share) + logits[:, :, lower] * share
    return F.interpolate(mixed, size=(len(place), width), mode="bilinear", align_corners=False)


def _overlay_jpeg(image: np.ndarray, clusters: np.ndarray, palette: np.ndarray) -> bytes:
    drawn = np.empty_like(image)
    for rows in _strips(len(image), image[0].size):
        drawn[rows] = figures.overlay(image[rows], clusters[rows], palette)
    return _encoded(Image.fromarray(drawn), "JPEG", quality=90)


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
