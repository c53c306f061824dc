"""Where a setting's value comes from when nobody gives one: the data set's, the recipe's and the scale's tables.

Precedence: explicit value > `OF_METHOD` > `DATASETS` > `RECIPES` (and `FACTORS`) > `SCALES` > the field's default in
`Settings`.

A recipe fixes every point where the paper and the authors' release differ:

- `paper` follows the paper's text and supplement; where they are silent, the release, but for two points: crops are
  rounded so that both views agree [15], and clustering is in training mode [13], as the release's pinned commit has it;
- `release` follows the authors' public code at commit c3aa029, the defects of its training included, but for one point:
  `kmeans_batchnorm`, with which older commits (07cc8ff, 2b9f21e) reach the authors' scores on CamVid and the pinned one
  did not here [13]. The defects of its scoring [1, 6] and of its Cityscapes reader [7] are not reproduced;
- `ours` is the paper's with other values, chosen on the labels of training splits and on scenes
  (`reports/development.md` has what was tried, and which were not measured).

All three keep the first k-means to `kmeans_memory` (1 GB), where the paper and the release take every pixel: at
`scale="full"` that is a sample of 3 % of them; `kmeans_memory=None` takes all (16 to 21 GB on COCO).
"""

from collections.abc import Mapping
from typing import Any

from picie_core import classes
from picie_core.settings.methods import OBJECTS

Values = Mapping[str, Any]

RECIPES: Mapping[str, Values] = {
    "paper": {
        "learning_rate": 1e-3,
        "kmeans_init_batches": 50,
        "kmeans_update_batches": 20,
        "kmeans_batchnorm": "batch",
        "balance": "inverse",
        "grayscale_probability": 0.2,
        "blur_rule": "independent",
        "crop_rounding": "exact",
        "fpn": "direct",
        "label_rule": "euclidean",
        "logit_rule": "cosine",
        "temperature": 1.0,
    },
    "release": {
        "learning_rate": 1e-4,
        "kmeans_init_batches": 20,
        "kmeans_update_batches": 1,
        # Its code has had both; with "batch" its own scores on CamVid are not reached (reports/development.md)
        "kmeans_batchnorm": "running",
        "balance": "proportional",
        "grayscale_probability": 0.0,
        "blur_rule": "tied",
        "crop_rounding": "grid",
        "fpn": "cascade",
        "label_rule": "euclidean",
        "logit_rule": "inner",
        "temperature": 1.0,
    },
    "ours": {
        "learning_rate": 1e-3,
        "kmeans_init_batches": 50,
        "kmeans_points": 4096,
        "kmeans_update_batches": 20,
        "kmeans_batchnorm": "batch",
        "balance": "inverse",
        # SimCLR's jitter (Chen et al. 2020): with the paper's 0.3, 0.3, 0.3, 0.1 light and shade decide the clusters
        "brightness": 0.8,
        "contrast": 0.8,
        "saturation": 0.8,
        "hue": 0.2,
        "grayscale_probability": 0.2,
        "blur_rule": "independent",
        "crop_rounding": "exact",
        "fpn": "direct",
        "label_rule": "euclidean",
        "logit_rule": "cosine",
        "temperature": 1.0,
    },
}

# What a method has of its own, whatever the recipe. (PiCIE's release holds neither IIC nor supervised training.)
OF_METHOD: Mapping[str, dict[str, Any]] = {
    "deepcluster": {"classifier": "parametric"},  # Table 1: "Linear"
    "iic": {  # IIC's own preprocessing and rate, which paper and supplement keep for it
        "learning_rate": 1e-4,
        "brightness": 0.4,
        "contrast": 0.4,
        "saturation": 0.4,
        "hue": 0.125,
        "jitter_probability": 1.0,
        "grayscale_probability": 0.0,
        "blur_probability": 0.0,
        "flip_probability": 0.5,
    },
    "supervised": {"learning_rate": 1e-3},  # supplement S1, for every supervised training
    "pseudomasks": {"pretext": "hog"},
    "comus": {  # self-training sees crops of 0.5 to 2 times the image's area, of which those above 1 are given up
        "pretext": "hog",
        "photometric": False,
        "crop_min_side": 0.7,
    },
}

