"""The picture while it is painted: colours and labels, the camera, and the one way to put something on them."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from picie_core.scenes.light import Colour, Mood, Ramp
from picie_core.scenes.textures import texture

Crop = tuple[slice, slice]
Rgb = np.ndarray  # float32 (3, h, w), or (3, 1, 1) for one colour


@dataclass(frozen=True)
class Camera:
    """A camera above a flat ground. The picture is 1 x 1, y points down, the focal length is 1.

    A ground point `z` metres away lies on row `horizon + height / z`; there, a metre is `scale(row)` wide and high.
    """

    horizon: float
    height: float  # metres above the ground

    def scale(self, row: float) -> float:
        """Picture units per metre for what stands on the given row."""
        return (row - self.horizon) / self.height

    def distance(self, row: float) -> float:
        """Metres to the ground seen on the given row."""
        return self.height / (row - self.horizon)


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels: its slices, and the positions of its pixel centres, x (1, w) and y (h, 1)."""

    rows: slice
    columns: slice
    x: np.ndarray
    y: np.ndarray


class Canvas:
    """rgb float32 (3, size, size) and label uint8 (size, size), painted back to front."""

    def __init__(self, size: int, mood: Mood, camera: Camera, family: str) -> None:
        self.size, self.mood, self.camera, self.family = size, mood, camera, family
        self.rgb = np.zeros((3, size, size), np.float32)
        self.label = np.zeros((size, size), np.uint8)
        self._line = _centres(size)

    def window(self, x0: float = 0.0, y0: float = 0.0, x1: float = 1.0, y1: float = 1.0) -> Window | None:
        """The pixels whose centres lie within half a pixel of the given rectangle, None where there are none."""
        left, right = max(int(x0 * self.size) - 1, 0), min(int(x1 * self.size) + 2, self.size)
        top, bottom = max(int(y0 * self.size) - 1, 0), min(int(y1 * self.size) + 2, self.size)
        if x1 < 0 or y1 < 0 or right <= left or bottom <= top:
            return None
        line = self._line
        return Window(slice(top, bottom), slice(left, right), line[None, left:right], line[top:bottom, None])

    def strip(self, y0: float, y1: float = 1.0) -> Window:
        """All pixels between two heights, 0 <= y0 < y1 <= 1, and the rows that touch them."""
        window = self.window(0.0, y0, 1.0, y1)
        assert window is not None, f"no rows between {y0} and {y1}"
        return window

    def alpha(self, depth: np.ndarray, scale: Any = 1.0) -> np.ndarray:
        """The share of a pixel that lies inside, in [0, 1], by its centre's depth (in 1 / `scale` picture units)."""
        return np.minimum(np.maximum(depth * (scale * self.size) + 0.5, 0.0), 1.0)

    def paint(self, window: Window, depth: np.ndarray, colour: Rgb, label: int, scale: float = 1.0) -> None:
        """Cover what lies inside (`depth` > 0) with `colour`, softly at the rim, and label it."""
        self.blend(window, self.alpha(depth, scale), colour)
        self.mark(window, depth, label)

    def mark(self, window: Window, depth: np.ndarray, label: int) -> None:
        """Label what lies inside; colours stay."""
        here = self.label[window.rows, window.columns]
        here[np.broadcast_to(depth > 0, here.shape)] = label

    def crop(self, window: Window, depth: np.ndarray, scale: float = 1.0) -> tuple[Window, Crop] | None:
        """The smallest part of a window that holds all that `depth` touches, and where it lies in the window."""
        touched = depth > -1.0 / (scale * self.size)
        rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
        if not rows.size:
            return None
        across, down = slice(int(columns[0]), int(columns[-1]) + 1), slice(int(rows[0]), int(rows[-1]) + 1)
        top, left = window.rows.start, window.columns.start
        rows_here = slice(top + down.start, top + down.stop)
        columns_here = slice(left + across.start, left + across.stop)
        return Window(rows_here, columns_here, window.x[:, across], window.y[down]), (down, across)

    def blend(self, window: Window, alpha: np.ndarray, colour: Rgb) -> None:
        """Move the window's colours towards `colour` by the share `alpha`; labels stay."""
        under = self.rgb[:, window.rows, window.columns]
        under += alpha * (colour - under)

    def tones(self, name: str, u: np.ndarray, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        """A texture of this scene's family at (u, v) tiles; `step`: tiles per picture unit, at this size per pixel."""
        return texture(name, self.family).at(u, v, step * (1.0 / self.size))

    def pixels(self) -> np.ndarray:
        """The finished picture, uint8 (size, size, 3), after white balance, exposure and contrast."""
        gain = np.asarray(self.mood.gain, np.float32)[:, None, None]
        rgb = (self.rgb * gain - 0.45) * self.mood.contrast + 0.45
        rgb = np.minimum(np.maximum(rgb * 255.0 + 0.5, 0.0), 255.0)
        return np.ascontiguousarray(rgb.astype(np.uint8).transpose(1, 2, 0))


@lru_cache(maxsize=16)
def _centres(size: int) -> np.ndarray:
    """Positions of pixel centres, float32 (size,)."""
    line = ((np.arange(size, dtype=np.float64) + 0.5) / size).astype(np.float32)
    line.setflags(write=False)
    return line


def flat(colour: Colour) -> Rgb:
    """One colour, (3, 1, 1)."""
    return np.asarray(colour, np.float32)[:, None, None]


def mix(ramp: Ramp, tones: np.ndarray) -> Rgb:
    """The ramp's colours at the given tones (h, w) -> (3, h, w)."""
    dark, bright = flat(ramp[0]), flat(ramp[1])
    return dark + tones * (bright - dark)
