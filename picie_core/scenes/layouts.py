"""The layouts: countryside, lakeside, town, coast, harbour. What a scene holds is decided here."""

from picie_core.scenes.canvas import Camera
from picie_core.scenes.dice import Dice
from picie_core.scenes.labels import ANIMAL, BOAT, CAR, GRASS, PERSON, ROAD, SAND, TREE, WATER
from picie_core.scenes.light import mood
from picie_core.scenes.shapes import Edge
from picie_core.scenes.staging import LAND, Scene


def compose(dice: Dice, family: str) -> Scene:
    """Draw a scene: its light, then one of the layouts."""
    light = mood(dice)
    layout = dice.pick((countryside, lakeside, town, coast, harbour), (3.0, 2.6, 3.2, 2.6, 2.4))
    camera = Camera(dice.between(0.2, 0.56), dice.between(2.3, 4.4))
    scene = Scene(dice, family, light, camera)
    scene.sky()
    layout(scene)
    return scene


def _backdrop(scene: Scene, mountains: float, hills: float, forest: float) -> None:
    """Mountains, hills and forest along the horizon, each with the given probability."""
    dice, room = scene.dice, min(scene.camera.horizon, 0.45)
    if dice.chance(mountains):
        scene.mountains(room * dice.between(0.35, 0.75))
    if dice.chance(hills):
        scene.rise(GRASS, room * dice.between(0.12, 0.4))
    if dice.chance(forest):
        scene.rise(TREE, room * dice.between(0.12, 0.3))


def countryside(scene: Scene) -> None:
    """Meadow or dry land with animals, trees, a house, perhaps a road with a car."""
    dice, horizon = scene.dice, scene.camera.horizon
    _backdrop(scene, 0.8, 0.5, 0.4)
    scene.ground(GRASS)
    if dice.chance(0.3):
        scene.ground(
            SAND, scene.edge(horizon + (1.0 - horizon) * dice.between(0.3, 0.7), dice.between(-0.3, 0.3), 0.03)
        )
    if dice.chance(0.35):
        scene.road(dice.between(-0.2, 1.2), dice.between(0.2, 0.8), dice.between(-0.5, 0.5), dice.between(1.4, 2.4))
    elif dice.chance(0.5):
        scene.crossing(dice.between(0.15, 0.5), dice.between(0.12, 0.3))
    for _ in range(dice.count(0, 2)):
        scene.house(scene.spot(LAND, 0.08, 0.3), dice.count(1, 2))
    scene.grove(2, 6, 0.06, 0.5)
    scene.scatter(ANIMAL, 2, 5, LAND, 0.2, 1.0)
    scene.scatter(ANIMAL, 1, 1, LAND, 0.6, 1.0)
    scene.scatter(CAR, 1, 2, frozenset({ROAD}), 0.2, 0.9, 0.8)
    scene.scatter(PERSON, 0, 2, frozenset({ROAD, GRASS}), 0.3, 1.0)


def lakeside(scene: Scene) -> None:
    """A lake between a far and a near shore, at any slant, with boats."""
    dice, horizon = scene.dice, scene.camera.horizon
    span = 1.0 - horizon
    _backdrop(scene, 0.85, 0.4, 0.5)
    scene.ground(GRASS)
    far = scene.edge(horizon + span * dice.between(0.05, 0.16), 0.0, 0.008)
    if dice.chance(0.35):
        scene.ground(SAND, scene.edge(horizon + span * dice.between(0.35, 0.6), dice.between(-0.3, 0.3), 0.02))
    near = scene.edge(horizon + span * dice.between(0.5, 1.0), dice.side() * dice.between(0.1, 0.7), 0.03)
    scene.ground(WATER, far, near)
    for _ in range(dice.count(0, 2)):
        scene.house(scene.spot(LAND, 0.04, 0.14), dice.count(1, 2))
    scene.grove(1, 4, 0.03, 0.14)
    scene.grove(1, 3, 0.25, 0.8)
    scene.scatter(BOAT, 1, 3, frozenset({WATER}), 0.15, 0.6, 1.5)
    scene.scatter(PERSON, 1, 3, LAND, 0.4, 1.0)
    scene.scatter(ANIMAL, 0, 3, LAND, 0.3, 1.0)


