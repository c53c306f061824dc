"""The embedded scenes as data sets: rendered, not read."""

from dataclasses import dataclass
from pathlib import Path

from picie_core import scenes
from picie_core.classes import SCENES, ClassTable
from picie_core.datasets.framing import Framing
from picie_core.datasets.listing import Dataset, Listing, Loaded

FIRST = {"train": 0, "val": 1_000_000}
"""The index of each split's first scene: no scene is in both."""

COUNTS = {"train": 1000, "val": 200}
"""Scenes of a split when no limit is given; as many as one likes can be asked for."""


@dataclass(frozen=True)
class SceneItem:
    """Scene number `index` of a family, rendered at the size that is asked for."""

    family: str
    index: int

    @property
    def name(self) -> str:
        """`a-000017`"""
        return f"{self.family}-{self.index:06d}"

    def stamp(self) -> list[str | int]:
        """Family, version of the renderer and index."""
        return [self.family, scenes.VERSION, self.index]

    def load(self, size: int, frame: Framing, table: ClassTable | None) -> Loaded:
        """Renders it; the labels are exact, and no pixel is void."""
        image, label = scenes.render(self.index, size, self.family)
        return Loaded(image, label, f"scene {self.family} {scenes.VERSION} {self.index}")


def _dataset(name: str, family: str) -> Dataset:
    def list_split(root: Path, split: str, limit: int | None) -> Listing:
        first = FIRST[split]
        return Listing([SceneItem(family, first + i) for i in range(limit or COUNTS[split])], True, SCENES)

    return Dataset(name, f"rendered outdoor scenes with exact labels, family {family}", list_split)


SCENES_A = _dataset("scenes", "a")
SCENES_B = _dataset("scenes_b", "b")
