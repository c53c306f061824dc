"""Data sets as arrays: `prepare(name, root=..., split=..., size=...)` returns a `Prepared`.

Each family of data sets has a file that says how its splits are found in a folder (`camvid`, `coco`, `cityscapes`,
`voc`, `folder`) or rendered (`rendered`); `decoding` and `framing` make squares of what they find; `making` writes
them as shards; `preparing` puts it together.
"""

from picie_core.datasets.prepared import Prepared
from picie_core.datasets.preparing import prepare
from picie_core.datasets.problems import BadImages, DataError
from picie_core.datasets.registry import DATASETS

__all__ = ["DATASETS", "BadImages", "DataError", "Prepared", "prepare"]
