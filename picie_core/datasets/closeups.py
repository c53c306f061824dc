"""Close-ups of the embedded scenes: each frames one object, as photographs of objects do.

COMUS starts from images that show one dominant object (section 3.1: a bias of photographs made by people). The scenes
hold many. A close-up is an object of one of four scenes in a row, in a square frame 1.4 times as long as the object,
chosen by the exact labels, as a photographer who sees the object chooses it: in turn a car, a person, an animal and a
boat, the one framed best, or the best of any class where none of the one whose turn it is can be framed well. The
labels stay exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image
from scipy import ndimage

from picie_core import scenes
from picie_core.classes import SCENES, ClassTable
from picie_core.datasets.framing import Framing
from picie_core.datasets.listing import Dataset, Listing, Loaded
from picie_core.datasets.rendered import COUNTS, FIRST

SIDE = 256
"""Pixels at which scenes are rendered to choose the frame and to cut it out."""

BLOCK = 4
"""Scenes among which a close-up is chosen."""

SMALLEST = 600
"""Pixels of the smallest object that is framed, at `SIDE`."""

MARGIN = 1.4

WELL = 0.1
"""An object is framed well when its share of the frame minus twice that of other things is above it."""

VERSION = 1  # frozen, as the scenes are


@dataclass(frozen=True)
class Closeup:
    """Close-up number `index`: of scenes `BLOCK * index` to `BLOCK * index + BLOCK - 1`."""

    index: int

    @property
    def name(self) -> str:
        """`closeup-000017`"""
        return f"closeup-{self.index:06d}"

    def stamp(self) -> list[str | int]:
        """Versions of the choice and of the renderer, and the index."""
        return [VERSION, scenes.VERSION, self.index]

    def load(self, size: int, frame: Framing, table: ClassTable | None) -> Loaded:
        """Renders, chooses and cuts out; no pixel is void. Images bilinear with antialiasing, labels nearest."""
        pictures = [scenes.render(BLOCK * self.index + i, SIDE) for i in range(BLOCK)]
        turn = sorted(scenes.THINGS)[self.index % len(scenes.THINGS)]
        best = ((False, -1.0, 0), (0, 0, SIDE))  # the first scene as it is, where there is nothing to frame
        for number, (_, label) in enumerate(pictures):
            for thing, value, top, left, side in frames(label):
                best = max(best, ((thing == turn and value > WELL, value, -number), (top, left, side)))
        top, left, side = best[1]
        image, label = (part[top : top + side, left : left + side] for part in pictures[-best[0][2]])
        resized = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
        cells = (2 * np.arange(size) + 1) * side // (2 * size)
        return Loaded(np.asarray(resized), label[cells][:, cells], f"closeup {VERSION} {scenes.VERSION} {self.index}")


def frames(label: np.ndarray) -> Iterator[tuple[int, float, int, int, int]]:
    """The frame of each object that is large enough and whose frame fits into the image.

    Args:
        label: uint8 (n, n), scene classes.

    Yields:
        The object's class; how well it is framed: its share of the frame minus twice the share of other things; top,
        left and side of the frame in pixels.
    """
    things = np.isin(label, sorted(scenes.THINGS))
    for thing in sorted(scenes.THINGS):
        objects, _ = cast(tuple[np.ndarray, int], ndimage.label(label == thing))
        for number, (rows, columns) in enumerate(ndimage.find_objects(objects), start=1):
            area = int((objects[rows, columns] == number).sum())
            side = round(MARGIN * max(rows.stop - rows.start, columns.stop - columns.start))
            if area < SMALLEST or side > len(label):
                continue
            top, left = (_corner(span, side, len(label)) for span in (rows, columns))
            window = np.s_[top : top + side, left : left + side]
            own, all_things = int((objects[window] == number).sum()), int(things[window].sum())
            yield thing, (3 * own - 2 * all_things) / side**2, top, left, side


def _corner(span: slice, side: int, length: int) -> int:
    """Where a frame begins that has the span in its middle, as far as the image goes."""
    return min(max((span.start + span.stop - side) // 2, 0), length - side)


def _list(root: Path, split: str, limit: int | None) -> Listing:
    first = FIRST[split] // BLOCK
    return Listing([Closeup(first + i) for i in range(limit or COUNTS[split])], True, SCENES)


DATASET = Dataset("closeups", "one object of the rendered scenes each, with exact labels", _list)