# What those of `OBJECTS` have of their own on a data set (COMUS, Table 11, but for its sizes, batches and iterations).
_SMALL = {"comus_network": "fpn", "comus_learning_rate": 1e-3, "comus_crop_size": 96}
_PUBLISHED = {"pretext": "dino", "comus_saliency": "basnet", "comus_scaling": "batch", "comus_threshold": 0.5}
OBJECTS_ON: Mapping[str, Values] = {
    "scenes": _SMALL,
    "scenes_b": _SMALL,
    "closeups": _SMALL,
    "coco81": _PUBLISHED | {"comus_epochs": 1, "crop_min_side": 0.45},
    "voc21": _PUBLISHED | {"comus_later_split": "trainaug"},
    "voc21_2007": _PUBLISHED,
}

# A recipe's values that are multiples of another setting: name -> (of which setting, factor of each recipe).
FACTORS: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "base_size": ("image_size", {"paper": 1, "release": 2, "ours": 2}),
    "kmeans_batch_size": ("batch_size", {"paper": 1, "release": 2, "ours": 1}),
}

# Sizes, epochs and counts only. `full` is the paper's COCO and Cityscapes setting.
SCALES: Mapping[str, Values] = {
    "small": {"image_size": 128, "batch_size": 16, "epochs": 4, "train_images": None, "val_images": None},
    "full": {"image_size": 320, "batch_size": 128, "epochs": 10, "train_images": None, "val_images": None},
}

_SCENES = {
    "num_clusters": 12,
    "pretrained": False,
    "image_size": 96,
    "epochs": 4,
    "train_images": 320,
    "val_images": 80,
}

DATASETS: Mapping[str, Values] = {
    "scenes": _SCENES,
    "scenes_b": _SCENES,
    "closeups": _SCENES,
    "camvid": {"num_clusters": 11},
    "coco27": {"num_clusters": 27},
    "coco_stuff15": {"num_clusters": 15, "image_size": 128, "pretrained": False, "epochs": 20},  # Table 4
    "coco81": {"num_clusters": 81},
    "cityscapes27": {"num_clusters": 27, "learning_rate": 1e-3},  # the release's script too keeps the paper's rate here
    "cityscapes27_standard": {"num_clusters": 27, "learning_rate": 1e-3},
    "voc21": {"num_clusters": 21},
    "voc21_2007": {"num_clusters": 21},
    "folder": {"num_clusters": 12},
}


def resolve(values: Values, defaults: Values) -> tuple[dict[str, Any], dict[str, str]]:
    """What was given, completed by the tables.

    Args:
        values: what the caller gave; its `dataset` is one of `DATASETS`.
        defaults: name -> default of every setting, the four axes among them.

    Returns:
        name -> value, in the order of `defaults`, and name -> where it came from: `explicit`, `method iic`,
        `dataset camvid`, `recipe paper`, `scale small` or `default`.
    """
    axes = ("method", "recipe", "scale", "dataset")
    method, recipe, scale, dataset = (str(values.get(axis, defaults[axis])) for axis in axes)
    layers: list[tuple[str, Values]] = [
        ("explicit", values),
        (f"method {method}", of_method(method, dataset)),
        (f"dataset {dataset}", DATASETS[dataset]),
        (f"recipe {recipe}", RECIPES.get(recipe, {})),
        (f"scale {scale}", SCALES.get(scale, {})),
        ("default", defaults),
    ]
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        for name, value in layer.items():
            if name not in merged:
                merged[name], sources[name] = value, source
    for name, (base, factors) in FACTORS.items():
        if sources[name] == "default" and recipe in factors and str(merged[base]).removesuffix(".0").isdigit():
            merged[name], sources[name] = int(float(merged[base])) * factors[recipe], f"recipe {recipe}"
    return {name: merged[name] for name in defaults}, sources


def of_method(method: str, dataset: str) -> dict[str, Any]:
    """The values that a method has of its own on a data set, which stand above the data set's and the recipe's."""
    if method not in OBJECTS:
        return OF_METHOD.get(method, {})
    things = len(classes.TABLES[dataset].things) if dataset in classes.TABLES else 0
    return {**OF_METHOD[method], **OBJECTS_ON.get(dataset, {})} | ({"num_clusters": things} if things > 1 else {})
