"""Stuff that stands up: trees, bushes, houses, and rows of houses along a street."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from picie_core.scenes.canvas import Canvas, flat, mix
from picie_core.scenes.labels import BUILDING, TREE
from picie_core.scenes.light import Ramp
from picie_core.scenes.shapes import Shape, box, disc, limb, polygon, union

_DARK_GLASS: Ramp = ((0.07, 0.09, 0.12), (0.42, 0.5, 0.56))
_LIT = (1.0, 0.84, 0.5)
_FRAME: Ramp = ((0.6, 0.6, 0.57), (0.9, 0.9, 0.86))


@dataclass(frozen=True)
class Tree:
    """A tree or bush: trunk, and a crown of leaves with a ragged rim, in metres (y up) before it is placed."""

    x: float
    row: float
    scale: float
    crown: Shape
    trunk: Shape | None
    half: float
    height: float
    leaves: Ramp
    bark: Ramp
    shift: float
    ragged: float = 0.55  # metres by which leaves reach out or draw back

    def paint(self, canvas: Canvas) -> None:
        size, mood = self.scale, canvas.mood
        reach = (self.half + 0.4) * size
        far = canvas.camera.distance(self.row)
        shadow = canvas.window(self.x - 2 * reach, self.row - 0.8 * size, self.x + 2 * reach, self.row + 0.8 * size)
        if shadow is not None and self.trunk is not None:
            lean = -mood.sun * mood.shade * self.half * 0.6
            shape = disc(self.x + lean * size, self.row, self.half * size, 0.16 * self.half * size)
            soft = np.maximum(np.minimum(shape(shadow.x, shadow.y) * (6.0 / (self.half * size)), 1.0), 0.0)
            canvas.blend(shadow, (0.2 + 0.35 * mood.shade) * soft, flat((0.02, 0.03, 0.05)))
        window = canvas.window(self.x - reach, self.row - (self.height + 0.4) * size, self.x + reach, self.row)
        if window is None:
            return
        x, y = (window.x - self.x) * (1.0 / size), (self.row - window.y) * (1.0 / size)
        if self.trunk is not None:
            tone = 0.5 + 0.4 * canvas.tones("planks", y * 0.7 + self.shift, x * 1.4, 1.4 / size)
            tone = tone * (0.75 + 0.25 * np.minimum(np.maximum(x * (3.0 * mood.sun), -1.0), 1.0))
            canvas.paint(window, np.minimum(self.trunk(x, y), y), mix(mood.lit(self.bark, far), tone), TREE, size)
        grain = 0.26
        u, v = x * grain + self.shift, self.shift - y * grain
        tone = canvas.tones("leaves", u, v, grain / size)
        depth = self.crown(x, y) + self.ragged * (canvas.tones("leaves", u * 1.6, v * 1.6, 0.0) - 0.5)
        side = np.minimum(np.maximum(x * (mood.sun / self.half), -1.0), 1.0)
        light = 0.86 + 0.24 * mood.shade * side + 0.2 * (y * (1.0 / self.height) - 0.5)
        canvas.paint(window, np.minimum(depth, y), mix(mood.lit(self.leaves, far), tone * light), TREE, size)


@dataclass(frozen=True)
class Front:
    """How a wall is divided: metres per bay and storey, the window's share of each, which windows are lit."""

    bay: float
    storey: float
    wide: float
    tall: float
    bars: bool
    lit: tuple[bool, ...]

    def paint(self, canvas: Canvas, window: Any, along: Any, up: Any, scale: Any, inside: Any, far: Any) -> None:
        """Put windows on a wall; `along`, `up`: metres on it, `scale`: picture units per metre, `inside`: its alpha."""
        mood = canvas.mood
        column, floor = np.floor(along * (1.0 / self.bay)), np.floor(up * (1.0 / self.storey))
        p = np.abs(along - (column + 0.5) * self.bay)
        q = np.abs(up - (floor + 0.55) * self.storey)
        depth = np.minimum(0.5 * self.wide * self.bay - p, 0.5 * self.tall * self.storey - q)
        canvas.blend(window, 0.85 * inside * canvas.alpha(depth + 0.14, scale), flat(mood.lit(_FRAME, far)[1]))
        pane = inside * canvas.alpha(depth, scale)
        cell = (column.astype(np.int64) * 7 + floor.astype(np.int64) * 13) % len(self.lit)
        shine = np.minimum(np.maximum(0.35 + (up - (floor + 0.55) * self.storey + 0.3 * p) * 0.35, 0.0), 1.0)
        canvas.blend(window, pane, mix(mood.lit(_DARK_GLASS, far), shine))
        if mood.dark:
            canvas.blend(window, pane * np.asarray(self.lit)[cell], flat(_LIT))
        if self.bars:
            canvas.blend(window, pane * canvas.alpha(0.05 - p, scale), flat(mood.lit(_FRAME, far)[0]))


