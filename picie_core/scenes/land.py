"""Stuff that fills the scene: sky, mountains, hills and forests, ground, water, roads."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from picie_core.scenes.canvas import Camera, Canvas, flat, mix
from picie_core.scenes.labels import GRASS, MOUNTAIN, ROAD, SKY, TREE, WATER
from picie_core.scenes.light import Ramp
from picie_core.scenes.shapes import Edge, disc

_WHITE = (1.0, 1.0, 1.0)


def logarithm(t: np.ndarray) -> np.ndarray:
    """The natural logarithm by ten square roots, which IEEE rounds exactly; a library's own log differs by platform."""
    t = np.asarray(t, np.float64)
    for _ in range(10):
        t = np.sqrt(t)
    return ((t - 1.0) * 1024.0).astype(np.float32)


@dataclass(frozen=True)
class Sky:
    """A gradient from zenith to horizon, clouds, the sun or moon, and stars at night."""

    shift: float
    spread: float  # size of the clouds
    sun: tuple[float, float, float]  # x, y, radius
    stars: tuple[tuple[float, float, float], ...]

    row = -9.0

    def paint(self, canvas: Canvas) -> None:
        mood, horizon = canvas.mood, canvas.camera.horizon
        window = canvas.strip(0.0, horizon + 0.02)
        height = np.minimum(np.maximum(1.0 - window.y / horizon, 0.0), 1.0)
        canvas.rgb[:, window.rows] = mix((mood.horizon, mood.zenith), height)
        canvas.label[window.rows] = SKY
        if mood.name == "night":
            for x, y, radius in self.stars:
                star = canvas.window(x - 2 * radius, y - 2 * radius, x + 2 * radius, y + 2 * radius)
                if star is not None and y < horizon:
                    canvas.blend(star, 0.9 * canvas.alpha(disc(x, y, radius)(star.x, star.y)), flat(_WHITE))
        x, y, radius = self.sun
        disc_depth = disc(x, y, radius)(window.x, window.y)
        glow = np.maximum(1.0 + disc_depth * 3.0, 0.0)
        if mood.clouds < 0.6:
            canvas.blend(window, 0.35 * mood.shade * glow * glow, flat(mood.light if mood.name != "night" else _WHITE))
            canvas.blend(window, mood.shade * canvas.alpha(disc_depth), flat((1.0, 0.97, 0.86)))
        far = 1.0 / (0.25 + height)
        u, v = (window.x - 0.5) * (self.spread * far) + self.shift, far * (self.spread * 1.2)
        tone = canvas.tones("cloud", u, v, self.spread * far)
        cover = np.minimum(np.maximum(tone - (0.75 - 0.75 * mood.clouds), 0.0) * 1.8, 1.0)
        cover = cover * np.minimum(height * 6.0, 1.0)
        bright = (0.3, 0.33, 0.42)
        if mood.name != "night":
            bright = (0.45 + 0.55 * mood.light[0], 0.45 + 0.55 * mood.light[1], 0.45 + 0.55 * mood.light[2])
        red, green, blue = (0.55 * b + 0.3 * z for b, z in zip(bright, mood.zenith, strict=True))
        dark = (red, green, blue)
        canvas.blend(window, 0.9 * cover, mix((bright, dark), np.maximum(tone - 0.45, 0.0) * (1.2 * mood.clouds)))


@dataclass(frozen=True)
class Mountain:
    """A ridge with facets of rock, its slopes lit from one side, snow above the snow line."""

    ridge: Edge
    top: float
    colours: Ramp
    snow: float  # y above which snow lies, below 0 for none
    far: float  # metres, for haze
    shift: float
    row: float

    def paint(self, canvas: Canvas) -> None:
        window = canvas.window(0, self.top, 1, canvas.camera.horizon + 0.03)
        if window is None:
            return
        ridge = self.ridge(window.x)
        depth = window.y - ridge
        slope = (self.ridge(window.x + 0.015) - self.ridge(window.x - 0.015)) * (12.0 * canvas.mood.sun)
        u = window.x * 1.9 + depth * (0.7 * canvas.mood.sun)
        tone = canvas.tones("rock", u + self.shift, window.y * 1.9, 2.4)
        shade = 1.0 - 0.35 * canvas.mood.shade * np.minimum(np.maximum(0.4 - slope, 0.0), 1.0)
        colour = mix(canvas.mood.lit(self.colours, self.far), tone * shade)
        if self.snow > 0:
            white = np.minimum(np.maximum((self.snow - window.y) * 30.0 + 5.0 * (tone - 0.5), 0.0), 1.0)
            snow = canvas.mood.lit(((0.45, 0.5, 0.62), (1.0, 1.0, 1.05)), self.far)
            colour = colour + white * (mix(snow, tone * shade) - colour)
        canvas.paint(window, np.minimum(depth, canvas.camera.horizon + 0.03 - window.y), colour, MOUNTAIN)


