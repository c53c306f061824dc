"""`methods.transfer`: a probe and a re-training on the network of another run."""

import numpy as np
import oracles
import pytest
import torch
import torch.nn.functional as F
from tiny_runs import outcome, shrink, tiny

from picie_core import metrics, network, records, training, views
from picie_core.classes import VOID
from picie_core.methods import METHODS, Batch
from picie_core.settings import Settings, SettingsError
from picie_core.training import run

TRANSFER = {"num_clusters": 12, "transfer_epochs": 2, "epochs": 1}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    shrink(monkeypatch.setattr)


def probe(root, **changes):
    return tiny(root, **(TRANSFER | {"method": "probe", "pretext": "untrained"} | changes))


# -- the settings of the run before


def test_the_run_before_has_these_settings_but_for_what_is_the_transfers(tmp_path):
    given = {"recipe": "paper", "num_overclusters": 100, "seed": 3, "pretrained": False}
    settings = Settings(
        **given, method="probe", pretext="picie", transfer_epochs=3, transfer_normalized=True, fresh=True
    )
    assert settings.previous == Settings(**given, method="picie")
    assert records.digest(settings.previous) == records.digest(Settings(**given))


def test_the_run_before_has_its_own_methods_defaults():
    settings = Settings(method="probe", pretext="iic")
    assert (settings.learning_rate, settings.previous.learning_rate) == (1e-3, 1e-4)
    assert Settings().previous is None


@pytest.mark.parametrize(
    ("pretext", "other"),
    [
        ("iic", {"learning_rate": 1e-3}),  # which a probe of IIC has itself, and IIC has not
        ("iic", {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}),
        ("deepcluster", {"classifier": "prototype"}),
    ],
)
def test_the_digest_is_also_of_what_the_run_before_resolves_to(pretext, other):
    settings = Settings(method="probe", pretext=pretext)
    assert records.digest(settings.replace(**other)) != records.digest(settings)
    assert records.digest(settings.replace(seed=5)) == records.digest(settings)


def test_what_the_run_before_cannot_be_is_refused_at_once():
    with pytest.raises(SettingsError, match="'parametric' has no overclustering"):
        Settings(method="probe", pretext="deepcluster", num_overclusters=100)


def test_a_set_without_labels_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "prepare", lambda *args, **kwargs: type("Unlabelled", (), {"labels": None}))
    with pytest.raises(SettingsError, match="'probe' needs labels, which folder has not"):
        training.splits(probe(tmp_path, dataset="folder", data_root=tmp_path))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"method": "probe"}, "'probe' needs one: untrained, deepcluster, iic or picie"),
        ({"method": "retraining"}, "'retraining' needs one"),
        ({"method": "picie", "pretext": "iic"}, "'picie' has none; give 'none'"),
        ({"method": "probe", "pretext": "picie", "trunk": "res12"}, "'picie' needs trunk = 'fpn'"),
        ({"method": "probe", "pretext": "iic", "image_size": 32}, "pairs can be at most 7 apart"),
        ({"method": "probe", "pretext": "supervised"}, "takes the network of untrained, deepcluster, iic or picie"),
    ],
)
def test_what_does_not_go_together_is_refused(values, said):
    with pytest.raises(SettingsError, match=said):
        Settings(**values)


def test_a_shallow_trunk_may_be_probed():
    settings = Settings(method="probe", pretext="iic", trunk="res12", pretrained=False)
    assert METHODS["probe"](settings, 4).classifier.in_channels == 8


def test_names():
    name = records.method_name
    assert name(Settings(method="probe", pretext="picie", num_overclusters=100)) == "probe of picie+H"
    assert name(Settings(method="retraining", pretext="untrained")) == "retraining of untrained"


# -- what is learned


@pytest.mark.parametrize("normalized", [False, True])
def test_the_probes_loss_is_the_formula(tmp_path, normalized):
    settings = probe(tmp_path, transfer_normalized=normalized, base_size=32)
    method = METHODS["probe"](settings, 3)
    method.train()
    with torch.no_grad():  # as drawn, every class is as likely whatever the classifier sees
        method.classifier.weight.copy_(oracles.noise(12, 8, 1, 1))
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 12, (3, 32, 32), dtype=torch.uint8, generator=generator)
    labels[0, :20] = VOID
    loss = method.loss(0, Batch(images, np.array([0, 1, 2]), labels))
    with torch.no_grad():
        z = method.network(views.plain(images, 32)).double()
        z = z / z.square().sum(dim=1, keepdim=True).sqrt() if normalized else z
        weight, bias = method.classifier.weight[:, :, 0, 0].double(), method.classifier.bias.double()
        logits = torch.einsum("kd,bdyx->bkyx", weight, z) + bias[:, None, None]
        logits = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False).numpy()
    keep = labels.numpy() != VOID
    shifted = np.exp(logits).transpose(0, 2, 3, 1)[keep]
    expected = -np.log(shifted[np.arange(len(shifted)), labels.numpy()[keep]] / shifted.sum(axis=1)).mean()
    assert abs(expected - np.log(12)) > 0.05
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_a_probe_leaves_its_network_as_the_run_before_left_it(tmp_path):
    settings = probe(tmp_path)
    after, before = run(settings).weights(), run(settings.previous).weights()
    frozen = [name for name in before if name.startswith("network.")]
    assert any("running_mean" in name for name in frozen)
    for name in frozen:
        assert torch.equal(after[name], before[name]), name
    start = METHODS["probe"](settings, 8).classifier.weight
    assert not torch.equal(after["classifier.weight"], start)


