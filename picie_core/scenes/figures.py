"""Things that stand in the scene: cars, people, animals, boats, each a few parts drawn in metres, x ahead and y up."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from picie_core.scenes.canvas import Canvas, Window, flat, mix
from picie_core.scenes.dice import Dice
from picie_core.scenes.labels import ANIMAL, BOAT, CAR, PERSON, WATER
from picie_core.scenes.light import Ramp, material
from picie_core.scenes.shapes import Shape, both, box, disc, limb, polygon, union


class Part(NamedTuple):
    """One piece of a figure: where it is, its colours, the texture that mixes them (None: the light does), and whether
    it shines by itself."""

    shape: Shape
    colours: Ramp
    texture: str | None = None
    shines: bool = False


class Plan(NamedTuple):
    """A figure's parts, back to front, and its extent in metres: half its length, and its height."""

    parts: tuple[Part, ...]
    half: float
    height: float


def _plain(red: float, green: float, blue: float, fall: float = 0.6) -> Ramp:
    return (red * fall, green * fall, blue * fall), (red, green, blue)


_GLASS: Ramp = ((0.06, 0.09, 0.13), (0.5, 0.6, 0.68))
_TYRE: Ramp = _plain(0.1, 0.1, 0.11)
_RIM: Ramp = _plain(0.68, 0.68, 0.7)
_TRIM: Ramp = _plain(0.16, 0.16, 0.17)
_LAMP: Ramp = _plain(1.0, 0.95, 0.72, 0.9)
_TAIL: Ramp = _plain(0.85, 0.08, 0.05)


def car_side(dice: Dice, family: str) -> Plan:
    """A car or a van seen from its side, heading for +x."""
    paint = material(dice, family, "paint")
    van = dice.chance(0.25 if family == "a" else 0.5)
    top, back = (1.95, -2.0) if van else (dice.between(1.4, 1.55), -1.6 + dice.between(-0.3, 0.2))
    wheels: list[Part] = []
    for x in (-1.28, 1.3):
        wheels += [Part(disc(x, 0.36, 0.44), _TRIM), Part(disc(x, 0.34, 0.34), _TYRE), Part(disc(x, 0.34, 0.18), _RIM)]
    roof = polygon((back, 0.8), (back + (0.1 if van else 0.55), top), (0.5, top), (1.25, 0.8))
    low, high, rear = 0.9, top - 0.1, back + (0.2 if van else 0.62)
    glass = polygon((rear - (0.0 if van else 0.35), low), (rear, high), (0.42, high), (1.02, low))
    parts = (
        Part(union(box(-2.1, 0.28, 2.1, 0.9, 0.2), roof), paint),
        Part(glass, _GLASS),
        Part(box(-0.28, low - 0.02, -0.18, high + 0.02), paint),
        Part(box(-2.06, 0.26, 2.06, 0.38, 0.05), _TRIM),
        Part(box(-0.62, 0.72, -0.4, 0.77), _TRIM),
        Part(disc(1.98, 0.68, 0.13, 0.1), _LAMP, shines=True),
        Part(box(-2.1, 0.62, -1.96, 0.8, 0.03), _TAIL, shines=True),
        *wheels,
    )
    return Plan(parts, 2.2, top + 0.05)


def car_end(dice: Dice, family: str) -> Plan:
    """A car seen from ahead or behind."""
    paint = material(dice, family, "paint")
    top, front = dice.between(1.4, 1.75), dice.chance(0.5)
    lamp = _LAMP if front else _TAIL
    body = union(box(-0.9, 0.24, 0.9, 1.0, 0.16), polygon((-0.84, 0.9), (-0.62, top), (0.62, top), (0.84, 0.9)))
    parts = (
        Part(union(box(-0.82, 0.0, -0.56, 0.5, 0.06), box(0.56, 0.0, 0.82, 0.5, 0.06)), _TYRE),
        Part(body, paint),
        Part(polygon((-0.7, 0.96), (-0.55, top - 0.1), (0.55, top - 0.1), (0.7, 0.96)), _GLASS),
        Part(box(-0.86, 0.24, 0.86, 0.42, 0.07), _TRIM),
        Part(box(-0.25, 0.5, 0.25, 0.62), _RIM if not front else _TRIM),
        Part(union(box(-0.84, 0.62, -0.52, 0.8, 0.07), box(0.52, 0.62, 0.84, 0.8, 0.07)), lamp, shines=True),
    )
    return Plan(parts, 0.95, top + 0.05)


