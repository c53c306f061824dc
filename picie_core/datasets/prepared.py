"""`Prepared`: a split as arrays. What everything after `datasets` sees of a data set."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from picie_core.classes import ClassTable
from picie_core.datasets import shards
from picie_core.datasets.problems import AllVoid, DataError, Unlabelled

MANIFEST = "manifest.json"
FORMAT = 1
"""Of the folder. A change of it prepares everything anew."""


@dataclass(frozen=True)
class Prepared:
    """A split of a data set, prepared: read-only, memory-mapped.

    Attributes:
        folder: where the arrays and the manifest lie.
        manifest: source, counts, sizes, checksums, settings, class frequencies, what was left out.
        images: uint8 (N, size, size, 3), RGB; `images[i]`, `images[a:b]`, `images[[i, j]]`.
        labels: uint8 (N, size, size), class indices and 255 for void; None for unlabelled splits.
        classes: what the class indices mean; None where the data set has no classes.
    """

    folder: Path
    manifest: dict[str, Any]
    images: shards.ShardedArray
    labels: shards.ShardedArray | None
    classes: ClassTable | None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def fingerprint(self) -> str:
        """Digest of what the arrays were made from and how: 64 hexadecimal digits.

        It depends on the content of the source files in their order (of scenes: family, version and numbers), on the
        size and framing, on which label ids are which class, and on the version of the preparation; not on where the
        files lie, what they are called or when they were changed.
        """
        return self.manifest["fingerprint"]

    @cached_property
    def names(self) -> list[str]:
        """The images' names, in the order of the arrays."""
        return [name for record in self.manifest["shards"] for name in read_record(self.folder, record)["names"]]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """A folder that `prepare` has finished.

        What is checked each time: the manifest is there and of this format; every shard is there, has its recorded
        length, and begins with the header of the recorded shape. Content is not read again: `verify` does that.

        Raises:
            DataError: one of these does not hold.
        """
        found = fault(folder)
        if found:
            raise DataError(f"{found}: prepare the data set again, which repairs the folder")
        manifest = _manifest(folder)
        size = manifest["settings"]["size"]
        parts = [record for record in manifest["shards"] if record["images"]]
        return cls(
            folder=folder,
            manifest=manifest,
            images=shards.ShardedArray([folder / p["images"]["file"] for p in parts], (size, size, 3)),
            labels=shards.ShardedArray([folder / p["labels"]["file"] for p in parts], (size, size))
            if manifest["labelled"]
            else None,
            classes=ClassTable.from_dict(manifest["classes"]) if manifest["classes"] else None,
        )

    def need_classes(self) -> int:
        """How many classes its labels are of; 0 without labels.

        Raises:
            AllVoid: there are labels, and every pixel of them is void.
        """
        classes = (self.manifest["frequencies"] or [])[:-1]  # the last is void
        if classes and not any(entry["pixels"] for entry in classes):
            raise AllVoid(self._name, len(self))
        return len(classes)

    def need_labels(self) -> tuple[shards.ShardedArray, ClassTable]:
        """The labels and what they mean, for what cannot be made without.

        Raises:
            Unlabelled: there are none.
        """
        if self.labels is None or self.classes is None:
            raise Unlabelled(f"the split in {self.folder}", "there is nothing to compare the clusters with")
        return self.labels, self.classes

    def need_things_and_stuff(self) -> None:
        """For what tells objects from their background.

        Raises:
            Unlabelled: there are no labels; DataError: their classes are all things, or all stuff.
        """
        _, classes = self.need_labels()
        things = len(classes.things)
        if not 0 < things < len(classes):
            raise DataError(
                f"{self._name}: {things} of its {len(classes)} classes are things, and both things and stuff are "
                "needed: say in the column kind of classes.csv which is which, or give a data set that has both"
            )

    @property
    def _name(self) -> str:
        return f"{self.manifest['dataset']}, split {self.manifest['split']}"

    def verify(self) -> None:
        """Reads every array again and compares its SHA-256 with the manifest's.

        Raises:
            DataError: the first file that differs.
        """
        for part in self.manifest["shards"]:
            for record in (part["images"], part["labels"]):
                if record and shards.sha256(self.folder / record["file"]) != record["sha256"]:
                    raise DataError(f"{self.folder / record['file']} has changed since it was prepared: delete it and "
                                    "prepare the data set again, which makes it anew")  # fmt: skip


def fault(folder: Path) -> str | None:
    """What keeps a folder from being opened; None if nothing does."""
    try:
        manifest = _manifest(folder)
    except (FileNotFoundError, NotADirectoryError):
        return f"{folder / MANIFEST} is not there (preparing has not finished)"
    except ValueError as error:
        return f"{folder / MANIFEST} cannot be read ({error})"
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        return f"{folder / MANIFEST} is of format {found}, expected {FORMAT}"
    return next(filter(None, (shard_fault(folder, p, manifest["settings"]["size"]) for p in manifest["shards"])), None)


def shard_fault(folder: Path, part: dict[str, Any], size: int) -> str | None:
    """What is wrong with the files of one shard; None if nothing is."""
    found = None if (folder / part["record"]).exists() else f"{folder / part['record']} is not there"
    if part["images"]:
        found = found or shards.fault(folder, part["images"], (size, size, 3))
    if part["labels"]:
        found = found or shards.fault(folder, part["labels"], (size, size))
    return found


def read_record(folder: Path, part: dict[str, Any]) -> dict[str, Any]:
    """The record beside a shard: the names and digests of its images."""
    return json.loads((folder / part["record"]).read_text(encoding="utf-8"))


def _manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
