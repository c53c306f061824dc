"""The light of a scene and the colours of its materials.

Every material has many palettes (seasons, kinds of stone, paints) and every scene a mood (sun, dusk, night ...) and a
white balance, so that colours vary within a class as much as they do between classes.
"""

from dataclasses import dataclass

import numpy as np

from picie_core.scenes.dice import Dice

Colour = tuple[float, float, float]
Ramp = tuple[Colour, Colour]  # the colour at tone 0, and at tone 1


def _ramps(text: str) -> tuple[Ramp, ...]:
    """'223311-88aa55 ...' -> ((dark, light), ...) in [0, 1]."""

    def colour(code: str) -> Colour:
        red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))
        return red, green, blue

    return tuple((colour(word[:6]), colour(word[7:])) for word in text.split())


# One line per material and family: "dark-light" pairs.
PALETTES: dict[str, dict[str, tuple[Ramp, ...]]] = {
    "a": {
        "grass": _ramps(
            "1f3d12-86b84a 2c4a1c-a9c45e 4d4a20-c9b96a 5b4a26-d8c38a 16321f-5f9a5c 3f4a3a-a8b0a0 6b7478-eef2f4 "
            "4a2f3c-b98aa0"
        ),
        "tree": _ramps(
            "0f2a10-5d9440 12301d-4c8a5a 3a2a08-d9a62e 3d1408-d8662a 3a0f12-b83a34 2a2a1a-8f9060 3a2430-e0a8c0 "
            "10241c-4f7a72 4a5458-e8eef0"
        ),
        "mountain": _ramps(
            "3a4250-9aa4b2 4a3a2e-b39a80 26361f-7d9660 54261a-c07a54 3c3450-9c90b8 6a7078-dde2e6 2a2a2c-8a8a88"
        ),
        "water": _ramps(
            "0f2f4f-4f8fc0 123c3c-5fb0a8 20301c-7d9060 2a3038-98a4ae 3a2c20-a88a6c 0a1626-3c5878 5a6a78-cfdbe2"
        ),
        "sand": _ramps("8a6a3c-f0d8a0 9a8a70-f4ead4 4a4440-a09890 7a3c24-d89468 5c5038-b8a880 8a8a88-e8e6e0"),
        "road": _ramps(
            "2a2a2c-707072 3c3c44-92929c 5a564e-b4aca0 4a3424-a8845c 6a6e76-c8ccd2 4a2c28-94685c 1c2024-545a60"
        ),
        "wall": _ramps(
            "6a2c20-c8765c 8a7a5c-ead8b0 5a5a5c-c4c4c4 8c8c88-f6f4ee 3a4a5c-90a8c0 7a5a1c-e4b850 3a5038-9cb48c "
            "3c2a20-94704e 6a3a4a-d898a4"
        ),
        "roof": _ramps("4a1c14-a85840 2a2c30-70747c 3a281c-8a6444 1c3028-5a8070 5a5a58-aaa8a4"),
        "bark": _ramps("2a1c12-6a4c34 3a3632-8a8278 1a1612-4a4036 6a665c-d8d4c8"),
        "paint": _ramps(
            "8a1010-e03028 101c60-3058c0 b0b0b0-fafafa 101012-48484c 6a6c70-c0c4c8 7a5a08-f0c020 0c4020-38905c "
            "5a2a10-c07038 20505a-60b0b8"
        ),
        "cloth": _ramps(
            "901818-e04840 182878-4878d0 a8a8a0-fafaf4 141416-505056 806008-f0c838 185030-50a870 602060-b060b0 "
            "5a3c24-ac7c50 705868-d8a8b8"
        ),
        "hide": _ramps("2a1810-7a4a2c 141210-4c4844 8a7a68-f4ece0 6a3c1c-c88a50 4a4644-9c9894"),
        "skin": _ramps("a06a48-f0c4a0 6a3c24-b07850 3a2014-7a4c34 b08468-fcdcc4"),
    },
    "b": {
        "grass": _ramps(
            "2a5a3a-9cd08a 505c14-d8d870 6a5030-c8a070 284844-7cb0a0 5a6a30-d0e0a8 7a6c60-e0d8cc 5c2c20-c07850"
        ),
        "tree": _ramps(
            "08201c-3c7468 1c2c08-7c9830 402c14-b08040 281c30-886c98 3a4a50-b8ccd4 4a1c08-c05c20 1a3a1a-88c070"
        ),
        "mountain": _ramps("5c3828-d8a078 304448-90b4b8 5a5040-c4b890 403040-a48ca0 202c38-6c8498 74706c-f0ece8"),
        "water": _ramps("083c48-48b4b8 1c2450-6478c8 3c3c30-b0ac88 404850-b8c4cc 50281c-c08860 102018-4c7860"),
        "sand": _ramps("5c5048-c8b8a8 6c3030-d89888 3c4448-98a4a8 80745c-e4dcc0 a08c68-fcf0d0"),
        "road": _ramps("383430-8c847c 4c4450-a498a8 60584c-c4b498 2c3438-748088 6c5040-bc9878 787c80-d4d8d8"),
        "wall": _ramps(
            "3c5c6c-a8ccd8 7c3c2c-d88c70 94846c-f4e4c4 4c4c48-a8a8a0 5c3c64-b898c0 707c50-d0dca8 8c5c20-e8b468 "
            "a0a0a0-fcfcfc"
        ),
        "roof": _ramps("243c50-6c90a8 5c3018-b87848 303034-7c7c84 6c2028-c06068 46503c-98a488"),
        "bark": _ramps("3c2c24-846c5c 24201c-5c544c 58504c-b4aca4 302014-745438"),
        "paint": _ramps(
            "a03c08-f88838 0c4850-38a8b8 b8b0a0-fcf8e8 24242c-64646c 581848-b850a0 385010-98c038 101c40-405c98 "
            "80848c-d0d4dc 781c1c-c85050"
        ),
        "cloth": _ramps(
            "a84010-f89048 105860-40b0b8 b0a890-f8f0dc 1c1820-58505c 6c1c40-d06090 485c14-a8c850 302870-8078d0 "
            "6c6c70-bcbcc4"
        ),
        "hide": _ramps("3c2414-986840 7c7064-ece0d0 1c1818-5c5450 805028-d8a068 585450-aca8a4"),
        "skin": _ramps("a06a48-f0c4a0 6a3c24-b07850 3a2014-7a4c34 b08468-fcdcc4"),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Mood:
    """The light of one scene: what it multiplies materials by, the sky's two colours, and how air and shade look."""

    name: str
    light: Colour
    zenith: Colour
    horizon: Colour
    shade: float  # contrast between lit and shaded sides, 0 (none) to 1
    haze: float  # share of the horizon's colour that a distance of 1 km adds
    sun: float  # where the light comes from: -1 left, 1 right
    clouds: float  # 0 (clear) to 1 (closed)
    gain: Colour  # white balance and exposure
    contrast: float

    @property
    def dark(self) -> bool:
        """Whether windows, lamps and stars are lit."""
        return self.name in ("night", "dusk")

    def lit(self, ramp: Ramp, distance: float = 0.0) -> Ramp:
        """The ramp under this light, seen through `distance` metres of air."""
        veil = float(self.veil(distance))
        sight = 1.0 - veil

        def seen(end: Colour) -> Colour:
            red, green, blue = (
                v * light * sight + far * veil for v, light, far in zip(end, self.light, self.horizon, strict=True)
            )
            return red, green, blue

        return seen(ramp[0]), seen(ramp[1])

    def veil(self, distance: float | np.ndarray) -> float | np.ndarray:
        """The share of the horizon's colour that hides what is `distance` metres away, in [0, 0.8)."""
        thick = distance * (self.haze / 1000.0)
        return 0.8 * thick / (1.0 + thick)


# name: weight, light, skies (zenith-horizon), shade, haze, most clouds
_MOODS: dict[str, tuple[float, str, str, float, float, float]] = {
    "sunny": (4.0, "fffaec", "2f6fc0-b8d8f0 4a90d8-dcecf4 1f58a8-90bce4", 1.0, 1.2, 0.7),
    "golden": (2.0, "ffd09a", "5878a8-f4d8a4 8c88a8-ffcc94 4c6a94-f8b478", 1.0, 2.2, 0.8),
    "overcast": (2.5, "c4c8cc", "8c949c-d0d4d8 a8b0b4-e8eaea 6c7884-b0bac0", 0.2, 2.5, 1.0),
    "mist": (1.2, "ccd0d0", "b8c0c0-dde2e0 c8c4b8-ece6da", 0.15, 9.0, 0.4),
    "storm": (1.0, "949ca0", "3c4650-8c9894 485058-a8a48c", 0.4, 2.0, 1.0),
    "dusk": (1.6, "ac8890", "3c3c70-e08c60 503868-f0a07c 28305c-b86c84", 0.6, 2.0, 0.8),
    "night": (1.2, "6c7ca8", "0a1024-283450 060a18-1c2438 14183c-404468", 0.5, 1.5, 0.6),
}


def mood(dice: Dice) -> Mood:
    """Draw the light of a scene."""
    name = dice.pick(list(_MOODS), [row[0] for row in _MOODS.values()])
    _, light, skies, shade, haze, clouds = _MOODS[name]
    zenith, horizon = dice.pick(_ramps(skies))
    exposure = dice.between(0.82, 1.18)
    warm, green = dice.between(-0.1, 0.1), dice.between(-0.05, 0.05)
    return Mood(
        name=name,
        light=_ramps(f"{light}-{light}")[0][0],
        zenith=zenith,
        horizon=horizon,
        shade=shade,
        haze=haze * dice.between(0.5, 1.5),
        sun=dice.side() * dice.between(0.5, 1.0),
        clouds=clouds * dice.unit(),
        gain=(exposure * (1.0 + warm), exposure * (1.0 + green), exposure * (1.0 - warm)),
        contrast=dice.between(0.85, 1.15),
    )


def material(dice: Dice, family: str, name: str) -> Ramp:
    """Draw one palette of a material, its brightness and tint a little changed."""
    bright = dice.between(0.8, 1.15)
    red, green, blue = (bright * dice.between(0.9, 1.1) for _ in range(3))
    dark, light = dice.pick(PALETTES[family][name])
    return (dark[0] * red, dark[1] * green, dark[2] * blue), (light[0] * red, light[1] * green, light[2] * blue)
