"""An album: every photograph of a folder segmented at its own size and orientation, and the page that shows them."""

import errno
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from picie_core import files, palettes, training
from picie_core.datasets.decoding import read_image
from picie_core.datasets.listing import IMAGE_SUFFIXES, UNREAD_SUFFIXES, Photographs, files_in, photographs
from picie_core.datasets.problems import BadImages, DataError, Problem, Unusable
from picie_core.records import Run
from picie_core.segmentation import legend, maps, page

log = logging.getLogger(__name__)

TABLE = "clusters.csv"
PAGE = "index.html"


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
    both as large as the image when it is upright (by its EXIF orientation; an overlay has no side above
    `maps.JPEG_SIDE`), and `sub/photo.pair.jpg` (image and overlay side by side, small); `clusters.csv` (cluster, name,
    share in percent of all pixels, pixels, images, color, run); and `index.html`, which shows all of it. Images that
    differ in nothing but their ending (`photo.jpg` beside `photo.png`) keep it: `photo.jpg.png`. In a new folder table
    and page are there, of nothing, before the first map; in an old one they are written at the end.

    Args:
        run: a finished run.
        images: a folder, searched with its sub-folders, or one image.
        out: where to write; made if needed. Not among the images: the maps would overwrite them, or be taken for
            photographs the next time.
        names: what to call clusters, by number; None: as the table in `out` calls them, where the same run has written
            it before. The others are called by the class that most of their validation pixels have, where the run was
            scored, else not at all.
        tick: called with (done, total) after each image.

    Returns:
        `index.html`, beside which the rest lies.

    Raises:
        DataError: there is no image, `out` is a file, lies among the images, holds the segments of another run, an
            `index.html` of something else or other pictures, or `names` has a cluster that the run has not; nothing has
            been written.
        BadImages: some images could not be used, or have names too long for what is written of them; the others have
            been segmented, and the page names both. (With none that could, page and table stay what they were.)
        OSError: the disk is full or the folder cannot be written, see `files.of_file`.
    """
    photos, unread = _listed(images)
    places = _places(photos, images, out)
    if page.foreign(out / PAGE):
        raise DataError(
            f"{out / PAGE} is not a page of `picie segment`, which would overwrite it; choose another folder"
        )
    kept = _kept(out, run.folder.name)
    names = kept if names is None else names
    k = run.settings.predicted_clusters
    if strange := sorted(n for n in names if not 0 <= n < k):
        raise DataError(f"a name for cluster {', '.join(map(str, strange))}: this run has clusters 0 to {k - 1}")
    if unread:
        log.warning("%s: %s", images, unread)
    method, fabric = training.restore(run)
    out.mkdir(parents=True, exist_ok=True)
    palette = palettes.of_run(run)
    if run.settings.background is not None:
        palette[run.settings.background] = 0
    title = f"Segments of {images.resolve().name}"

    def describe() -> None:
        rows = legend.clusters(palette, legend.cluster_names(run) | dict(names), pixels, seen)
        files.write(out / TABLE, legend.as_csv(rows, run.folder.name))
        files.write(out / PAGE, page.page(out, title, run.folder.name, rows, shown, bad, unread))

    pixels, seen = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.int64)
    shown, bad = [], []
    if not (out / PAGE).exists():
        describe()  # whose the maps are is known, too, where this is stopped
    for done, (file, place) in enumerate(zip(photos, places, strict=True), start=1):
        try:
            image = np.asarray(_read(file))
            found = maps.segment_image(method, image, run.settings.image_size, fabric.device)
            drawn = maps.overlay(image, found, palette, run.settings.background)
            pair, size = maps.pair_jpeg(image, drawn)
            counts = np.bincount(found.ravel(), minlength=k)
            photo = page.Photo(_inside(file, images).as_posix(), file, place, size, *page.parts(counts))
            _write({photo.overlay: maps.jpeg(drawn), photo.pair: pair, photo.map: maps.index_png(found, palette)})
        except Unusable as error:
            bad.append(Problem(str(file), error.reason))
        else:
            pixels += counts
            seen += counts > 0
            shown.append(photo)
        tick(done, len(photos))
    if shown:
        describe()
        _tell_of_others(out, shown)
    if bad:
        others = {0: "None is segmented", 1: f"The other one is segmented in {out}"}
        rest = others.get(len(shown), f"The other {len(shown)} are segmented in {out}")
        them = "this one" if len(bad) == 1 else "these"
        raise BadImages(f"images in {images}", bad, len(photos), advice=f"{rest}; repair or remove {them}.")
    return out / PAGE


def _listed(images: Path) -> Photographs:
    if images.is_file():
        return Photographs([images], "")
    if not images.is_dir():
        raise DataError(f"there is no folder or image {images}")
    found = photographs(images)
    if not found.files:
        aside = f"; {found.unread}" if found.unread else ""
        raise DataError(f"no image under {images}: looked for files ending in {', '.join(IMAGE_SUFFIXES)}{aside}")
    return found


def _kept(out: Path, run: str) -> Mapping[int, str]:
    """The names in the table of an album that is written again, which is to be of this run; of a new one none."""
    table = out / TABLE
    if not (table.is_file() or (out / PAGE).is_file()):
        if own := files_in(out, IMAGE_SUFFIXES, deep=True) if out.is_dir() else []:
            raise DataError(
                f"{out} holds pictures of other origin, such as {own[0].relative_to(out)}, which would no longer be "
                "taken for photographs; choose another folder"
            )
        return {}
    theirs = legend.run_of(table) if table.is_file() else ""
    if theirs != run:
        whose = f"run {theirs}" if theirs else f"a run that its {TABLE} does not name"
        raise DataError(
            f"{out} holds the segments of {whose}, among which those of {run} would lie; choose another folder"
        )
    return legend.read_names(table, run)


def _tell_of_others(out: Path, shown: Sequence[page.Photo]) -> None:
    """Warn of maps that the page does not show: whoever reads all of them would count these, too."""
    mine = {photo.overlay for photo in shown}
    if others := sorted(file for file in out.rglob("*.overlay.jpg") if file not in mine):
        log.warning(
            "%s: %d maps there are not of this page, such as that of %s: their photographs are gone, renamed or could "
            "not be used; delete NAME.png, NAME.overlay.jpg and NAME.pair.jpg of each",
            out, len(others), others[0].relative_to(out).as_posix().removesuffix(".overlay.jpg"),
        )  # fmt: skip


def _inside(file: Path, images: Path) -> Path:
    """Where an image lies in what was given."""
    return file.relative_to(images) if images.is_dir() else Path(file.name)


def _places(files: Sequence[Path], images: Path, out: Path) -> list[Path]:
    """Where the outputs of each image go, without their endings: different for each, and none among the images."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; expected a folder to write to")
    base, target = (images if images.is_dir() else images.parent).resolve(), out.resolve()
    inside = [_inside(file, images) for file in files]
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
    except Unusable as error:
        if file.suffix.lower() in UNREAD_SUFFIXES:  # given by itself; in a folder it is not looked at
            raise Unusable(f"is in a format that is not read ({file.suffix}); convert it to JPEG") from error
        raise


def _write(outputs: Mapping[Path, bytes]) -> None:
    """Write what was made of one image. The longest name comes first: where it is too long, nothing is written."""
    try:
        for file, content in outputs.items():
            files.write(file, content)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise Unusable("has too long a name for that of its overlay (NAME.overlay.jpg); shorten it") from error