def test_a_retraining_moves_the_network_and_clusters_its_features(tmp_path):
    settings = probe(tmp_path, method="retraining")
    found = run(settings)
    after, before = found.weights(), run(settings.previous).weights()
    assert not torch.equal(after["network.backbone.conv1.weight"], before["network.backbone.conv1.weight"])
    assert after["final_prototypes"].shape == (12, 8)
    assert found.result["mean_iou_clustered"] != found.result["mean_iou"]
    tidy = records.tidy([found]).set_index("metric")["value"]
    assert tidy["mean_iou, clustered"] == found.result["mean_iou_clustered"]
    assert tidy["accuracy, clustered"] == found.result["accuracy_clustered"]


def test_a_retrainings_clusters_are_of_unit_features_though_its_classifier_sees_raw_ones(tmp_path):
    method = METHODS["retraining"](probe(tmp_path, method="retraining"), 3).eval()
    images = oracles.noise(2, 3, 32, 32)
    with torch.no_grad():
        assert list(method.logits(images)) == ["final"]
        method.final_prototypes = oracles.noise(12, 8, seed=2)
        found, raw = method.logits(images), method.network(images)
    weight = method.classifier.weight.detach().numpy()[:, :, 0, 0].astype(np.float64)
    np.testing.assert_allclose(found["final"], np.einsum("kd,bdyx->bkyx", weight, raw), atol=1e-4)
    unit = raw / raw.square().sum(dim=1, keepdim=True).sqrt()
    expected = oracles.scores(unit.numpy(), method.final_prototypes.numpy(), "cosine")
    np.testing.assert_allclose(found["clustered"], expected, atol=1e-5)


def test_only_what_a_classifier_predicts_is_in_the_classes_own_numbers(tmp_path):
    """A re-training's clusters are matched like any: here cluster 0 is class 1, and 1 is class 0."""
    settings, matrix = probe(tmp_path, method="retraining"), np.array([[0, 7, 0], [5, 1, 0], [0, 0, 3]])
    assert records.classes_of(settings, matrix, "clustered").tolist() == [1, 0, 2]
    assert records.classes_of(settings, matrix).tolist() == [0, 1, 2]
    assert records.classes_of(tiny(tmp_path), matrix).tolist() == [1, 0, 2]


def test_the_clustering_leaves_the_classifiers_score_as_it_was(tmp_path):
    found = run(probe(tmp_path, method="retraining", kmeans_batchnorm="batch"))
    assert found.progress["mean_iou_final"].iloc[-1] == found.result["mean_iou"]


def test_a_retraining_starts_from_the_run_before(tmp_path, monkeypatch):
    """With nothing to learn it ends where the other run did."""
    settings = probe(tmp_path, method="retraining", pretext="deepcluster")
    before = run(settings.previous).weights()
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: None)
    after = run(settings).weights()
    assert torch.equal(after["network.backbone.conv1.weight"], before["network.backbone.conv1.weight"])
    assert not torch.equal(after["network.backbone.conv1.weight"], network.build(settings).backbone.conv1.weight)


def test_it_is_scored_by_its_own_classes(tmp_path):
    found = run(probe(tmp_path))
    own = metrics.score(found.confusion, np.arange(12))
    assert found.scores.accuracy == own.accuracy == found.result["accuracy"]
    assert own.accuracy < metrics.score(found.confusion).accuracy  # which matching would raise
    assert not any("Hungarian" in metric for metric in records.tidy([found])["metric"])


# -- runs


def test_the_run_before_is_made_once_and_shared(tmp_path, monkeypatch):
    made = []
    started = training._Loop.finish
    monkeypatch.setattr(training._Loop, "finish", lambda loop: (made.append(loop.settings.method), started(loop))[1])
    for normalized in (False, True):
        run(probe(tmp_path, transfer_normalized=normalized))
    assert made == ["untrained", "probe", "probe"]


def test_a_result_names_the_run_whose_network_it_was_given(tmp_path):
    found = run(probe(tmp_path))
    before = tmp_path / found.result["before"]
    assert records.load(before).settings == probe(tmp_path).previous
    weights = found.weights()["network.lateral.0.weight"]
    assert records.load(before).weights()["network.lateral.0.weight"].equal(weights)
    assert records.load(before).result["before"] is None


def test_a_finished_probe_needs_the_run_before_no_more(tmp_path):
    settings = probe(tmp_path)
    first = run(settings)
    before = training.run_folder(settings.previous, *training.splits(settings))
    for file in before.iterdir():
        file.unlink()
    again = run(settings)
    assert outcome(again)["confusion"] == outcome(first)["confusion"]
    method, _ = training.restore(again)
    assert method.network.lateral[0].weight.equal(first.weights()["network.lateral.0.weight"])
    assert not (before / "result.json").exists()


def test_another_run_before_is_another_run(tmp_path, monkeypatch):
    settings = probe(tmp_path)
    first = training.run_folder(settings, *training.splits(settings))
    monkeypatch.setattr(METHODS["untrained"], "results_version", 99)
    assert training.run_folder(settings, *training.splits(settings)) != first


def test_same_seed_same_bits(tmp_path):
    settings = [probe(tmp_path / place, method="retraining", pretext="picie") for place in "ab"]
    first, second = (outcome(run(s)) for s in settings)
    assert first == second