def person(dice: Dice, family: str) -> Plan:
    """A person who stands or walks, with or without a skirt, a hat, a bag."""
    skin, hair = material(dice, family, "skin"), material(dice, family, "hide")
    coat, trousers = material(dice, family, "cloth"), material(dice, family, "cloth")
    stride, swing = dice.between(0.04, 0.28), dice.between(-0.3, 0.3)
    arms = [limb(s * 0.2, 1.36, s * 0.27 + a, 0.84, 0.08, 0.06) for s, a in ((-1, swing * 0.6), (1, -swing * 0.6))]
    legs = [limb(s * 0.09, 0.9, s * (0.09 + stride * 0.6), 0.06, 0.115, 0.07) for s in (-1, 1)]
    feet = [limb(s * (0.09 + stride * 0.6), 0.05, s * (0.09 + stride * 0.6) + 0.12, 0.04, 0.06) for s in (-1, 1)]
    body = polygon((-0.25, 1.4), (-0.12, 1.48), (0.12, 1.48), (0.25, 1.4), (0.21, 0.84), (-0.21, 0.84))
    parts = [Part(union(*feet), _TRIM)]
    skirt = dice.chance(0.3)
    parts.append(Part(union(*legs), skin if skirt else trousers))
    if skirt:
        parts.append(Part(polygon((-0.17, 1.0), (0.17, 1.0), (0.34, 0.45), (-0.34, 0.45)), trousers, "cloth"))
    if dice.chance(0.35):
        parts.append(Part(box(-0.42, 0.95, -0.16, 1.45, 0.1), material(dice, family, "cloth")))
    parts += [Part(union(*arms), coat), Part(body, coat, "cloth")]
    parts += [Part(disc(s * 0.27 + a, 0.8, 0.065), skin) for s, a in ((-1, swing * 0.6), (1, -swing * 0.6))]
    parts += [Part(union(disc(0.0, 1.64, 0.125, 0.155), box(-0.05, 1.42, 0.05, 1.6)), skin)]
    if dice.chance(0.3):
        hat = union(box(-0.13, 1.7, 0.13, 1.84, 0.05), box(-0.22, 1.68, 0.22, 1.73))
        parts.append(Part(hat, material(dice, family, "cloth")))
    else:
        scalp = union(box(-0.2, 1.68, 0.2, 1.9), box(-0.2, 1.5, -0.05, 1.9))
        parts.append(Part(both(disc(-0.02, 1.67, 0.145, 0.15), scalp), hair))
    return Plan(tuple(parts), 0.5, 1.86)


def _four_legs(places: tuple[float, ...], top: float, thick: float, step: float) -> Shape:
    return union(*(limb(x, top, x + step * (-1) ** i, 0.06, thick, thick * 0.6) for i, x in enumerate(places)))


def animal(dice: Dice, family: str) -> Plan:
    """A cow, a horse, a sheep or a dog (big enough to be seen), grazing or looking up."""
    kind = dice.pick(("cow", "horse", "sheep") if family == "a" else ("horse", "sheep", "goat", "cow"))
    hide, step, grazing = material(dice, family, "hide"), dice.between(-0.14, 0.14), dice.chance(0.4)
    other = material(dice, family, "hide")
    if kind == "cow":
        head = (1.42, 0.5) if grazing else (1.42, 1.4)
        patched = (other[0], hide[1])
        trunk = union(box(-1.0, 0.66, 0.9, 1.42, 0.3), polygon((-1.0, 0.95), (-0.96, 1.4), (0.85, 1.46), (0.95, 0.9)))
        x, y = head[0] - 0.12, head[1]
        horns = union(*(limb(x, y + 0.14, x + lean, y + 0.38, 0.05, 0.025) for lean in (-0.16, 0.12)))
        parts = (
            Part(union(limb(-0.98, 1.3, -1.12, 0.7, 0.045, 0.03), disc(-1.12, 0.62, 0.07, 0.12)), other),
            Part(_four_legs((-0.86, -0.6, 0.52, 0.78), 0.9, 0.12, step), hide),
            Part(union(trunk, disc(-0.42, 0.68, 0.2, 0.13)), patched, "spots"),
            Part(limb(0.75, 1.18, head[0] - 0.08, head[1], 0.3, 0.17), patched, "spots"),
            Part(horns, _RIM),
            Part(limb(head[0] - 0.3, head[1] + 0.08, head[0] - 0.16, head[1] + 0.1, 0.06, 0.09), other),
            Part(limb(head[0] - 0.08, head[1], head[0] + 0.24, head[1] - 0.26, 0.19, 0.12), hide),
            Part(disc(head[0] + 0.26, head[1] - 0.28, 0.12, 0.11), ((0.4, 0.26, 0.24), (0.86, 0.62, 0.58))),
        )
        return Plan(parts, 1.85, 1.85)
    if kind == "horse":
        head = (1.28, 0.5) if grazing else (1.28, 1.95)
        trunk = union(disc(-0.45, 1.22, 0.5, 0.38), disc(0.4, 1.2, 0.5, 0.36), box(-0.5, 0.9, 0.5, 1.48))
        parts = (
            Part(limb(-0.85, 1.4, -1.15, 0.7, 0.1, 0.06), other),
            Part(_four_legs((-0.72, -0.5, 0.5, 0.68), 1.05, 0.12, step), hide),
            Part(trunk, hide, "cloth"),
            Part(limb(0.68, 1.35, head[0], head[1], 0.26, 0.14), hide),
            Part(limb(0.58, 1.5, head[0] - 0.12, head[1] + 0.08, 0.12, 0.07), other),
            Part(limb(head[0], head[1], head[0] + 0.32, head[1] - 0.28, 0.14, 0.09), hide),
        )
        return Plan(parts, 1.75, 2.2)
    red, green, blue = (0.5 * v + 0.45 for v in hide[1])
    wool = hide if kind == "goat" else (hide[0], (red, green, blue))
    head = (0.82, 0.4) if grazing else (0.82, 1.02)
    fleece = union(disc(-0.38, 0.72, 0.38, 0.36), disc(0.0, 0.78, 0.44, 0.38), disc(0.38, 0.74, 0.36, 0.34))
    x, y = head[0] - 0.06, head[1] + 0.1
    ear = limb(x, y, x - 0.14, head[1] + (0.34 if kind == "goat" else 0.06), 0.05, 0.03)
    parts = (
        Part(_four_legs((-0.45, -0.28, 0.28, 0.42), 0.5, 0.08, step), other),
        Part(fleece, wool, "wool" if kind == "sheep" else "spots"),
        Part(limb(0.5, 0.85, head[0], head[1], 0.2, 0.14), wool),
        Part(limb(head[0], head[1], head[0] + 0.2, head[1] - 0.14, 0.14, 0.09), other),
        Part(ear, other),
    )
    return Plan(parts, 1.1, 1.4)