def town(scene: Scene) -> None:
    """A street that runs away between rows of houses, or one that crosses before them."""
    dice, horizon = scene.dice, scene.camera.horizon
    _backdrop(scene, 0.5, 0.2, 0.4)
    scene.ground(GRASS if dice.chance(0.65) else SAND)
    if dice.chance(0.55):
        head, half = dice.between(0.25, 0.75), dice.between(2.6, 4.2)
        foot = head + dice.between(-0.35, 0.35)
        scene.road(foot, head, 0.0, half)
        for side in (-1.0, 1.0):
            if dice.chance(0.72):
                verge = half + dice.between(0.8, 3.5)
                scene.street(head + (foot - head) * 0.4, side * verge, dice.between(2.5, 9.0), dice.count(2, 6))
    else:
        low = dice.between(0.2, 0.4)
        scene.crossing(low, dice.between(0.25, 0.5))
        x = dice.between(-0.1, 0.1)
        row = horizon + (1.0 - horizon) * low * dice.between(0.5, 0.85)
        while x < 1.1:
            scene.house((x, row), dice.count(1, 4))
            x += dice.between(7.0, 13.0) * scene.camera.scale(row)
    street = frozenset({ROAD})
    scene.grove(1, 4, 0.12, 0.5)
    scene.scatter(CAR, 1, 3, street, 0.15, 0.9, 0.8)
    scene.scatter(CAR, 1, 1, street, 0.5, 0.95, 0.5)
    scene.scatter(PERSON, 2, 5, street | LAND, 0.25, 1.05)
    if dice.chance(0.25):
        scene.scatter(ANIMAL, 1, 2, street | LAND, 0.4, 1.0)


def coast(scene: Scene) -> None:
    """Open sea to the horizon, a beach before it or to one side, boats, bathers, huts."""
    dice, horizon = scene.dice, scene.camera.horizon
    span = 1.0 - horizon
    if dice.chance(0.6):
        scene.mountains(min(horizon, 0.45) * dice.between(0.3, 0.75))
    scene.ground(SAND)
    if dice.chance(0.45):
        low = dice.between(0.5, 0.8)
        scene.ground(GRASS, scene.edge(horizon + span * low, dice.between(-0.3, 0.3), 0.03))
    near = scene.edge(horizon + span * dice.between(0.25, 0.8), dice.side() * dice.between(0.0, 0.9) * span, 0.025)
    scene.ground(WATER, None, near)
    if dice.chance(0.5):
        scene.house(scene.spot(LAND, 0.1, 0.5, 1.5))
    scene.grove(0, 3, 0.12, 0.8)
    scene.scatter(BOAT, 1, 3, frozenset({WATER}), 0.08, 0.5, 1.0)
    scene.scatter(PERSON, 2, 4, LAND, 0.3, 1.0)
    scene.scatter(ANIMAL, 0, 2, LAND, 0.4, 1.0)


def harbour(scene: Scene) -> None:
    """Water with houses behind it, boats, and a quay or a bank in front with cars and people."""
    dice, horizon = scene.dice, scene.camera.horizon
    span = 1.0 - horizon
    _backdrop(scene, 0.65, 0.3, 0.4)
    scene.ground(GRASS if dice.chance(0.5) else SAND)
    shore = horizon + span * dice.between(0.1, 0.25)
    slope = dice.between(-0.25, 0.25)
    low = dice.between(0.55, 0.85)
    if dice.chance(0.7):
        scene.ground(ROAD, Edge(dice, horizon + span * low, slope))
        if dice.chance(0.5):
            scene.ground(GRASS, Edge(dice, horizon + span * (low + dice.between(0.2, 0.3)), slope))
    scene.ground(WATER, Edge(dice, shore), Edge(dice, horizon + span * low, slope))
    row, x = shore - 0.25 * (shore - horizon), dice.between(-0.1, 0.3)
    while x < 1.1:
        scene.house((x, row), dice.count(1, 4))
        x += dice.between(7.0, 22.0) * scene.camera.scale(row)
    scene.grove(0, 3, 0.05, 0.2)
    scene.grove(0, 2, 0.55, 0.95)
    scene.scatter(BOAT, 1, 4, frozenset({WATER}), 0.2, 0.6, 1.0)
    scene.scatter(CAR, 0, 2, frozenset({ROAD}), 0.55, 1.0, 0.8)
    scene.scatter(PERSON, 1, 3, LAND | {ROAD}, 0.55, 1.05)