@dataclass(frozen=True)
class House:
    """A house seen from ahead, with a roof and a shaded gable or side wall."""

    x: float
    row: float
    scale: float
    width: float
    height: float  # of the wall, metres
    roof: str  # "gable", "hip", "flat"
    rise: float  # of the roof, metres
    side: float  # width of the side wall that shows, metres; its sign says on which side
    walls: Ramp
    tiles: Ramp
    front: Front
    door: float  # metres from the middle, beyond the half width for none
    shift: float

    def paint(self, canvas: Canvas) -> None:
        size, mood = self.scale, canvas.mood
        half, flank = self.width / 2, abs(self.side)
        top = self.height + self.rise
        reach = (half + flank + 0.6) * size
        window = canvas.window(self.x - reach, self.row - (top + 0.3) * size, self.x + reach, self.row)
        if window is None:
            return
        x, y = (window.x - self.x) * (1.0 / size), (self.row - window.y) * (1.0 / size)
        far = canvas.camera.distance(self.row)
        walls, tiles = mood.lit(self.walls, far), mood.lit(self.tiles, far)
        tone = canvas.tones("wall", x * 0.3 + self.shift, y * 0.3, 0.3 / size)
        lit_side = 1.0 if (self.side > 0) == (mood.sun > 0) else -1.0
        if flank:
            inner, outer = (half, half + flank) if self.side > 0 else (-half - flank, -half)
            side = box(inner, 0.0, outer, self.height)
            canvas.paint(window, side(x, y), mix(walls, tone * (0.62 + 0.22 * lit_side * mood.shade)), BUILDING, size)
        wall = box(-half, 0.0, half, self.height)
        inside = wall(x, y)
        light = 0.92 - 0.15 * lit_side * mood.shade
        canvas.paint(window, inside, mix(walls, tone * light), BUILDING, size)
        below_roof = canvas.alpha(np.minimum(inside, self.height - 0.4 - y), size)
        self.front.paint(canvas, window, x + half, y, size, below_roof, far)
        if abs(self.door) < half:
            door = box(self.door - 0.55, -1.0, self.door + 0.55, 2.15)(x, y)
            canvas.blend(window, canvas.alpha(door + 0.12, size), flat(mood.lit(_FRAME, far)[1]))
            canvas.blend(window, canvas.alpha(door, size), mix(tiles, 0.35 + 0.1 * y))
        if self.roof == "flat":
            shape = box(-half - 0.25, self.height - 0.1, half + 0.25, self.height + 0.45)
        else:
            inset = half if self.roof == "gable" else half * 0.35
            start, end = -half - 0.45, half + 0.45
            if flank:
                start, end = (start, end + flank) if self.side > 0 else (start - flank, end)
            middle, eaves = self.side * 0.5, self.height - 0.1
            ridge = ((middle - half + inset, top), (middle + half - inset + 0.01, top))
            shape = polygon((start, eaves), *ridge, (end, eaves))
        row_tone = canvas.tones("roof", x * 0.28 + self.shift, y * 0.28, 0.28 / size)
        canvas.paint(window, shape(x, y), mix(tiles, row_tone * (0.8 + 0.2 * mood.shade)), BUILDING, size)


