"""Every data set that can be prepared, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from picie_core import suggestions
from picie_core.datasets import camvid, cityscapes, closeups, coco, folder, rendered, voc
from picie_core.datasets.listing import Dataset
from picie_core.datasets.problems import DataError

DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {
        dataset.name: dataset
        for dataset in (
            rendered.SCENES_A,
            rendered.SCENES_B,
            closeups.DATASET,
            camvid.DATASET,
            coco.COCO27_DATASET,
            coco.COCO_STUFF15_DATASET,
            coco.COCO81_DATASET,
            cityscapes.AUTHORS,
            cityscapes.STANDARD,
            voc.VOC2012,
            voc.VOC2007,
            folder.DATASET,
        )
    }
)
"""name -> Dataset"""


def find(name: str) -> Dataset:
    """The data set of a name.

    Raises:
        DataError: there is none; the message suggests the nearest.
    """
    if name not in DATASETS:
        raise DataError(f"no data set is called {name!r}: {suggestions.nearest(name, DATASETS)}")
    return DATASETS[name]
