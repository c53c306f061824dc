"""The run's key: the same on every platform and in every place, another wherever the result may be another."""

import hashlib
import json

import pytest

from picie_core import records
from picie_core.settings import Settings, SettingsError, recipes
from picie_core.settings.knobs import knob

# Every setting that counts, none left to a table or default: the known answer below moves only when the key does.
FIXED = {
    "method": "picie", "seed": 3, "image_size": 64, "base_size": 96,
    "photometric": True, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1,
    "jitter_probability": 0.8, "grayscale_probability": 0.2, "blur_probability": 0.5, "blur_rule": "independent",
    "geometric": True, "crop_min_side": 0.5, "flip_probability": 0.5, "crop_rounding": "exact", "backbone": "resnet18",
    "fpn": "direct", "feature_dim": 128, "pretrained": False, "num_clusters": 11, "num_overclusters": 0,
    "overcluster_weights": "B", "clusterings": "two", "classifier": "prototype", "kmeans_batch_size": 16,
    "kmeans_init_batches": 50, "kmeans_update_batches": 20, "kmeans_iterations": 20, "kmeans_batchnorm": "batch",
    "label_rule": "euclidean", "logit_rule": "cosine", "temperature": 1.0, "balance": "inverse", "mse": "none",
    "epochs": 4, "batch_size": 16, "learning_rate": 1e-3, "precision": "32", "threads": 2,
}  # fmt: skip
KEY = "8d41d82c7bf58797"
# Settings added after the first runs, at the values those had: they do not count there.
ADDED = {
    "kmeans_points": None, "train_split": "train", "scored_split": "val", "trunk": "fpn", "sobel": False,
    "training_clusters": 0,
    "iic_lambda": 1.0, "iic_displacement": 10, "iic_collapsed": False, "iic_loss_size": None,
    "iic_auxiliary_clusters": 45, "iic_heads": "alternating", "iic_affine": False, "iic_mask": "warp",
    "padding": "zeros",
    "comus_saliency": "contrast", "comus_threshold": None, "comus_scaling": "image", "comus_smallest": 0.002,
    "comus_crop_size": 256, "comus_clustering": "spectral", "comus_neighbors": 30, "comus_components": None,
    "comus_restarts": 10, "comus_filtered": 0.2, "comus_iterations": 1, "comus_network": "deeplabv3",
    "comus_epochs": 10, "comus_later_epochs": 5, "comus_later_split": "train", "comus_learning_rate": 6e-5,
    "kmeans_memory": 1024, "views_memory": 1024, "devices": 1, "sync_batchnorm": False,
    "frozen": False,
    "pretext": "none", "transfer_epochs": 10, "transfer_learning_rate": 1e-3, "transfer_normalized": False,
}  # fmt: skip
GIVEN = FIXED | ADDED
PLACES = {
    "recipe", "scale", "dataset", "data_root", "weights_file", "device", "workers", "runs_root", "fresh",
    "keep_checkpoint", "train_images", "val_images", "on_bad_image",
    "comus_saliency_place", "comus_dino_place", "comus_backbone_place",
}  # fmt: skip


def key(settings):
    return settings.key(1, "train val")


def test_known_answer():
    """If this fails, every run made before is taken for another one. A field added later needs `before`."""
    assert key(Settings(**GIVEN)) == KEY


def test_it_is_the_digest_that_its_docstring_says():
    record = {"settings": FIXED, "results_version": 1, "data": "train val"}
    text = json.dumps(dict(sorted(record.items())) | {"settings": dict(sorted(FIXED.items()))})
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == KEY


def test_the_digest_that_committed_tables_hold():
    """If this fails, tables made before no longer tell which rows belong together. (A data set's name counts in it.)"""
    assert records.digest(Settings(dataset="camvid", **GIVEN)) == "c31dec0bc945"


def test_every_setting_either_counts_or_is_a_place():
    assert set(Settings.model_fields) == set(GIVEN) | PLACES


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"data_root": "/another/disk"},
        {"device": "cuda:1"},
        {"workers": 7},
        {"train_images": 12, "val_images": 5, "on_bad_image": "skip"},  # the fingerprint stands for them
        {"runs_root": "/elsewhere"},
        {"weights_file": "/weights/resnet18.pth"},
        {"fresh": True},
        {"keep_checkpoint": True},
        {"recipe": "release"},  # every value it stands for is given
        {"scale": "full"},
        {"dataset": "camvid"},
    ],
    ids=str,
)
def test_where_and_how_it_is_run_does_not_count(elsewhere):
    assert key(Settings(**GIVEN, **elsewhere)) == KEY


