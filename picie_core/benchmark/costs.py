"""What a run would cost on more images and more devices, from the time that one image takes on one.

    hours = epochs * images * ms / (3.6e6 * devices * efficiency)

holds as long as an image costs the same in a large set as in a small one (`growth` measures it), and as long as the
devices lose only the share 1 - efficiency to waiting for each other.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

GFLOP = 75.0
"""Of an image and epoch at 320 x 320: about ten forwards of 7.6 GFLOP (a training step counts as three)."""


def estimate(peak: float, share: float, image_size: int = 320) -> float:
    """ms an image and epoch of a device that nobody has timed: operations over the share of its peak that is used.

    Args:
        peak: TFLOP/s.
        share: of the peak, 0 to 1.
        image_size: side in pixels; operations grow with its square.
    """
    return GFLOP * (image_size / 320) ** 2 / (peak * share)


def scaled(ms: float, measured_size: int, image_size: int) -> float:
    """ms an image at another size, as its pixels: a convolution's cost."""
    return ms * (image_size / measured_size) ** 2


def projected(
    images: int,
    ms: float,
    devices: Sequence[int],
    epochs: int = 10,
    image_size: int = 320,
    price: float = 0.0,
    efficiency: float = 1.0,
    clusterings: int = 2,
    bytes_a_label: int = 1,
) -> pd.DataFrame:
    """Time, money, memory and disk of a run.

    Args:
        images: of the training split.
        ms: an image and epoch, on one device.
        devices: how many, each a row.
        epochs: of the run.
        image_size: side in pixels, stored and used.
        price: of a device and hour.
        efficiency: share of the devices' time that is not spent waiting, where there are several.
        clusterings: whose pseudo-labels are kept: PiCIE 2, PiCIE+H 4.
        bytes_a_label: 1 up to 256 clusters, else 2.

    Returns:
        By number of devices: hours, price, GB of pseudo-labels of each device (in its own memory where that has room,
        else in its host's), GB on disk (prepared images), and GB/s that the disk must give where neither images nor
        views fit into memory (four passes an epoch).
    """
    rows: list[dict[str, Any]] = []
    picture = image_size**2 * 3
    for count in devices:
        seconds = epochs * images * ms / 1000 / (count * (efficiency if count > 1 else 1.0))
        labels = clusterings * bytes_a_label * images * (image_size / 4) ** 2 / count
        rows.append(
            {
                "devices": count,
                "hours": seconds / 3600,
                "price": seconds / 3600 * count * price,
                "labels (GB a device)": labels / 1e9,
                "disk (GB)": images * picture / 1e9,
                "reading (GB/s)": 4 * epochs * images * picture / 1e9 / seconds,
            }
        )
    return pd.DataFrame(rows).set_index("devices")
