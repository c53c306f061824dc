"""Shapes as functions of position: how deep a point lies inside, in the units of the coordinates (negative outside).

Depth above zero decides the label; depth against the size of a pixel gives the soft edge of the picture. The
primitives use + - * / and sqrt only, which IEEE rounds exactly: the same label everywhere.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Shape = Callable[[Any, Any], Any]


def disc(cx: float, cy: float, rx: float, ry: float | None = None) -> Shape:
    """An ellipse with half axes rx, ry (a circle where ry is left out)."""
    ry = rx if ry is None else ry
    smaller = min(rx, ry)

    def depth(x: Any, y: Any) -> Any:
        p, q = (x - cx) * (1.0 / rx), (y - cy) * (1.0 / ry)
        return (1.0 - np.sqrt(p * p + q * q)) * smaller

    return depth


def box(x0: float, y0: float, x1: float, y1: float, round_by: float = 0.0) -> Shape:
    """An upright rectangle, its corners rounded by the given radius."""
    cx, cy, hx, hy = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2 - round_by, (y1 - y0) / 2 - round_by

    def depth(x: Any, y: Any) -> Any:
        p, q = np.abs(x - cx) - hx, np.abs(y - cy) - hy
        if not round_by:
            return -np.maximum(p, q)
        out_p, out_q = np.maximum(p, 0.0), np.maximum(q, 0.0)
        return round_by - np.sqrt(out_p * out_p + out_q * out_q) - np.minimum(np.maximum(p, q), 0.0)

    return depth


def limb(ax: float, ay: float, bx: float, by: float, ra: float, rb: float | None = None) -> Shape:
    """A stroke from a to b with round ends, of radius ra at a and rb at b."""
    rb = ra if rb is None else rb
    dx, dy = bx - ax, by - ay
    scale = 1.0 / (dx * dx + dy * dy)

    def depth(x: Any, y: Any) -> Any:
        along = np.minimum(np.maximum(((x - ax) * dx + (y - ay) * dy) * scale, 0.0), 1.0)
        p, q = x - ax - along * dx, y - ay - along * dy
        return ra + along * (rb - ra) - np.sqrt(p * p + q * q)

    return depth


def polygon(*corners: tuple[float, float]) -> Shape:
    """A convex polygon; its corners in either turn."""
    turn = math.fsum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True))
    sign = 1.0 if turn > 0 else -1.0
    sides = []
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        dx, dy = x1 - x0, y1 - y0
        length = float(np.sqrt(dx * dx + dy * dy))
        a, b = -sign * dy / length, sign * dx / length
        sides.append((a, b, -(a * x0 + b * y0)))

    def depth(x: Any, y: Any) -> Any:
        result = None
        for a, b, c in sides:
            inside = (a * x + c) + b * y
            result = inside if result is None else np.minimum(result, inside)
        return result

    return depth


def union(*parts: Shape) -> Shape:
    """Where any of the parts is."""

    def depth(x: Any, y: Any) -> Any:
        result = parts[0](x, y)
        for part in parts[1:]:
            result = np.maximum(result, part(x, y))
        return result

    return depth


def both(first: Shape, second: Shape) -> Shape:
    """Where both shapes are."""
    return lambda x, y: np.minimum(first(x, y), second(x, y))


class Edge:
    """A line across the scene, y as a function of x: a slope plus bumps of several widths.

    `bumps` are (knots, height) pairs; each draws its knots from `dice`. `jagged` joins knots by straight lines
    (mountains), else by smooth ones (hills, shores).
    """

    def __init__(self, dice: Any, y: float, slope: float = 0.0, bumps: Any = (), jagged: bool = False) -> None:
        self.y, self.slope, self.jagged = y, slope, jagged
        self._bumps = [(n, (dice.units(n + 2) - 0.5) * (2.0 * height)) for n, height in bumps]

    def __call__(self, x: Any) -> Any:
        """y at x (any shape); beyond [0, 1] the bumps go on as they are at the rim."""
        x = np.asarray(x, dtype=np.float32)
        y = self.y + self.slope * (x - 0.5)
        inside = np.minimum(np.maximum(x, 0.0), 1.0)
        for knots, heights in self._bumps:
            place = inside * knots
            low = np.floor(place)
            part = place - low
            weight = part if self.jagged else part * part * (3.0 - 2.0 * part)
            low = low.astype(np.int64)
            left = heights[low]
            y = y + left + weight * (heights[low + 1] - left)
        return y