OTHER = {
    "method": "untrained", "seed": 4, "image_size": 96, "base_size": 64,
    "photometric": False, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.2,
    "jitter_probability": 0.7, "grayscale_probability": 0.1, "blur_probability": 0.4, "blur_rule": "tied",
    "geometric": False, "crop_min_side": 0.6, "flip_probability": 0.4, "crop_rounding": "grid", "backbone": "resnet34",
    "fpn": "cascade", "feature_dim": 64, "pretrained": True, "num_clusters": 12, "num_overclusters": 100,
    "overcluster_weights": "A", "clusterings": "one", "classifier": "parametric", "kmeans_batch_size": 32,
    "kmeans_init_batches": 20, "kmeans_update_batches": 1, "kmeans_iterations": 10, "kmeans_batchnorm": "running",
    "label_rule": "inner", "logit_rule": "euclidean", "temperature": 0.1, "balance": "none", "mse": "added",
    "epochs": 5, "batch_size": 8, "learning_rate": 1e-4, "precision": "bf16", "threads": 1,
    "kmeans_points": 256, "padding": "replicate", "train_split": "trainval", "scored_split": "train",
    "sobel": True, "training_clusters": 100, "frozen": True,
    "iic_lambda": 1.5, "iic_displacement": 5, "iic_collapsed": True, "iic_loss_size": 64,
    "iic_auxiliary_clusters": 0, "iic_heads": "summed", "iic_affine": True, "iic_mask": "release",
    "transfer_epochs": 5, "transfer_learning_rate": 1e-2, "transfer_normalized": True,
    "comus_saliency": "dino", "comus_threshold": 0.5, "comus_scaling": "batch", "comus_smallest": 0.01,
    "comus_crop_size": 96, "comus_clustering": "kmeans", "comus_neighbors": 20, "comus_components": 4,
    "comus_restarts": 20, "comus_filtered": 0.3, "comus_iterations": 2, "comus_network": "fpn",
    "kmeans_memory": 64, "views_memory": 64, "devices": 2, "sync_batchnorm": True,
    "comus_epochs": 5, "comus_later_epochs": 10, "comus_learning_rate": 1e-3,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(GIVEN) - {"trunk", "pretext", "comus_later_split"}))
def test_everything_else_counts(name):
    assert key(Settings(**GIVEN | {name: OTHER[name]})) != KEY


def test_the_trunk_counts():
    trunks = ("fpn", "last", "res12", "res12_layer2")  # the last two are for iic alone
    assert len({key(Settings(**GIVEN | {"method": "iic", "trunk": trunk})) for trunk in trunks}) == 4


def test_every_backbone_counts():
    """Also timm's of one architecture, whose weights another name tells apart."""
    backbones = (
        "resnet18",
        "efficientnet_lite0",
        "timm/vit_small_patch8_224.augreg_in21k",
        "timm/vit_small_patch8_224.dino",
    )
    assert len({key(Settings(**GIVEN | {"backbone": backbone})) for backbone in backbones}) == 4


def test_the_pretext_counts():
    pretexts = ("untrained", "deepcluster", "iic", "picie")  # for probe and retraining alone
    assert len({key(Settings(**GIVEN | {"method": "probe", "pretext": name})) for name in pretexts}) == 4


def test_the_later_split_counts():
    splits = ("train", "trainaug")  # which voc21 alone has
    given = GIVEN | {"dataset": "voc21"}
    assert len({key(Settings(**given | {"comus_later_split": split})) for split in splits}) == 2


def test_results_version_and_data_count():
    settings = Settings(**GIVEN)
    assert len({settings.key(1, "a"), settings.key(2, "a"), settings.key(1, "b")}) == 3


def test_the_same_value_from_a_recipe_a_data_set_or_by_hand_is_the_same_run():
    resolved = Settings(recipe="release", dataset="camvid", pretrained=False)
    by_hand = Settings(dataset="camvid", **{name: getattr(resolved, name) for name in GIVEN})
    assert by_hand.sources["balance"] == "explicit"
    assert key(by_hand) == key(resolved)


def test_a_changed_table_or_default_changes_it(monkeypatch):
    before = key(Settings())
    monkeypatch.setitem(recipes.RECIPES["ours"], "balance", "none")
    assert key(Settings()) != before
    monkeypatch.undo()
    assert key(Settings()) == before
    monkeypatch.setattr(Settings.model_fields["kmeans_iterations"], "default", 30)
    assert key(Settings()) != before


class Later(Settings):
    """`Settings` as it may be after fields were added."""

    sharpen: float = knob(0.5, "a field of later years; older runs did not sharpen", before=0.0, ge=0)
    cap: int | None = knob(9, "another; older runs had no cap", before=None)


def test_a_field_added_later_leaves_the_key_and_the_digest_of_older_runs():
    assert key(Later(**GIVEN, sharpen=0.0, cap=None)) == KEY
    keys = {key(Later(**GIVEN, sharpen=s, cap=c)) for s in (0.0, 0.5) for c in (None, 9)}
    assert len(keys) == 4
    assert records.digest(Later(**GIVEN, sharpen=0.0, cap=None)) == records.digest(Settings(**GIVEN))
    assert records.digest(Later(**GIVEN, sharpen=0.0, cap=9)) != records.digest(Settings(**GIVEN))
    assert key(Later(**GIVEN)) == key(Later(**GIVEN, sharpen=0.5, cap=9)) != KEY  # the new defaults are a new run


def test_a_later_field_is_a_setting_like_the_others():
    settings = Later(sharpen="0.25")
    assert settings.explicit == {"sharpen": 0.25}
    assert settings.sources["cap"] == "default"
    with pytest.raises(SettingsError, match=r"sharpen = -1: .*>= 0.*later years"):
        Later(sharpen=-1)


def test_the_record_of_an_older_run_is_read_with_what_it_had():
    older = Settings(**GIVEN)
    read = Later.from_yaml(older.to_yaml())
    assert (read.sharpen, read.cap) == (0.0, None)
    assert key(read) == key(older) == KEY
    assert read.sources["sharpen"] == "explicit"  # for who asks for it today has to give it
    assert key(read.replace(seed=older.seed)) == KEY