def boat(dice: Dice, family: str) -> Plan:
    """A sailing boat, a motor boat or a fishing boat, heading for +x."""
    hull, stripe = material(dice, family, "paint"), material(dice, family, "paint")
    kind = dice.pick(("sail", "motor", "fishing"), (4, 3, 3))
    bow = polygon((2.0, 0.6), (3.1, 1.15), (2.6, 0.6))
    body = union(polygon((-2.5, -0.15), (1.9, -0.15), (2.9, 0.95), (-2.8, 0.85)), bow)
    planks = [Part(body, hull, "planks"), Part(both(body, box(-3, -0.2, 3.2, 0.16)), stripe)]
    rim = Part(polygon((-2.8, 0.78), (-2.8, 0.92), (2.95, 1.06), (2.85, 0.9)), _plain(0.9, 0.9, 0.86))
    if kind == "sail":
        cloth, jib = ((0.62, 0.62, 0.66), (0.98, 0.97, 0.93)), material(dice, family, "cloth")
        tall = dice.between(5.0, 6.5)
        cloth = cloth if dice.chance(0.6) else material(dice, family, "cloth")
        parts = [
            Part(limb(0.15, 0.8, 0.15, tall + 0.2, 0.07, 0.04), _plain(0.5, 0.4, 0.3)),
            Part(polygon((0.05, 1.35), (0.05, tall), (-2.35, 1.35)), cloth, "cloth"),
            Part(polygon((0.3, 1.3), (0.3, tall * 0.86), (2.6, 1.2)), jib if dice.chance(0.5) else cloth, "cloth"),
            Part(limb(0.15, 1.25, -2.45, 1.25, 0.06), _plain(0.5, 0.4, 0.3)),
        ]
        return Plan((*parts, *planks, rim), 3.1, tall + 0.3)
    if kind == "motor":
        parts = [
            Part(polygon((-1.6, 0.8), (-1.5, 1.75), (0.7, 1.75), (1.5, 0.8)), _plain(0.92, 0.92, 0.9)),
            Part(polygon((-1.2, 1.1), (-1.15, 1.6), (0.6, 1.6), (1.0, 1.1)), _GLASS),
            Part(box(-0.45, 1.05, -0.35, 1.65), _plain(0.92, 0.92, 0.9)),
            Part(limb(-1.2, 1.75, -1.2, 2.5, 0.04), _TRIM),
        ]
        return Plan((*parts, *planks, rim), 3.1, 2.6)
    parts = [
        Part(box(-1.9, 0.7, -0.5, 2.3), _plain(0.88, 0.86, 0.8), "planks"),
        Part(box(-2.05, 2.2, -0.35, 2.42, 0.05), stripe),
        Part(union(box(-1.65, 1.45, -1.3, 2.0), box(-1.1, 1.45, -0.75, 2.0)), _GLASS),
        Part(limb(1.1, 0.8, 1.1, 3.6, 0.07, 0.05), _plain(0.45, 0.36, 0.28)),
        Part(limb(1.1, 3.4, -1.1, 2.5, 0.03), _TRIM),
        Part(limb(1.1, 3.5, 2.7, 1.1, 0.03), _TRIM),
    ]
    return Plan((*parts, *planks, rim), 3.1, 3.7)


