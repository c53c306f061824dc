"""Rows as `records.tidy` makes them, for tests of the tables made of them."""

import hashlib
import json

import pandas as pd

from picie_core import records


def tidy(*runs):
    """Rows of (method, dataset, seed, accuracy, mIoU) and other columns by name; other metrics under `metrics`.

    The digest is of method, data set, recipe and explicit settings unless given: as if every word counted.
    """
    rows = []
    for method, dataset, seed, accuracy, mean_iou, *more in runs:
        extra = dict(more[0]) if more else {}
        values = {"accuracy": accuracy, "mean_iou": mean_iou} | extra.pop("metrics", {})
        common = {"method": method, "dataset": dataset, "recipe": "ours", "seed": seed, "key": f"{method}{seed}",
                  "seconds": 10.0 * seed, "explicit": json.dumps({"seed": seed}), "images": "{}"} | extra  # fmt: skip
        given = {k: v for k, v in json.loads(common["explicit"]).items() if k not in records.MACHINE | {"seed"}}
        said = json.dumps([method, dataset, common["recipe"], given], sort_keys=True)
        common.setdefault("digest", hashlib.sha256(said.encode()).hexdigest()[:12])
        rows += [common | {"metric": metric, "value": value} for metric, value in values.items()]
    return pd.DataFrame(rows, columns=records.TIDY)
