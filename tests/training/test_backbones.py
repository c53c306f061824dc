"""Runs on timm's backbones: what a frozen one keeps, features without a pyramid, stopped and restored runs."""

import shutil

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from tiny_runs import outcome, shrink, spoil_training, tiny

from picie_core import evaluation, network, records, training
from picie_core.network import resnet, zoo
from picie_core.training import DivergedError, restore, run

CONV = {"backbone": "timm/test_efficientnet"}  # whose batch norm has statistics
PATCHES = {"backbone": "timm/test_vit"}


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def scored_again(found) -> np.ndarray:
    method, fabric = restore(found)
    _, val = training.splits(found.settings)
    return evaluation.confusions(method, val, 4, fabric.device)["final"]


def moved(found) -> dict[str, set[str]]:
    """Of the backbone and of the pyramid the names of the tensors that are not as they started."""
    start, end = network.build(found.settings).state_dict(), network.part(found.weights())
    assert start.keys() == end.keys()
    names = {name for name, tensor in start.items() if not torch.equal(tensor, end[name])}
    return {
        part: {name.removeprefix(f"{part}.") for name in names if name.startswith(f"{part}.")}
        for part in ("backbone", "lateral")
    }


@pytest.mark.parametrize("batchnorm", ["batch", "running"])
@pytest.mark.parametrize("values", [CONV, {"backbone": "resnet18"}], ids=str)
def test_a_frozen_backbone_ends_as_it_started_bit_for_bit(tmp_path, monkeypatch, values, batchnorm):
    shrink(monkeypatch.setattr)
    given = {"epochs": 2, "kmeans_batchnorm": batchnorm} | values
    frozen = run(tiny(tmp_path, frozen=True, **given))
    levels = {f"{level}.{kind}" for level in range(4) for kind in ("weight", "bias")}
    assert moved(frozen) == {"backbone": set(), "lateral": levels}
    free = run(tiny(tmp_path, **given))
    names = network.part(free.weights(), "network.backbone.").keys()
    statistics = {name for name in names if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert len(statistics) >= 15
    assert moved(free)["backbone"] == names
    assert free.folder != frozen.folder


@pytest.mark.parametrize(
    "values",
    [
        {"method": "supervised", "num_clusters": 12},
        {"method": "iic", "iic_displacement": 3},
        {"method": "retraining", "pretext": "untrained", "num_clusters": 12, "transfer_epochs": 1},
    ],
    ids=str,
)
def test_other_methods_leave_a_frozen_backbone_too(tmp_path, values):
    found = run(tiny(tmp_path, frozen=True, epochs=1, **CONV, **values))
    assert moved(found)["backbone"] == set()
    assert moved(found)["lateral"]


@pytest.mark.parametrize(
    ("values", "prototypes"),
    [
        ({}, (5, 64)),
        ({"num_overclusters": 9, "mse": "added"}, (5, 64)),
        ({"method": "deepcluster"}, (5, 64)),
        ({"method": "deepcluster", "classifier": "parametric"}, None),
        ({"method": "untrained"}, (5, 64)),
        ({"method": "untrained", "frozen": True}, (5, 64)),
        ({"method": "untrained", "classifier": "parametric"}, None),
        ({"method": "supervised", "num_clusters": 12}, None),
        ({"method": "supervised", "num_clusters": 12, "frozen": True}, None),  # a linear probe
        ({"method": "iic", "iic_displacement": 3}, None),
    ],
    ids=str,
)
def test_features_without_a_pyramid_are_as_wide_as_the_last_level(tmp_path, values, prototypes):
    found = run(tiny(tmp_path, trunk="last", epochs=1, **PATCHES, **values))
    held = found.weights()
    assert not [name for name in held if name.startswith("network.lateral")]
    assert (tuple(held["final_prototypes"].shape) if prototypes else None) == prototypes
    learns = found.settings.method != "untrained" and not found.settings.frozen
    assert bool(moved(found)["backbone"]) == learns
    assert np.array_equal(scored_again(found), found.confusion)


def test_a_run_that_is_stopped_and_started_again_ends_as_one_that_never_was(tmp_path, monkeypatch):
    given = {"frozen": True, **CONV}
    whole = run(tiny(tmp_path / "whole", **given))
    with monkeypatch.context() as patch:
        spoil_training(patch.setattr, epoch=1)
        with pytest.raises(DivergedError):
            run(tiny(tmp_path / "again", **given))
    torch.manual_seed(8)
    assert outcome(run(tiny(tmp_path / "again", **given))) == outcome(whole)


@pytest.mark.parametrize("values", [PATCHES, {"backbone": "efficientnet_lite0"}], ids=str)
def test_a_finished_run_needs_no_weights_to_be_restored(tmp_path, monkeypatch, values):
    given = {"method": "untrained", "pretrained": True, **values}
    if values == PATCHES:
        given["weights_file"] = tmp_path / "weights" / "model.safetensors"
        given["weights_file"].parent.mkdir()
        safetensors.torch.save_file(timm.create_model("test_vit").state_dict(), given["weights_file"])
    made = run(tiny(tmp_path / "runs", **given))
    shutil.rmtree(tmp_path / "weights", ignore_errors=True)
    for module, name in ((zoo.weights, "read"), (zoo, "_lite"), (resnet, "imagenet_weights")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("weights were read"))
    real, asked = timm.create_model, []
    monkeypatch.setattr(timm, "create_model", lambda name, **given: (asked.append(given), real(name, **given))[1])
    made = records.load(made.folder)
    assert made.settings.pretrained
    assert np.array_equal(scored_again(made), made.confusion)
    assert [given["pretrained"] for given in asked] == [False]