@dataclass(frozen=True)
class Figure:
    """A plan put at a place: its foot at (x, row), `scale` picture units per metre, facing 1 or -1."""

    label: int
    plan: Plan
    x: float
    row: float
    scale: float
    facing: float
    shift: float

    def paint(self, canvas: Canvas) -> None:
        plan, size = self.plan, self.scale
        reach = plan.half * size
        self._shadow(canvas)
        base = self.row + 0.2 * size
        window = canvas.window(self.x - reach, self.row - plan.height * size, self.x + reach, base)
        if window is None:
            return
        x, y = (window.x - self.x) * (self.facing / size), (self.row - window.y) * (1.0 / size)
        mood, far = canvas.mood, canvas.camera.distance(self.row)
        across = np.minimum(np.maximum(x * (mood.sun * self.facing / plan.half), -1.0), 1.0)
        light = 0.62 + 0.3 * mood.shade * across + 0.14 * y
        step = 0.4 / size
        for part in plan.parts:
            depth = part.shape(x, y)
            cropped = canvas.crop(window, depth, size)
            if cropped is None:
                continue
            here, crop = cropped
            depth = depth[crop]
            colours = part.colours if part.shines and mood.dark else mood.lit(part.colours, far)
            tone = light[crop]
            if part.texture:
                u, v = x[:, crop[1]] * 0.4 + self.shift, -0.4 * y[crop[0]] + self.shift
                tones = canvas.tones(part.texture, u, v, step)
                tone = tones if part.texture == "spots" else tones * (0.5 + 0.6 * tone)
            elif part.colours is not _GLASS:
                tone = tone + 0.35 * (np.minimum(depth * 6.0, 0.6) - 0.3)
            canvas.paint(here, depth, mix(colours, tone), self.label, size)
        if self.label == BOAT:
            self._mirror(canvas, window)

    def _shadow(self, canvas: Canvas) -> None:
        """Darken what lies at the foot, longer on the side away from the light; the label stays."""
        mood, size, half = canvas.mood, self.scale, self.plan.half * 0.9
        lean = -mood.sun * mood.shade * 0.5 * self.plan.height
        shape = disc(self.x + 0.5 * lean * size, self.row, (half + 0.5 * abs(lean)) * size, (0.14 + 0.1 * half) * size)
        if self.label == BOAT:
            shape = disc(self.x, self.row + 0.2 * size, 2.7 * size, 0.3 * size)
        reach = (half + abs(lean) + 0.5) * size
        window = canvas.window(self.x - reach, self.row - size, self.x + reach, self.row + size)
        if window is None:
            return
        soft = np.maximum(np.minimum(shape(window.x, window.y) * (3.0 / size), 1.0), 0.0)
        canvas.blend(window, (0.3 + 0.35 * mood.shade) * soft, flat((0.02, 0.03, 0.05)))

    def _mirror(self, canvas: Canvas, window: Window) -> None:
        """Repeat the figure upside down in the water before it."""
        foot = self.row + 0.15 * self.scale
        reach = self.plan.height * self.scale * 0.5
        aside = self.plan.half * self.scale
        below = canvas.window(self.x - aside, foot, self.x + aside, foot + reach)
        if below is None:
            return
        ripple = canvas.tones("water", below.x * 4.0 + self.shift, below.y * 4.0, 4.0)
        source = foot - (below.y - foot) * 1.2 - (ripple - 0.5) * (0.3 * self.scale)
        line = np.minimum(np.maximum(source * canvas.size, 0.0), canvas.size - 1).astype(np.int64)
        columns = np.arange(canvas.size)[below.columns]
        place = line * canvas.size + columns
        mirrored = canvas.label.reshape(-1).take(place) == BOAT
        here = canvas.label[below.rows, below.columns] == WATER
        fade = np.maximum(1.0 - (below.y - foot) * (1.0 / reach), 0.0)
        canvas.blend(below, 0.6 * fade * (mirrored & here), canvas.rgb.reshape(3, -1).take(place, axis=1) * 0.85)


PLANS = {CAR: (car_side, car_end), PERSON: (person,), ANIMAL: (animal,), BOAT: (boat,)}