@dataclass(frozen=True)
class Street:
    """Houses in a row that runs away from the camera, `aside` metres to its left or right."""

    head: float  # x of the point on the horizon that the row runs to
    aside: float  # metres; negative: on the left
    near: float  # metres to where the row begins
    houses: tuple[tuple[float, float, Ramp, Front], ...]  # length, height, walls, front
    shift: float

    @property
    def row(self) -> float:
        """Behind all that stands nearer than the row's middle."""
        return 0.05

    def paint(self, canvas: Canvas) -> None:
        camera, mood = canvas.camera, canvas.mood
        start = self.head + self.aside / self.near
        window = canvas.window(min(self.head, start), 0.0, max(self.head, start), 1.0)
        if window is None:
            return
        away = np.maximum((window.x - self.head) * (1.0 / self.aside), 0.004)  # picture units per metre
        distance = 1.0 / away
        up = camera.height - (window.y - camera.horizon) * distance
        lit = mood.shade * mood.sun * (-1.0 if self.aside > 0 else 1.0)
        begin = self.near
        tone = canvas.tones("wall", distance * 0.3 + self.shift, up * 0.3, 0.02) * (0.8 + 0.25 * lit)
        veil = mood.veil(distance)
        for length, height, walls, front in self.houses:
            along = np.minimum(distance - begin, begin + length - distance)
            inside = np.minimum(np.minimum(up, height - up), along * 40.0)
            colour = mix(mood.lit(walls), tone)
            cover = canvas.alpha(inside, away)
            canvas.blend(window, cover, colour + veil * (flat(mood.horizon) - colour))
            canvas.mark(window, inside, BUILDING)
            front.paint(canvas, window, distance - begin, up, away, cover * (up < height - 0.5), 0.5 * (begin + length))
            cornice = np.minimum(inside, 0.4 - np.abs(up - height + 0.3))
            canvas.blend(window, 0.6 * canvas.alpha(cornice, away), flat(mood.lit(walls)[0]))
            begin += length


def broadleaf(half: float, height: float, blobs: tuple[tuple[float, float, float], ...]) -> tuple[Shape, Shape]:
    """Crown and trunk of a round tree; `blobs`: x, y, radius as shares of half width, height and half width."""
    crown = union(*(disc(x * half, y * height, r * half, r * height * 0.42) for x, y, r in blobs))
    trunk = union(
        limb(0.0, 0.0, 0.0, height * 0.6, 0.06 * half + 0.1, 0.05 * half + 0.06),
        limb(0.0, height * 0.35, half * 0.4, height * 0.6, 0.09, 0.05),
        limb(0.0, height * 0.3, -half * 0.4, height * 0.58, 0.09, 0.05),
    )
    return crown, trunk


def conifer(half: float, height: float, tiers: int) -> tuple[Shape, Shape]:
    """Crown and trunk of a fir: tiers of triangles."""
    parts = []
    for i in range(tiers):
        low, top = height * (0.1 + 0.75 * i / tiers), height * (0.1 + 0.9 * (i + 1.6) / (tiers + 0.6))
        wide = half * (1.0 - 0.8 * i / tiers)
        parts.append(polygon((-wide, low), (0.0, min(top, height)), (wide, low)))
    return union(*parts), limb(0.0, 0.0, 0.0, height * 0.3, 0.18, 0.14)


def poplar(half: float, height: float) -> tuple[Shape, Shape]:
    """Crown and trunk of a tall narrow tree."""
    crown = disc(0.0, height * 0.56, half * 0.6, height * 0.44)
    return crown, limb(0.0, 0.0, 0.0, height * 0.4, 0.16, 0.12)


def bush(half: float, height: float) -> Shape:
    """A bush without a trunk."""
    left, right = (
        disc(-0.4 * half, height * 0.4, 0.55 * half, height * 0.45),
        disc(0.35 * half, height * 0.45, 0.6 * half, height * 0.5),
    )
    return union(left, right)
