"""The page of an album: the legend, and every photograph beside its overlay with the clusters that cover it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from picie_core.datasets.listing import ALBUM_MARK
from picie_core.datasets.problems import Problem
from picie_core.segmentation.legend import Cluster

LEAST = 1.0
"""Percent of a photograph that a cluster covers at least, to be named below it."""

MARK = ALBUM_MARK.decode()


@dataclass(frozen=True)
class Photo:
    """A photograph that was segmented.

    Attributes:
        name: as the page calls it.
        original: its file.
        place: of what was written, without endings.
        size: width and height in pixels of each half of the small pair.
        parts: clusters that cover at least `LEAST` percent of it, largest first, each with its percent.
        smaller: how many others it has.
    """

    name: str
    original: Path
    place: Path
    size: tuple[int, int]
    parts: Sequence[tuple[int, float]]
    smaller: int

    @property
    def map(self) -> Path:
        """The cluster of each pixel."""
        return self.place.with_name(self.place.name + ".png")

    @property
    def overlay(self) -> Path:
        """The clusters drawn over the photograph."""
        return self.place.with_name(self.place.name + ".overlay.jpg")

    @property
    def pair(self) -> Path:
        """Photograph and overlay side by side, small."""
        return self.place.with_name(self.place.name + ".pair.jpg")


def parts(counts: np.ndarray) -> tuple[list[tuple[int, float]], int]:
    """The `parts` and `smaller` of a `Photo` from its pixels in each cluster, (K,)."""
    shares = 100 * counts / counts.sum()
    large = [int(k) for k in np.argsort(-shares, kind="stable") if shares[k] >= LEAST]
    return [(k, float(shares[k])) for k in large], int((counts > 0).sum()) - len(large)


def page(
    folder: Path,
    title: str,
    run: str,
    clusters: Sequence[Cluster],
    photos: Sequence[Photo],
    bad: Sequence[Problem] = (),
    unread: str = "",
) -> str:
    """The page as HTML. It needs no network; its pictures are the small pairs, each loaded when it is scrolled to, and
    its links lead to the files themselves, relative to the page.

    Args:
        folder: where the page will lie.
        title: of the page.
        run: the name of the run whose clusters these are.
        clusters: all of the run's.
        photos: those that were segmented.
        bad: files that could not be used.
        unread: what to say of photographs that were not looked at (`listing.Photographs`); empty: nothing.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    given = {
        "mark": MARK, "title": _shown(title), "run": _shown(run), "photos": photos, "unread": unread, "least": LEAST,
        "clusters": sorted(clusters, key=lambda cluster: (-cluster.pixels, cluster.number)),
        "named": {cluster.number: cluster.name for cluster in clusters},
        "guessed": any(cluster.name.endswith("?") for cluster in clusters),
        "bad": [(_shown(problem.file), problem.reason) for problem in bad], "most": _most(photos),
        "ink": _ink, "shown": _shown, "address": lambda file: _address(file, folder),
    }  # fmt: skip
    return environment.get_template("page.html.j2").render(given)


def foreign(file: Path) -> bool:
    """Whether a file is there that `page` has not made."""
    return file.exists() and not (file.is_file() and ALBUM_MARK in file.read_bytes())


def _most(photos: Sequence[Photo]) -> dict[int, int]:
    """The photograph that a cluster covers most of, by its place among them, where it is named below any."""
    found: dict[int, tuple[float, int]] = {}
    for k, share, at in _covered(photos):
        if share > found.get(k, (0.0, 0))[0]:
            found[k] = share, at
    return {k: at for k, (_, at) in found.items()}


def _covered(photos: Sequence[Photo]) -> Iterator[tuple[int, float, int]]:
    return ((k, share, at) for at, photo in enumerate(photos) for k, share in photo.parts)


def _ink(color: str) -> str:
    """Black or white, whichever can be read on a colour better (relative luminance, WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (b / 255 for b in _bytes(color))]
    return "#000" if float(np.dot(linear, (0.2126, 0.7152, 0.0722))) > 0.179 else "#fff"


def _bytes(color: str) -> bytes:
    return bytes.fromhex(color[1:])


def _address(file: Path, folder: Path) -> str:
    """A file as a page in a folder links to it."""
    try:
        relative = os.path.relpath(file, folder)
    except ValueError:  # on another drive of Windows
        return file.absolute().as_uri()
    return quote(os.fsencode(Path(relative).as_posix()))


def _shown(name: str) -> str:
    """A file's name as text: what is no Unicode in it becomes question marks."""
    return name.encode("utf-8", "replace").decode("utf-8")
