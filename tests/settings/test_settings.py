"""`Settings`: where values come from, what is refused and how it is said, text from a command line, yaml."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from picie_core import classes
from picie_core.datasets import DATASETS
from picie_core.methods import METHODS
from picie_core.settings import METHODS as METHOD_NAMES
from picie_core.settings import Settings, SettingsError, combinations, document, parse, recipes

# Every point where paper and release differ, from the papers' and the release's side; written down apart from
# `recipes`. (image_size 64, batch_size 8, so that the values that follow from them are seen to follow.)
POINTS = {
    # setting: (paper, release)
    "learning_rate": (1e-3, 1e-4),  # [3]
    "kmeans_init_batches": (50, 20),
    "kmeans_batch_size": (8, 16),  # 128 and 256 where training takes 128
    "kmeans_update_batches": (20, 1),
    "base_size": (64, 128),  # 640 where the input is 320, undocumented
    "balance": ("inverse", "proportional"),  # [4]
    "grayscale_probability": (0.2, 0.0),  # [5]
    "blur_rule": ("independent", "tied"),
    "fpn": ("direct", "cascade"),  # [12]
    "kmeans_batchnorm": ("batch", "running"),  # [13]: the paper is silent, the release's code has had both
    "logit_rule": ("cosine", "inner"),  # [14]
    "label_rule": ("euclidean", "euclidean"),
    "crop_rounding": ("exact", "grid"),  # [15]
}
SAME = {  # what both say, so that no recipe may move it
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.3,
    "hue": 0.1,
    "jitter_probability": 0.8,
    "blur_probability": 0.5,
    "crop_min_side": 0.5,
    "flip_probability": 0.5,
    "feature_dim": 128,
    "backbone": "resnet18",
    "temperature": 1.0,
    "kmeans_iterations": 20,
    "clusterings": "two",
    "classifier": "prototype",
    "mse": "none",
    "num_overclusters": 0,
    "overcluster_weights": "B",
    "photometric": True,
    "geometric": True,
}


@pytest.mark.parametrize("column", [0, 1], ids=["paper", "release"])
def test_recipes_hold_every_point_where_paper_and_release_differ(column):
    recipe = ("paper", "release")[column]
    settings = Settings(recipe=recipe, dataset="camvid", image_size=64, batch_size=8)
    expected = {name: values[column] for name, values in POINTS.items()} | SAME
    assert {name: getattr(settings, name) for name in expected} == expected
    moved = {name for name, source in settings.sources.items() if source == f"recipe {recipe}"}
    assert moved <= {*POINTS, "temperature"}


def test_recipes_speak_of_the_same_settings():
    names = {recipe: set(values) for recipe, values in recipes.RECIPES.items()}
    assert names["paper"] == names["release"] <= names["ours"]
    assert set(get_args(Settings.model_fields["recipe"].annotation)) == set(recipes.RECIPES)
    assert all(set(factors) == set(recipes.RECIPES) for _, factors in recipes.FACTORS.values())
    assert set(get_args(Settings.model_fields["scale"].annotation)) == set(recipes.SCALES)


def test_scales_fix_sizes_epochs_and_counts_only():
    sizes = {"image_size", "batch_size", "epochs", "train_images", "val_images"}
    assert all(set(values) == sizes for values in recipes.SCALES.values())
    full = Settings(scale="full", recipe="release", dataset="coco27")
    assert (full.image_size, full.base_size, full.batch_size, full.kmeans_batch_size) == (320, 640, 128, 256)
    assert (full.epochs, full.num_clusters, full.pretrained) == (10, 27, True)


def test_the_tables_name_settings_and_allowed_values():
    tables = [recipes.RECIPES, recipes.SCALES, recipes.DATASETS]
    for values in (values for table in tables for values in table.values()):
        Settings(**values)  # an unknown name or a wrong value would be refused
    for recipe in recipes.RECIPES:
        for scale in recipes.SCALES:
            for dataset in recipes.DATASETS:
                Settings(recipe=recipe, scale=scale, dataset=dataset)


def test_names_and_class_counts_are_in_step_with_the_registries():
    assert set(METHOD_NAMES) == set(METHODS)
    assert list(recipes.DATASETS) == list(DATASETS), "settings.recipes.DATASETS has the same names in the same order"
    assert set(classes.TABLES) == set(DATASETS) - {"folder"}
    for name, table in classes.TABLES.items():
        assert Settings(dataset=name).num_clusters == len(table.names), name


# -- precedence


def test_precedence_explicit_dataset_recipe_scale_default(monkeypatch):
    monkeypatch.setattr(recipes, "DATASETS", {"scenes": {"hue": 0.2}})
    monkeypatch.setattr(recipes, "RECIPES", {"paper": {"hue": 0.3, "contrast": 0.3}})
    monkeypatch.setattr(recipes, "SCALES", {"small": {"hue": 0.4, "contrast": 0.4, "saturation": 0.4}})
    settings = Settings(recipe="paper", hue=0.5)
    assert (settings.hue, settings.sources["hue"]) == (0.5, "explicit")
    settings = Settings(recipe="paper")
    assert (settings.hue, settings.sources["hue"]) == (0.2, "dataset scenes")
    assert (settings.contrast, settings.sources["contrast"]) == (0.3, "recipe paper")
    assert (settings.saturation, settings.sources["saturation"]) == (0.4, "scale small")
    assert (settings.brightness, settings.sources["brightness"]) == (0.3, "default")
    assert settings.sources["recipe"] == "explicit"
    assert settings.sources["scale"] == "default"
    assert set(settings.sources) == set(Settings.model_fields)


def test_a_methods_own_values_come_after_explicit_ones_and_before_the_data_sets():
    iic = Settings(method="iic", dataset="cityscapes27", recipe="ours", hue=0.3)
    assert (iic.learning_rate, iic.sources["learning_rate"]) == (1e-4, "method iic")
    assert (iic.brightness, iic.hue, iic.sources["hue"]) == (0.4, 0.3, "explicit")
    assert iic.replace(method="picie").learning_rate == 1e-3
    assert Settings(method="deepcluster").classifier == "parametric"
    assert Settings(method="deepcluster", classifier="prototype").classifier == "prototype"
    assert Settings(method="supervised", recipe="release").learning_rate == 1e-3
    assert set(recipes.OF_METHOD) <= set(METHODS)
    for method, values in recipes.OF_METHOD.items():
        Settings(method=method, **values)


def test_real_examples_of_each_source():
    settings = Settings(dataset="cityscapes27", recipe="release", scale="full", seed=3)
    assert (settings.learning_rate, settings.sources["learning_rate"]) == (1e-3, "dataset cityscapes27")
    assert settings.sources["balance"] == "recipe release"
    assert settings.sources["epochs"] == "scale full"
    assert settings.sources["seed"] == "explicit"
    assert settings.sources["hue"] == "default"
    assert (settings.base_size, settings.sources["base_size"]) == (640, "recipe release")


@pytest.mark.parametrize("size", [96, "96", 96.0])
def test_what_follows_from_another_setting_follows_its_resolved_value(size):
    assert Settings(recipe="release", image_size=size).base_size == 192
    assert Settings(recipe="paper", image_size=size).base_size == 96
    assert Settings(recipe="release", image_size=size, base_size=100).base_size == 100
    assert Settings(recipe="release", dataset="coco_stuff15", scale="full").base_size == 256  # Table 4: 128 pixels
    assert Settings(recipe="release", batch_size="6").kmeans_batch_size == 12


def test_an_explicit_value_equal_to_the_default_is_explicit():
    settings = Settings(learning_rate=1e-3, threads=2)
    assert settings.explicit == {"learning_rate": 1e-3, "threads": 2}


def test_replace_resolves_anew():
    settings = Settings(recipe="release", dataset="camvid", image_size=64, seed=5)
    other = settings.replace(recipe="paper", image_size=96)
    assert other == Settings(recipe="paper", dataset="camvid", image_size=96, seed=5)
    assert (other.base_size, other.balance) == (96, "inverse")
    assert (settings.base_size, settings.balance) == (128, "proportional")
    with pytest.raises(SettingsError, match="did you mean 'seed'"):
        settings.replace(sede=1)


def test_frozen():
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 2
    settings.sources.clear()  # type: ignore[attr-defined]  # a copy
    assert settings.sources["seed"] == "default"


# -- refusals


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"learnin_rate": 1}, ["'learnin_rate'", "did you mean 'learning_rate'"]),
        ({"num_cluster": 3, "epoch": 1}, ["did you mean 'num_clusters'", "did you mean 'epochs'"]),
        ({"EPOCHS": 1}, ["did you mean 'epochs'"]),
        ({"xyzzy": 1}, ["'xyzzy'", "picie settings"]),
        ({"dataset": "camvit"}, ["dataset = 'camvit'", "did you mean 'camvid'", "voc21"]),
        ({"dataset": "qqq"}, ["dataset = 'qqq'", "Known: scenes"]),
        ({"method": "pici"}, ["method = 'pici'", "did you mean 'picie'", "untrained"]),
        ({"recipe": "papr"}, ["recipe = 'papr'", "'paper' or 'release' or 'ours'", "who decides"]),
        ({"learning_rate": 0}, ["learning_rate = 0", "> 0, <= 1", "Adam's"]),
        ({"learning_rate": float("nan")}, ["learning_rate = nan", "> 0, <= 1"]),
        ({"hue": -0.1}, ["hue = -0.1", ">= 0, <= 0.5"]),
        ({"image_size": 100}, ["image_size = 100", "a multiple of 32", "coarsest stride"]),
        ({"epochs": "4.5"}, ["epochs = '4.5'", "integer", ">= 0"]),
        ({"epochs": None}, ["epochs = None", "integer"]),
        ({"seed": -1}, ["seed = -1", ">= 0"]),
        ({"balance": "inverted"}, ["'inverse' or 'proportional' or 'none'", "weight of a cluster"]),
        ({"train_images": 1}, ["train_images = 1", ">= 2", "none: all"]),
        ({"device": "gpu0"}, ["device = 'gpu0'", "cuda:1"]),
        ({"pretrained": "maybe"}, ["pretrained = 'maybe'", "ImageNet"]),
        ({"image_size": 128, "base_size": 96}, ["base_size = 96", "image_size = 128", "base_size >= image_size"]),
        ({"num_clusters": 27, "num_overclusters": 27}, ["num_overclusters = 27", "num_clusters = 27", "0 for none"]),
        ({"training_clusters": 40, "num_overclusters": 40}, ["num_overclusters = 40", "training_clusters = 40"]),
        ({"classifier": "parametric", "num_overclusters": 100}, ["'parametric'", "num_overclusters = 0"]),
        ({"hue": 9, "seed": -1}, ["hue = 9", "seed = -1"]),  # all of them at once
        ({"method": "deepcluster", "training_clusters": 11, "dataset": "camvid"}, ["training_clusters = 11", "or 0"]),
        ({"method": "comus", "num_clusters": 255}, ["num_clusters = 255", "at most 254"]),
        ({"sobel": True, "pretrained": True}, ["sobel = True", "sobel = False", "pretrained = False"]),
        ({"method": "picie", "trunk": "res12"}, ["trunk = 'res12'", "method = 'iic'", "'fpn' or 'last'"]),
        ({"backbone": "resnet19"}, ["backbone = 'resnet19'", "resnet50", "efficientnet_lite0", "timm/"]),
        ({"backbone": "vit_small_patch8_224.dino"}, ["timm/vit_small_patch8_224.dino"]),
        (
            {"backbone": "timm/test_vit", "method": "iic", "trunk": "res12"},
            ["trunk = 'res12' is a part of a ResNet", "backbone = 'timm/test_vit' needs 'fpn' or 'last'"],
        ),
        (
            {"backbone": "efficientnet_lite0", "padding": "replicate"},
            ["padding = 'replicate' is for ResNets", "'efficientnet_lite0' needs 'zeros'"],
        ),
        *(
            ({"frozen": True, "trunk": "last"} | values, ["nothing is left to learn", "'fpn'", "method = 'untrained'"])
            for values in ({}, {"method": "deepcluster"}, {"method": "probe", "pretext": "picie"})
        ),
        ({"method": "iic", "image_size": 32}, ["iic_displacement = 10", "8 x 8", "at most 7"]),
        ({"method": "iic", "iic_loss_size": 9}, ["iic_displacement = 10", "9 x 9", "at most 8"]),
        ({"iic_mask": "labels"}, ["'warp' or 'release'", "LEAKS LABELS"]),
    ],
)
def test_refusals_say_what_came_what_is_allowed_and_why(values, words):
    with pytest.raises(SettingsError) as error:
        Settings(**values)
    assert not [word for word in words if word not in str(error.value)], str(error.value)


@pytest.mark.parametrize("method", ["untrained", "iic", "supervised"])
def test_of_a_frozen_backbone_alone_others_still_make_something(method):
    assert Settings(method=method, frozen=True, trunk="last").trunk == "last"


def test_a_wrong_value_in_a_table_is_said_to_be_the_tables(monkeypatch):
    monkeypatch.setattr(recipes, "DATASETS", {"scenes": {"hue": 7}})
    with pytest.raises(SettingsError, match=r"hue = 7 \(from dataset scenes\)"):
        Settings()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is(name):
    field = Settings.model_fields[name]
    assert field.description
    assert len(field.description) > 10


# -- text from a command line


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("learning_rate", "1e-3", 1e-3),
        ("epochs", "20", 20),
        ("epochs", " 20 ", 20),
        ("pretrained", "false", False),
        ("pretrained", "True", True),
        ("geometric", "no", False),
        ("train_images", "none", None),
        ("train_images", "None", None),
        ("train_images", "", None),
        ("train_images", "12", 12),
        ("data_root", "none", None),
        ("data_root", "~/CamVid", Path("~/CamVid")),
        ("balance", "none", "none"),  # a value of its own, not the absence of one
        ("mse", "none", "none"),
        ("precision", "32", "32"),
        ("base_size", "64", 64),  # what it must fit is decided with the other settings, not here
        ("num_overclusters", "10", 10),
        ("dataset", "camvid", "camvid"),
    ],
)
def test_parse(name, text, value):
    assert parse(name, text) == value
    assert type(parse(name, text)) is type(value) or isinstance(value, Path)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("epoch", "1", ["did you mean 'epochs'"]),
        ("epochs", "none", ["epochs = 'none'", "integer", ">= 0"]),
        ("epochs", "-1", ["epochs = '-1'", ">= 0"]),
        ("learning_rate", "fast", ["learning_rate = 'fast'", "> 0, <= 1"]),
        ("balance", "", ["'inverse' or 'proportional' or 'none'"]),
    ],
)
def test_parse_refuses_like_settings(name, text, words):
    with pytest.raises(SettingsError) as error:
        parse(name, text)
    assert not [word for word in words if word not in str(error.value)], str(error.value)


def test_text_is_coerced_and_means_the_same_setting():
    text = Settings(learning_rate="1e-3", epochs="3", pretrained="false", temperature="1", image_size="64")
    typed = Settings(learning_rate=1e-3, epochs=3, pretrained=False, temperature=1.0, image_size=64)
    assert text == typed
    assert text.key(1, "data") == typed.key(1, "data")


# -- yaml

KNOBS = st.fixed_dictionaries(
    {},
    optional={
        "learning_rate": st.floats(1e-8, 1),
        "hue": st.floats(0, 0.5),
        "seed": st.integers(0, 2**31 - 1),
        "recipe": st.sampled_from(["paper", "release", "ours"]),
        "dataset": st.sampled_from(sorted(recipes.DATASETS)),
        "data_root": st.sampled_from([None, Path("/data/set"), "relative"]),
        "balance": st.sampled_from(["inverse", "proportional", "none"]),
        "train_images": st.none() | st.integers(2, 10**6),
        "pretrained": st.booleans(),
        "precision": st.sampled_from(["32", "bf16"]),
    },
)


@given(KNOBS)
def test_yaml_round_trip(values):
    settings = Settings(**values)
    again = Settings.from_yaml(settings.to_yaml())
    assert again == settings
    assert again.sources == settings.sources
    assert again.explicit == settings.explicit
    assert again.key(1, "x") == settings.key(1, "x")


def test_yaml_is_not_resolved_anew_when_a_table_has_changed(monkeypatch):
    text = Settings(recipe="release", image_size=64).to_yaml()
    monkeypatch.setattr(recipes, "RECIPES", {"release": {"balance": "none", "fpn": "direct"}})
    monkeypatch.setattr(recipes, "FACTORS", {})
    again = Settings.from_yaml(text)
    assert (again.balance, again.fpn, again.base_size) == ("proportional", "cascade", 128)
    assert again.replace(seed=2).fpn == "cascade"
    assert {again.sources[name] for name in ("balance", "fpn")} == {"explicit"}
    assert again.sources["seed"] == "default"


def test_a_value_that_was_edited_counts_as_given():
    text = Settings(method="rgb").to_yaml().replace("num_clusters: 12\n", "num_clusters: 20\n", 1)
    assert Settings.from_yaml(text).explicit == {"method": "rgb", "num_clusters": 20}


def test_keys_that_look_alike_and_merges_are_no_repetition():
    text = 'a: &a {x: 1}\nb: &b {y: 2}\nc: {<<: *a, <<: *b, z: 3}\n1: one\n"1": text\n'
    found = document.load(text)
    assert found["c"] == {"x": 1, "y": 2, "z": 3}
    assert (found[1], found["1"]) == ("one", "text")


def test_a_value_that_was_given_twice_is_refused_with_its_lines():
    with pytest.raises(SettingsError, match="line 3 repeats the key 'seed' of line 2"):
        Settings.from_yaml("settings:\n  seed: 1\n  seed: 2\nsources: {}\n")


def test_keys_of_mappings_that_others_are_made_of_may_be_given_again():
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, y: 4}\nd: [{x: 1}, {x: 1}]\ne: *b"
    assert document.load(text) == yaml.safe_load(text)


def test_yaml_is_loaded_safely():
    with pytest.raises(SettingsError, match="no settings file of a run"):
        Settings.from_yaml("settings: !!python/object/apply:os.getcwd []\nsources: {}\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n- b\n",
        "a: 1\n",
        "# a title: [\n}",
        "settings: {seed: 1}\n",
        "settings: 3\nsources: {}\n",
        b"\x89PNG\r\n",
    ],
)
def test_a_file_that_is_no_settings_file_is_refused(text):
    with pytest.raises(SettingsError, match="no settings file of a run"):
        Settings.from_yaml(text)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weights_file": "a.pth", "pretrained": False}, "weights_file is not read: pretrained = False"),
        ({"weights_file": "a.pth", "pretrained": True}, None),
        (
            {"method": "pseudomasks", "comus_saliency_place": "a"},
            "comus_saliency_place is not read: .* = 'contrast' needs none",
        ),
        ({"method": "pseudomasks", "comus_saliency_place": "a", "comus_saliency": "folder"}, None),
        ({"method": "pseudomasks", "comus_dino_place": "a"}, "comus_dino_place is not read: pretext = 'dino' would"),
        ({"method": "pseudomasks", "comus_dino_place": "a", "comus_saliency": "lost"}, None),
        ({"method": "pseudomasks", "comus_dino_place": "a", "pretext": "dino"}, None),
        ({"method": "comus", "comus_backbone_place": "a"}, "comus_backbone_place is not read: comus_network = 'fpn'"),
        ({"method": "comus", "frozen": True}, None),
        (
            {"method": "comus", "frozen": True, "comus_network": "deeplabv3"},
            "backbone = 'resnet18', frozen = True",
        ),
        (
            {"backbone": "efficientnet_lite0", "method": "comus", "comus_network": "deeplabv3", "pretrained": True},
            "backb",
        ),
        (
            {"backbone": "efficientnet_lite0"},
            "efficientnet_lite0 starts from random weights: pretrained = False",
        ),
        ({"backbone": "efficientnet_lite0", "pretrained": False}, None),
        ({"method": "comus", "comus_backbone_place": "a", "comus_network": "deeplabv3"}, None),
        ({"method": "comus", "comus_saliency_place": "a", "comus_dino_place": "a"}, None),  # its pseudo-masks say so
        ({"method": "comus", "comus_backbone_place": "a", "comus_iterations": 2}, None),  # its first iteration does
        ({"method": "pseudomasks", "comus_backbone_place": "a"}, None),  # for the comus that follows
        ({"method": "picie", "comus_backbone_place": "a", "comus_dino_place": "a"}, None),  # for others of a grid
    ],
)
def test_places_that_nothing_reads_are_told(given, said):
    found = combinations.unread(Settings(**({"dataset": "closeups"} | given)))
    assert len(found) == (said is not None)
    assert said is None or re.match(said, found[0])