@dataclass(frozen=True)
class Rise:
    """A far strip of a hill (grass) or a forest (tree) that stands against the sky."""

    edge: Edge
    top: float
    label: int
    colours: Ramp
    grain: float  # tiles of texture per picture
    far: float
    shift: float
    row: float

    def paint(self, canvas: Canvas) -> None:
        base = canvas.camera.horizon + 0.015
        window = canvas.window(0, self.top, 1, base)
        if window is None:
            return
        name = "leaves" if self.label == TREE else "grass"
        u, v = window.x * self.grain + self.shift, window.y * self.grain
        tone = canvas.tones(name, u, v, self.grain)
        depth = window.y - self.edge(window.x)
        if self.label == TREE:
            depth = depth + 0.035 * (canvas.tones("leaves", u * 0.5, v * 0.5, 0.0) - 0.4)
        light = 0.8 + 0.2 * np.minimum(depth * 12.0, 1.0) if self.label == GRASS else 1.0
        colour = mix(canvas.mood.lit(self.colours, self.far), tone * light)
        canvas.paint(window, np.minimum(depth, base - window.y), colour, self.label)


@dataclass(frozen=True)
class Ground:
    """A part of the flat ground between a far and a near edge; its texture recedes with the distance."""

    label: int
    texture: str
    colours: Ramp
    far: Edge | None
    near: Edge | None
    grain: float  # metres per tile
    patches: float  # how strongly the light and dark of large patches differ
    shift: float
    row: float

    def holds(self, x: Any, y: Any, camera: Camera) -> Any:
        """Depth of (x, y) inside this part of the ground."""
        depth = y - (self.far(x) if self.far else camera.horizon) + 0.0 * x
        return np.minimum(depth, self.near(x) - y) if self.near else depth

    def paint(self, canvas: Canvas) -> None:
        camera = canvas.camera
        window = canvas.strip(camera.horizon)
        depth = self.holds(window.x, window.y, camera)
        cropped = canvas.crop(window, depth)
        if cropped is None:
            return
        window, depth = cropped[0], depth[cropped[1]]
        tone = recede(canvas, window, self.texture, self.grain, self.shift)
        if self.patches:
            large = recede(canvas, window, "cloud", self.grain * 7.0, self.shift)
            tone = tone + self.patches * (large - 0.4)
        colour = self.colour(canvas, window, tone)
        canvas.paint(window, depth, colour, self.label)
        if self.label == WATER and self.near:
            foam = np.maximum(1.0 - np.abs(depth - 0.004) * 160.0, 0.0)
            near = depth < self.near(window.x) - window.y + 0.001
            canvas.blend(window, 0.55 * (foam * near) * (depth > 0), flat(canvas.mood.lit((_WHITE, _WHITE))[0]))

    def colour(self, canvas: Canvas, window: Any, tone: np.ndarray) -> np.ndarray:
        """The lit colours of the ground; water also shows what stands beyond it, upside down."""
        mood, camera = canvas.mood, canvas.camera
        colour = mix(mood.lit(self.colours), tone)
        veil = mood.veil(camera.height / np.maximum(window.y - camera.horizon, 0.002))
        if self.label == WATER:
            shore = self.far(window.x) if self.far else camera.horizon
            below = np.maximum(window.y - shore, 0.0)
            source = shore - 0.9 * below - (tone - 0.5) * (0.12 * below + 0.01)
            line = (np.maximum(source, 0.0) * canvas.size).astype(np.int64)
            place = np.minimum(line, canvas.size - 1) * canvas.size + np.arange(canvas.size)[window.columns]
            mirror = canvas.rgb.reshape(3, -1).take(place, axis=1)
            share = 0.62 - 0.3 * np.minimum(below * 2.0, 1.0)
            colour = colour + share * (mirror * (0.75 + 0.5 * (tone - 0.4)) - colour)
        return colour + veil * (flat(mood.horizon) - colour)


