"""The classes of the scenes, in the order of their label ids, and a colour for each."""

import numpy as np

CLASS_NAMES: tuple[str, ...] = (
    "sky", "mountain", "tree", "grass", "water", "sand", "road", "building", "car", "person", "animal", "boat",
)  # fmt: skip
SKY, MOUNTAIN, TREE, GRASS, WATER, SAND, ROAD, BUILDING, CAR, PERSON, ANIMAL, BOAT = range(12)
THINGS: frozenset[int] = frozenset({CAR, PERSON, ANIMAL, BOAT})

# Chosen so that neighbours in scenes differ in lightness as well as in hue, which colour-blind readers see too.
CLASS_COLORS: np.ndarray = np.array(
    [
        (170, 214, 245),  # sky: pale blue
        (122, 98, 150),  # mountain: violet
        (10, 92, 60),  # tree: dark green
        (152, 200, 80),  # grass: light green
        (20, 90, 180),  # water: strong blue
        (245, 222, 150),  # sand: cream
        (80, 80, 86),  # road: dark grey
        (190, 150, 130),  # building: clay
        (214, 48, 39),  # car: red
        (250, 150, 30),  # person: orange
        (110, 50, 20),  # animal: brown
        (240, 90, 190),  # boat: pink
    ],
    dtype=np.uint8,
)
CLASS_COLORS.setflags(write=False)
