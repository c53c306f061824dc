"""A scene while it is laid out: how its parts are drawn and where they are put. Nothing is painted yet."""

from dataclasses import dataclass, field
from typing import Protocol

from picie_core.scenes import standing
from picie_core.scenes.canvas import Camera, Canvas
from picie_core.scenes.dice import Dice
from picie_core.scenes.figures import PLANS, Figure
from picie_core.scenes.labels import GRASS, ROAD, SAND, TREE, WATER
from picie_core.scenes.land import Crossing, Ground, Mountain, Rise, Road, Sky, Zone
from picie_core.scenes.light import Mood, material
from picie_core.scenes.shapes import Edge

LAND = frozenset({GRASS, SAND})


class Layer(Protocol):
    """Something that is painted; layers are painted in the order of `row`, the picture's row where they stand."""

    @property
    def row(self) -> float: ...

    def paint(self, canvas: Canvas) -> None: ...


@dataclass
class Scene:
    """A scene being laid out: its light, its camera, the zones of its ground, and its layers in any order."""

    dice: Dice
    family: str
    mood: Mood
    camera: Camera
    zones: list[Zone] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)

    def ground_at(self, x: float, y: float) -> int | None:
        """The class of the ground at a place, None above the horizon."""
        label = None
        for zone in self.zones:
            if zone.holds(x, y, self.camera) > 0:
                label = zone.label
        return label

    def spot(
        self, on: frozenset[int], low: float = 0.03, high: float = 1.05, wide: float = 0.0
    ) -> tuple[float, float] | None:
        """A place on one of the given classes of ground, `low` to `high` of the way from the horizon to the lower rim.

        `wide`: half the width, in metres, that must be on the same ground. None where 12 tries found nothing.
        """
        horizon = self.camera.horizon
        for _ in range(12):
            x = self.dice.between(-0.02, 1.02)
            y = horizon + (1.0 - horizon) * self.dice.between(low, high)
            reach = wide * self.camera.scale(y)
            if all(self.ground_at(x + side * reach, y) in on for side in (-1.0, 0.0, 1.0)):
                return x, y
        return None

    def ground(
        self, label: int, far: Edge | None = None, near: Edge | None = None, kind: type[Ground] = Ground
    ) -> Ground:
        """Lay a part of the ground over what is there."""
        name, grain = {GRASS: ("grass", 3.2), WATER: ("water", 5.0), SAND: ("sand", 3.0), ROAD: ("road", 2.6)}[label]
        patches = {GRASS: 0.35, SAND: 0.2, ROAD: 0.1, WATER: 0.12}[label]
        row = (far.y if far else self.camera.horizon) if label == WATER else -1.0 + 0.01 * len(self.zones)
        grain *= self.dice.between(0.8, 1.3) * (self.camera.height / 3.0)
        colours = material(self.dice, self.family, name)
        zone = kind(label, name, colours, far, near, grain, patches, self.dice.unit(), row)
        self.zones.append(zone)
        self.layers.append(zone)
        return zone

    def edge(self, y: float, slope: float = 0.0, rough: float = 0.01) -> Edge:
        """A smooth line across the scene."""
        return Edge(self.dice, y, slope, ((4, rough), (11, rough * 0.3)))

    # -- what stands far off ------------------------------------------------------------------------------------

    def sky(self) -> None:
        dice, horizon = self.dice, self.camera.horizon
        sun = (dice.between(0.1, 0.9), horizon * dice.between(0.15, 0.75), dice.between(0.02, 0.045))
        stars = tuple((dice.unit(), dice.unit(), dice.between(0.001, 0.004)) for _ in range(40))
        self.layers.append(Sky(dice.unit(), dice.between(0.16, 0.34), sun, stars))

    def mountains(self, tall: float) -> None:
        dice, horizon = self.dice, self.camera.horizon
        for i in range(dice.count(1, 2)):
            height = tall * dice.between(0.7, 1.1) * (1.0 - 0.45 * i)
            y = horizon - height
            bumps = ((3, height * 0.55), (7, height * 0.3), (17, height * 0.12), (40, height * 0.05))
            ridge = Edge(dice, y, dice.between(-0.3, 0.3) * height, bumps, jagged=True)
            snow = y + height * dice.between(-0.1, 0.35) if dice.chance(0.4) and not i else -1.0
            far = dice.between(300, 1500) * (1.0 - 0.5 * i)
            colours = material(dice, self.family, "mountain")
            self.layers.append(Mountain(ridge, max(y - height * 1.3, 0.0), colours, snow, far, dice.unit(), -8.0 + i))

    def rise(self, label: int, tall: float) -> None:
        """A strip of hills or forest along the horizon, of the given height."""
        dice, horizon = self.dice, self.camera.horizon
        edge = Edge(dice, horizon - tall, dice.between(-0.6, 0.6) * tall, ((3, tall * 0.5), (9, tall * 0.2)))
        colours = material(dice, self.family, "tree" if label == TREE else "grass")
        grain, far = dice.between(2.5, 4.5) if label == TREE else dice.between(2.0, 3.0), dice.between(80, 400)
        row = -5.0 + dice.unit()
        self.layers.append(
            Rise(edge, max(horizon - tall * 2.2 - 0.04, 0.0), label, colours, grain, far, dice.unit(), row)
        )

    # -- what stands on the ground ------------------------------------------------------------------------------

    def figure(self, label: int, at: tuple[float, float] | None, plan: int | None = None, grow: float = 1.0) -> None:
        """Put a thing at a place (nothing where the place is None)."""
        plans, dice = PLANS[label], self.dice
        made = plans[dice.below(len(plans)) if plan is None else plan](dice, self.family)
        facing, shift, grow = dice.side(), dice.unit(), grow * dice.between(0.9, 1.15)
        if at is not None:
            x, y = at
            self.layers.append(Figure(label, made, x, y, grow * self.camera.scale(y), facing, shift))

    def tree(self, at: tuple[float, float] | None, grow: float = 1.0) -> None:
        dice = self.dice
        styles = ("broad", "fir", "poplar", "bush") if self.family == "a" else ("fir", "poplar", "broad", "bush")
        style = dice.pick(styles, (5, 2.5, 1.2, 2))
        height, half = dice.between(4.5, 8.0) * grow, dice.between(1.7, 2.8) * grow
        trunk = None
        if style == "broad":
            blobs = [(0.0, 0.68, 0.72)]
            blobs += [(dice.between(-0.6, 0.6), dice.between(0.5, 0.85), dice.between(0.35, 0.5)) for _ in range(4)]
            crown, trunk = standing.broadleaf(half, height, tuple(blobs))
        elif style == "fir":
            half *= 0.8
            crown, trunk = standing.conifer(half, height, dice.count(3, 4))
        elif style == "poplar":
            crown, trunk = standing.poplar(half * 0.75, height * 1.15)
            height *= 1.15
        else:
            height, half = dice.between(0.9, 1.8), dice.between(0.9, 1.9)
            crown = standing.bush(half, height)
        leaves, bark, shift = material(dice, self.family, "tree"), material(dice, self.family, "bark"), dice.unit()
        if at is not None:
            x, y = at
            scale, ragged = self.camera.scale(y), 0.5 if style != "fir" else 0.3
            self.layers.append(standing.Tree(x, y, scale, crown, trunk, half, height, leaves, bark, shift, ragged))

    def front(self) -> standing.Front:
        dice = self.dice
        wide, tall = dice.between(0.4, 0.62), dice.between(0.46, 0.62)
        lit = tuple(dice.chance(0.45) for _ in range(11))
        return standing.Front(dice.between(1.7, 2.8), dice.between(2.5, 3.1), wide, tall, dice.chance(0.5), lit)

    def house(self, at: tuple[float, float] | None, storeys: int = 1, grow: float = 1.0) -> None:
        dice = self.dice
        front = self.front()
        width, height = front.bay * dice.count(2, 4) * grow, front.storey * storeys + 0.5
        roofs = ("gable", "hip", "flat") if storeys < 3 else ("flat", "hip")
        roof, rise = dice.pick(roofs), dice.between(1.2, 2.4)
        flank = dice.between(1.0, 3.5) * dice.side() if dice.chance(0.6) else 0.0
        walls, tiles = material(dice, self.family, "wall"), material(dice, self.family, "roof")
        door, shift = front.bay * (0.5 if dice.chance(0.5) else -0.5), dice.unit()
        if at is not None:
            x, y = at
            self.layers.append(
                standing.House(x, y, self.camera.scale(y), width, height, roof, 0.45 if roof == "flat" else rise, flank,
                               walls, tiles, front, door, shift)
            )  # fmt: skip

    def street(self, head: float, aside: float, near: float, count: int) -> None:
        """Houses along a street, on the left where `aside` is negative."""
        dice = self.dice
        houses = tuple(
            (dice.between(5, 10), dice.between(4.5, 11.0), material(dice, self.family, "wall"), self.front())
            for _ in range(count)
        )
        self.layers.append(standing.Street(head, aside, near, houses, dice.unit()))

    def road(self, foot: float, head: float, bend: float, half: float) -> Road:
        dice = self.dice
        marks = dice.pick((0, 1, 2), (1, 1.2, 1))
        road = Road(foot, head, bend, half, material(dice, self.family, "road"), marks, dice.unit(), -0.5)
        self.zones.append(road)
        self.layers.append(road)
        return road

    def crossing(self, low: float, wide: float) -> None:
        """A road from left to right: its far rim `low` of the way down from the horizon, `wide` of the way across."""
        horizon, slope = self.camera.horizon, self.dice.between(-0.08, 0.08)
        span = 1.0 - horizon
        far = Edge(self.dice, horizon + span * low, slope)
        self.ground(ROAD, far, Edge(self.dice, horizon + span * (low + wide), slope * 1.3), kind=Crossing)

    def scatter(
        self, label: int, least: int, most: int, on: frozenset[int], low: float, high: float, wide: float = 0.3
    ) -> None:
        """Things of a class, one after another, at places that suit them."""
        for _ in range(self.dice.count(least, most)):
            self.figure(label, self.spot(on, low, high, wide))

    def grove(
        self, least: int, most: int, low: float, high: float, on: frozenset[int] = LAND, grow: float = 1.0
    ) -> None:
        """Trees at places of land."""
        for _ in range(self.dice.count(least, most)):
            self.tree(self.spot(on, low, high), grow * self.dice.between(0.7, 1.2))