def recede(canvas: Canvas, window: Any, name: str, grain: float, shift: float) -> np.ndarray:
    """A texture lying on the ground: equal in shape everywhere, smaller in proportion to the distance."""
    below = np.maximum(window.y - canvas.camera.horizon, 0.004)
    tiles = canvas.camera.height / grain
    u = (window.x - 0.5) * (tiles / below) + (shift + 0.5)
    return canvas.tones(name, u, logarithm(below) * tiles + shift, tiles / below)


@dataclass(frozen=True)
class Road:
    """A road that runs away from the camera: to a point on the horizon, with a bend."""

    foot: float  # x at the lower rim
    head: float  # x at the horizon
    bend: float
    half: float  # metres from the middle to the rim
    colours: Ramp
    marks: int  # 0 none, 1 dashed middle, 2 rims too
    shift: float
    row: float
    label = ROAD

    def middle(self, y: Any, camera: Camera) -> Any:
        """x of the road's middle on row y."""
        t = (y - camera.horizon) * (1.0 / (1.0 - camera.horizon))
        return self.head + (self.foot - self.head) * t + self.bend * t * (1.0 - t)

    def holds(self, x: Any, y: Any, camera: Camera) -> Any:
        """Depth of (x, y) inside the road."""
        return (y - camera.horizon) * (self.half / camera.height) - np.abs(x - self.middle(y, camera))

    def paint(self, canvas: Canvas) -> None:
        camera = canvas.camera
        window = canvas.strip(camera.horizon)
        depth = np.minimum(self.holds(window.x, window.y, camera), window.y - camera.horizon)
        cropped = canvas.crop(window, depth)
        if cropped is None:
            return
        window, depth = cropped[0], depth[cropped[1]]
        below = np.maximum(window.y - camera.horizon, 0.004)
        colour = mix(canvas.mood.lit(self.colours), recede(canvas, window, "road", 2.6, self.shift))
        veil = canvas.mood.veil(camera.height / below)
        canvas.paint(window, depth, colour + veil * (flat(canvas.mood.horizon) - colour), self.label)
        white = flat(canvas.mood.lit(((0.9, 0.9, 0.82), _WHITE))[0])
        metre = below / camera.height
        aside = np.abs(window.x - self.middle(window.y, camera))
        if self.marks >= 1:
            along = camera.height / below / 5.0 + self.shift
            dash = (along - np.floor(along) < 0.5) & (below > 0.02)
            canvas.blend(window, 0.8 * dash * canvas.alpha(0.09 * metre - aside), white)
        if self.marks >= 2:
            rim = np.abs(aside - (self.half - 0.35) * metre)
            canvas.blend(window, 0.8 * (below > 0.02) * canvas.alpha(0.08 * metre - rim), white)


@dataclass(frozen=True)
class Crossing(Ground):
    """A road from left to right, with a dashed middle line."""

    def paint(self, canvas: Canvas) -> None:
        super().paint(canvas)
        assert self.far is not None, "a crossing has a far rim"
        assert self.near is not None, "a crossing has a near rim"
        window = canvas.strip(canvas.camera.horizon)
        far, near = self.far(window.x), self.near(window.x)
        middle = far + (near - far) * 0.45
        along = window.x * (2.2 / (canvas.camera.scale(float(self.near.y)) * 4.0)) + self.shift
        line = 0.022 * (near - far) - np.abs(window.y - middle)
        white = flat(canvas.mood.lit(((0.9, 0.9, 0.82), _WHITE))[0])
        canvas.blend(window, 0.8 * (along - np.floor(along) < 0.55) * canvas.alpha(line), white)


Zone = Ground | Road
