"""Tileable textures, made once per process, with a pyramid of coarser copies so that they look right at any size.

A texture is a field of tones in [0, 1] over a square that repeats. What tells classes apart is here: blades, clumps of
leaves, ripples, speckle, facets, courses of brick. Two kinds of ingredient are enough: smooth noise, and strokes
(one small ellipse per cell of a jittered grid, the topmost wins). Only + - * / and comparisons are used, each exactly
rounded, so that a texture may also decide where an edge lies.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from picie_core.scenes.dice import Dice

SIDE = 256
LEVELS = 8


class Strokes(NamedTuple):
    """Strokes seen from above, float32 (SIDE, SIDE): a tone of each stroke in [0, 1), place inside it along (`q`) and
    across (`p`) in [-1, 1], and where there is one at all (`hit`, bool)."""

    tone: np.ndarray
    p: np.ndarray
    q: np.ndarray
    hit: np.ndarray


def smooth(t: np.ndarray) -> np.ndarray:
    """3 t^2 - 2 t^3: the weight that makes noise between lattice points smooth."""
    return t * t * (3.0 - 2.0 * t)


def noise(dice: Dice, columns: int, rows: int | None = None) -> np.ndarray:
    """Value noise in [0, 1) on a lattice of the given extent that wraps, float32 (SIDE, SIDE)."""
    lattice = dice.units(rows or columns, columns)
    for _ in range(2):
        extent = lattice.shape[0]
        place = (np.arange(SIDE, dtype=np.float32) + 0.5) * (extent / SIDE)
        low = np.floor(place).astype(np.int64)
        weight = smooth(place - low)[:, None]
        lattice = (lattice[low % extent] * (1.0 - weight) + lattice[(low + 1) % extent] * weight).T
    return lattice


def layered(dice: Dice, extent: int, octaves: int) -> np.ndarray:
    """Noise of several octaves, each half as strong as the one before, in [0, 1)."""
    total, weight = np.zeros((SIDE, SIDE), np.float32), 0.5
    for octave in range(octaves):
        total = total + weight * noise(dice, min(extent << octave, SIDE))
        weight *= 0.5
    return total / (1.0 - 2.0 * weight)


def strokes(dice: Dice, columns: int, rows: int, width: float, length: float, lean: float = 0.0) -> Strokes:
    """One stroke per cell. `width`, `length`: half axes in cells (<= 1); `lean`: largest sideways lean, in cells."""
    shift_x, shift_y, order, tone, slant = dice.units(5, rows, columns)
    x = ((np.arange(SIDE, dtype=np.float32) + 0.5) * (columns / SIDE))[None, :]
    y = ((np.arange(SIDE, dtype=np.float32) + 0.5) * (rows / SIDE))[:, None]
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    best = np.full((SIDE, SIDE), -1.0, np.float32)
    out = np.zeros((3, SIDE, SIDE), np.float32)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            cell = ((row + down) % rows, (column + right) % columns)
            q = (y - (row + down) - shift_y[cell]) / length
            p = (x - (column + right) - shift_x[cell] - (slant[cell] - 0.5) * (2.0 * lean) * q) / width
            top = (p * p + q * q < 1.0) & (order[cell] > best)
            best = np.where(top, order[cell], best)
            out = np.where(top, np.stack(np.broadcast_arrays(tone[cell], p, q)), out)
    return Strokes(out[0], out[1], out[2], best >= 0)


def wave(t: np.ndarray) -> np.ndarray:
    """A smooth wave of period 1 and range [0, 1], without a sine."""
    part = t - np.floor(t)
    return smooth(1.0 - np.abs(2.0 * part - 1.0))


def _axes() -> tuple[np.ndarray, np.ndarray]:
    line = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
    return line[None, :], line[:, None]


def _blades(dice: Dice) -> np.ndarray:
    back, front = strokes(dice, 36, 12, 0.42, 1.0, 0.9), strokes(dice, 44, 14, 0.34, 1.0, 1.1)
    ground = 0.12 + 0.2 * noise(dice, 24)
    ground = np.where(back.hit, 0.2 + 0.32 * back.tone - 0.16 * back.q, ground)
    return np.where(front.hit, 0.36 + 0.4 * front.tone - 0.22 * front.q, ground) * (0.75 + 0.25 * noise(dice, 5))


def _meadow(dice: Dice) -> np.ndarray:
    back, front = strokes(dice, 20, 20, 0.3, 1.0, 1.0), strokes(dice, 26, 26, 0.24, 1.0, 1.0)
    ground = np.where(back.hit, 0.3 + 0.3 * back.tone + 0.12 * back.p, 0.14)
    ground = np.where(front.hit, 0.42 + 0.3 * front.tone + 0.2 * front.p, ground)
    flower = strokes(dice, 18, 18, 0.24, 0.24)
    return np.where(flower.hit & (flower.tone > 0.55), 0.98, ground)


def _clumps(dice: Dice) -> np.ndarray:
    big, small = strokes(dice, 11, 11, 0.95, 0.95), strokes(dice, 26, 26, 0.72, 0.72)
    tone = np.where(big.hit, 0.42 + 0.2 * (big.tone - 0.5) - 0.34 * big.q, 0.1)
    leaf = 0.22 * (small.tone - 0.5) - 0.3 * small.q + 0.04
    return np.clip(tone + np.where(small.hit, leaf, -0.16), 0.0, 1.0)


def _needles(dice: Dice) -> np.ndarray:
    long, short = strokes(dice, 14, 22, 1.0, 0.42, 0.2), strokes(dice, 24, 40, 1.0, 0.36, 0.3)
    tone = np.where(long.hit, 0.42 - 0.36 * long.q + 0.25 * (long.tone - 0.5), 0.06)
    return np.clip(tone + np.where(short.hit, 0.2 * (short.tone - 0.5) - 0.28 * short.q, -0.1), 0.0, 1.0)


def _ripples(dice: Dice) -> np.ndarray:
    long, short = strokes(dice, 7, 26, 1.0, 0.62), strokes(dice, 13, 46, 1.0, 0.5)
    tone = np.where(long.hit, 0.5 - 0.3 * long.q + 0.18 * (long.tone - 0.5), 0.34)
    return np.clip(tone + np.where(short.hit & (short.tone > 0.4), -0.24 * short.q, 0.0), 0.0, 1.0)


def _swell(dice: Dice) -> np.ndarray:
    _, y = _axes()
    bend = 0.09 * noise(dice, 6, 4) + 0.03 * noise(dice, 14)
    crest = wave(15.0 * (y + bend))
    glint = strokes(dice, 16, 44, 0.7, 0.3)
    return np.clip(0.12 + 0.62 * crest * crest + np.where(glint.hit & (glint.tone > 0.72), 0.4, 0.0), 0.0, 1.0)


def _dunes(dice: Dice) -> np.ndarray:
    x, y = _axes()
    bend = 0.12 * noise(dice, 4) + 0.04 * noise(dice, 12)
    ripple = wave(9.0 * (y + bend) + 3.0 * x)
    return 0.3 + 0.34 * ripple + 0.12 * noise(dice, 128) + 0.14 * noise(dice, 40)


def _pebbles(dice: Dice) -> np.ndarray:
    stone, small = strokes(dice, 22, 30, 0.8, 0.66), strokes(dice, 40, 52, 0.6, 0.6)
    tone = np.where(small.hit, 0.4 + 0.2 * small.tone - 0.14 * small.q, 0.22)
    return np.where(stone.hit & (stone.tone > 0.35), 0.3 + 0.5 * stone.tone - 0.2 * stone.q, tone)


def _asphalt(dice: Dice) -> np.ndarray:
    patch = noise(dice, 3)
    crack = np.abs(noise(dice, 8) + 0.4 * noise(dice, 24) - 0.7)
    speck = strokes(dice, 64, 64, 0.3, 0.3)
    tone = 0.42 + 0.14 * (patch - 0.5) + np.where(speck.hit & (speck.tone > 0.55), 0.24 * speck.tone, 0.0)
    return np.where(crack < 0.012, tone - 0.3, tone)


def _cobbles(dice: Dice) -> np.ndarray:
    x, y = _axes()
    row = np.floor(y * 18.0).astype(np.int64)
    across = x * 14.0 + 0.5 * (row % 2)
    column = np.floor(across).astype(np.int64) % 14
    p, q = across - np.floor(across), y * 18.0 - row
    rim = np.minimum(np.minimum(p, 1.0 - p), np.minimum(q, 1.0 - q))
    return np.where(rim < 0.1, 0.15, 0.42 + 0.34 * dice.units(18, 14)[row, column] + 0.14 * (0.5 - q))


def _facets(dice: Dice) -> np.ndarray:
    big, small = strokes(dice, 7, 5, 0.9, 1.0, 0.8), strokes(dice, 15, 11, 0.8, 1.0, 0.9)
    tone = np.where(big.hit, 0.45 + np.where(big.p > 0.0, 0.3, -0.2) + 0.1 * (big.tone - 0.5), 0.4)
    tone = tone + np.where(small.hit, np.where(small.p > 0.0, 0.14, -0.12), 0.0)
    return np.clip(tone + 0.16 * (noise(dice, 64) - 0.5), 0.0, 1.0)


def _strata(dice: Dice) -> np.ndarray:
    _, y = _axes()
    level = 11.0 * (y + 0.14 * noise(dice, 5) + 0.03 * noise(dice, 20))
    step = np.floor(level)
    shade = dice.units(64)[step.astype(np.int64) % 11]
    return np.clip(0.2 + 0.5 * shade + 0.3 * (0.5 - (level - step)) + 0.2 * (noise(dice, 40) - 0.5), 0.0, 1.0)


def _billows(dice: Dice) -> np.ndarray:
    return np.clip(1.9 * layered(dice, 3, 5) - 0.45, 0.0, 1.0)


def _streaks(dice: Dice) -> np.ndarray:
    tone = 0.5 * noise(dice, 2, 9) + 0.3 * noise(dice, 5, 22) + 0.2 * noise(dice, 12, 48)
    return np.clip(2.2 * tone - 0.6, 0.0, 1.0)


def _bricks(dice: Dice) -> np.ndarray:
    x, y = _axes()
    row = np.floor(y * 24.0).astype(np.int64)
    across = x * 10.0 + 0.5 * (row % 2)
    column = np.floor(across).astype(np.int64) % 10
    p, q = across - np.floor(across), y * 24.0 - row
    return np.where((p < 0.06) | (q < 0.16), 0.86, 0.3 + 0.4 * dice.units(24, 10)[row, column])


def _boards(dice: Dice) -> np.ndarray:
    _, y = _axes()
    row = np.floor(y * 16.0).astype(np.int64)
    q = y * 16.0 - row
    return np.where(q < 0.16, 0.16, 0.5 + 0.24 * dice.units(16)[row] + 0.2 * (noise(dice, 5, 100) - 0.5))


def _spots(dice: Dice) -> np.ndarray:
    tone = noise(dice, 7) + 0.3 * noise(dice, 20)
    return np.clip(14.0 * (tone - 0.72), 0.0, 1.0)


def _folds(dice: Dice) -> np.ndarray:
    return 0.3 + 0.4 * noise(dice, 12, 4) + 0.3 * noise(dice, 30)


def _curls(dice: Dice) -> np.ndarray:
    curl = strokes(dice, 16, 16, 0.7, 0.7)
    return np.where(curl.hit, 0.6 - 0.3 * curl.q + 0.2 * (curl.tone - 0.5), 0.25)


_MADE: dict[str, dict[str, Callable[[Dice], np.ndarray]]] = {
    "a": {"grass": _blades, "leaves": _clumps, "water": _ripples, "sand": _dunes, "road": _asphalt, "rock": _facets,
          "cloud": _billows, "wall": _bricks, "roof": _boards, "spots": _spots, "cloth": _folds, "wool": _curls,
          "planks": _boards},
    "b": {"grass": _meadow, "leaves": _needles, "water": _swell, "sand": _pebbles, "road": _cobbles, "rock": _strata,
          "cloud": _streaks, "wall": _boards, "roof": _bricks, "spots": _spots, "cloth": _folds, "wool": _curls,
          "planks": _boards},
}  # fmt: skip


class Texture:
    """A tile and its coarser copies, each padded by its own first row and column, in one flat table."""

    def __init__(self, tile: np.ndarray) -> None:
        levels = [np.ascontiguousarray(tile, dtype=np.float32)]
        for _ in range(LEVELS - 1):
            t = levels[-1]
            levels.append((t[::2, ::2] + t[1::2, ::2] + t[::2, 1::2] + t[1::2, 1::2]) * np.float32(0.25))
        padded = [np.pad(level, ((0, 1), (0, 1)), mode="wrap") for level in levels]
        self._table = np.concatenate([level.ravel() for level in padded])
        self._start = np.cumsum([0] + [level.size for level in padded[:-1]])

    def at(self, u: np.ndarray, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        """Tones at (u, v), in tiles, u of shape (h, w) or (1, w), v of shape (h, 1) or (h, w), bilinear.

        `step` is the distance between neighbouring pixels in tiles, a float or (h, 1): it chooses the copy to read,
        so that a pixel never skips over texels.
        """
        level = np.clip(np.frexp(np.asarray(step) * SIDE)[1] - 1, 0, LEVELS - 1)
        side = SIDE >> level
        start, stride, mask = self._start[level], side + 1, side - 1
        across, down = u * side.astype(np.float32), v * side.astype(np.float32)
        left, above = np.floor(across), np.floor(down)
        fx, fy = across - left, down - above
        cell = start + (above.astype(np.int64) & mask) * stride + (left.astype(np.int64) & mask)
        table = self._table
        top, low = table.take(cell), table.take(cell + stride)
        top += fx * (table.take(cell + 1) - top)
        low += fx * (table.take(cell + (stride + 1)) - low)
        low -= top
        low *= fy
        low += top
        return low


@cache
def texture(name: str, family: str) -> Texture:
    """The named texture of a family: "grass", "leaves", "water", "sand", "road", "rock", "cloud", "wall", ..."""
    makers = _MADE[family]
    return Texture(makers[name](Dice((1 << 120) + (ord(family) << 64) + list(makers).index(name))))
