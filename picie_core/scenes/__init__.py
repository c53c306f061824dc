"""The embedded data: rendered outdoor scenes with exact labels.

A scene is a list of layers painted back to front, each a shape (where) and a texture in a palette's colours (how).
`layouts` decides what a scene holds, from the family and the index alone; `render` then samples it at any size: at 64
and at 160 pixels it is the same scene. Draws come from the raw stream of Philox, and everything that is computed from
them uses only + - * /, square roots, comparisons and rounding, in which IEEE leaves no freedom: the same labels, and
the same pictures, on every platform.

Classes differ in texture and shape; their colours vary so much (paints, seasons, light, white balance) and overlap so
much that colour alone does not tell them apart. Family "b" has the same classes in other palettes, textures and shapes.
"""

import operator

import numpy as np

from picie_core.scenes.canvas import Canvas
from picie_core.scenes.dice import Dice
from picie_core.scenes.labels import CLASS_COLORS, CLASS_NAMES, THINGS
from picie_core.scenes.layouts import compose
from picie_core.scenes.staging import Scene

__all__ = ["CLASS_COLORS", "CLASS_NAMES", "FAMILIES", "THINGS", "VERSION", "render", "scene"]

FAMILIES: tuple[str, ...] = ("a", "b")
VERSION = 1  # frozen: a change of any label or picture makes a new version
SMALLEST, LARGEST = 16, 4096


def scene(index: int, family: str = "a") -> Scene:
    """What scene `index` (0 <= index < 2**63) of a family holds: its light, camera, ground and layers.

    Raises: ValueError for a family or an index that does not exist.
    """
    if family not in FAMILIES:
        raise ValueError(f"scenes come in the families {FAMILIES}, not {family!r}")
    index = operator.index(index)
    if not 0 <= index < 2**63:
        raise ValueError(f"the index of a scene is between 0 and 2**63 - 1, not {index}")
    return compose(Dice((VERSION << 96) + (FAMILIES.index(family) << 64) + index), family)


def render(index: int, size: int, family: str = "a") -> tuple[np.ndarray, np.ndarray]:
    """The picture and the labels of a scene, sampled at size x size pixels.

    Args: index: which scene, 0 <= index < 2**63; size: pixels per side, 16 to 4096; family: "a" or "b".
    Returns: image uint8 (size, size, 3), RGB; label uint8 (size, size), an index into `CLASS_NAMES` (no void).
    Raises: ValueError for a family, an index or a size out of range.
    """
    size = operator.index(size)
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"the size of a scene is {SMALLEST} to {LARGEST} pixels, not {size}")
    held = scene(index, family)
    canvas = Canvas(size, held.mood, held.camera, family)
    for layer in sorted(held.layers, key=lambda layer: layer.row):
        layer.paint(canvas)
    return canvas.pixels(), canvas.label
