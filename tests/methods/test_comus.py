"""`methods.pseudomasks` and `methods.comus`: from proposals to a self-trained network."""

import numpy as np
import pytest
import torch
import torchvision
from tiny_runs import PROCESSES, outcome, run_and_die, shrink, tiny

from picie_core import discovery, draws, records, saliency, training, views
from picie_core.datasets import prepare
from picie_core.discovery import proposals
from picie_core.methods import METHODS, Batch
from picie_core.methods.supervised import Supervised
from picie_core.network import deeplab
from picie_core.processes import ranks
from picie_core.segmentation.album import segment
from picie_core.settings import Settings, SettingsError
from picie_core.training import run

SMALL = {"num_clusters": 2, "comus_neighbors": 4, "comus_crop_size": 32, "comus_epochs": 2, "comus_later_epochs": 1,
         "comus_filtered": 0.0}  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch):
    shrink(monkeypatch.setattr)


def comus(root, **changes):
    return tiny(root, **(SMALL | {"method": "comus"} | changes))


def pseudomasks(root, **changes):
    return comus(root, method="pseudomasks", **changes)


def split(settings, which="train", size=None):
    limit = settings.train_images if which == "train" else settings.val_images
    return prepare("scenes", split=which, size=size or settings.image_size, limit=limit, progress=False)


def batch(data, numbers):
    return Batch(torch.from_numpy(data.images[numbers]), numbers, None, [data.names[i] for i in numbers])


# -- the settings of the runs before


def test_each_iteration_starts_from_the_one_before_and_the_first_from_pseudo_masks():
    settings = Settings(method="comus", comus_iterations=3, pretext="picie", comus_epochs=7, seed=4)
    chain = []
    while settings:
        chain.append((settings.method, settings.comus_iterations, settings.own_epochs, settings.seed))
        settings = settings.previous
    assert chain == [("comus", 3, 5, 4), ("comus", 2, 5, 4), ("comus", 1, 7, 4), ("pseudomasks", 1, 0, 4),
                     ("picie", 1, 4, 4)]  # fmt: skip


def test_pseudo_masks_do_not_depend_on_what_self_training_does():
    students = [{}, {"comus_filtered": 0.4}, {"comus_epochs": 3}, {"comus_learning_rate": 1e-2},
                {"comus_network": "deeplabv3"}, {"crop_min_side": 0.3}]  # fmt: skip
    settings = [Settings(method="comus", **changes) for changes in students]
    assert len({records.digest(s.previous) for s in settings}) == 1
    assert len({records.digest(s) for s in settings}) == len(students)
    assert records.digest(settings[0].replace(comus_neighbors=9).previous) != records.digest(settings[0].previous)


@pytest.mark.parametrize("pretext", ["hog", "picie"])
def test_batches_reach_what_self_training_starts_from(pretext):
    """Saliency may be scaled over a batch, and the network that describes proposals learns from batches."""
    given = {"pretext": pretext, "batch_size": 8}
    masks = Settings(method="comus", **given).previous
    assert records.digest(masks) == records.digest(Settings(method="pseudomasks", **given))
    assert {earlier.batch_size for earlier in (masks, *masks.earlier)} == {8}


def test_as_many_clusters_as_things_and_the_background():
    assert (Settings(method="comus").num_clusters, Settings(method="comus").predicted_clusters) == (4, 5)
    published = Settings(method="pseudomasks", dataset="voc21")
    assert (published.num_clusters, published.pretext, published.comus_threshold) == (20, "dino", 0.5)
    assert Settings(method="picie").predicted_clusters == 12
    assert Settings(method="pseudomasks", pretext="picie", num_clusters=7).previous.num_clusters == 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "pseudomasks", "pretext": "none"}, "needs one: untrained, deepcluster"),
        ({"method": "probe", "pretext": "dino"}, "probe takes the network of untrained"),
        ({"method": "comus", "comus_later_split": "trainaug"}, "is a split of voc21; scenes has 'train'"),
        ({"method": "comus", "comus_iterations": 0}, "Expected int >= 1"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        Settings(**changes)


# -- pseudo-masks


def test_a_run_keeps_every_images_mask_cluster_and_feature(tmp_path):
    settings = pseudomasks(tmp_path)
    weights = run(settings).weights()
    method = METHODS["pseudomasks"](settings, 8)
    data = split(settings, size=settings.base_size)
    masks, large, features = method.propose(views.plain(torch.from_numpy(data.images[:]), 32), data.names)
    assert large.all()
    assert torch.equal(proposals.unpack(weights["masks"]), masks)
    assert torch.allclose(weights["features"], features)
    found = discovery.discover(
        features.numpy(), 2, neighbors=4, restarts=10, seed=draws.seed((settings.seed, "discovery"))
    )
    assert (weights["clusters_of"].numpy() == found.labels + 1).all()
    assert np.allclose(weights["distances"].numpy(), found.distances)


def test_it_predicts_the_salient_pixels_cluster_and_background_elsewhere(tmp_path):
    settings = pseudomasks(tmp_path)
    finished = run(settings)
    method, _ = training.restore(finished)
    data = split(settings, "val")
    pixels = views.plain(torch.from_numpy(data.images[:]), 32)
    clusters = method.predict(pixels, data.names)["final"].argmax(dim=1)
    masks, _, features = method.propose(pixels, data.names)
    weights = finished.weights()
    voted = discovery.assign(features.numpy(), weights["features"].numpy(), weights["clusters_of"].numpy(), 4)
    assert torch.equal(clusters, masks * torch.from_numpy(voted)[:, None, None])
    assert finished.confusion.shape == (12, 3)
    assert finished.confusion.sum() == 4 * 32 * 32


def test_an_image_without_a_region_is_all_background(tmp_path, monkeypatch):
    settings = pseudomasks(tmp_path)
    real = saliency.masks

    def first_is_empty(maps, *rest):
        found = real(maps, *rest)
        found[0] = False
        return found

    monkeypatch.setattr(saliency, "masks", first_is_empty)
    finished = run(settings)  # batches of 4: images 0 and 4 have no region
    clusters = finished.weights()["clusters_of"]
    assert (clusters == 0).tolist() == [True, False, False, False, True, False, False, False]
    assert not finished.weights()["features"][0].any()
    method, _ = training.restore(finished)
    data = split(settings, "val")
    found = method.predict(views.plain(torch.from_numpy(data.images[:]), 32), data.names)["final"].argmax(dim=1)
    assert not found[0].any()
    assert found[1].any()
    student = METHODS["comus"](comus(tmp_path), 8)
    student.start_from(finished.weights())
    assert not {0, 4} & set(student.shown.tolist())


def test_one_region_that_is_the_whole_image_is_a_proposal(tmp_path, monkeypatch):
    monkeypatch.setattr(saliency, "masks", lambda maps, *rest: torch.ones_like(maps, dtype=torch.bool))
    assert (run(pseudomasks(tmp_path)).weights()["clusters_of"] > 0).all()


@pytest.mark.parametrize("method", ["spectral", "kmeans"])
def test_no_region_at_all_is_told(tmp_path, monkeypatch, method):
    monkeypatch.setattr(saliency, "masks", lambda maps, *rest: torch.zeros_like(maps, dtype=torch.bool))
    with pytest.raises(
        discovery.ProposalError, match=r"no proposals are left to make 2 clusters.*Lower comus_smallest"
    ):
        run(pseudomasks(tmp_path, comus_clustering=method))


@pytest.mark.parametrize("method", ["spectral", "kmeans"])
def test_fewer_proposals_than_clusters_is_told(tmp_path, method):
    with pytest.raises(discovery.ProposalError, match="8 proposals cannot make 20 clusters"):
        run(pseudomasks(tmp_path, num_clusters=20, comus_clustering=method))


def test_the_files_that_saliency_reads_are_part_of_the_key(tmp_path, monkeypatch):
    settings = pseudomasks(tmp_path)
    student = settings.replace(method="comus")
    before = [training.run_folder(s, *training.splits(s)) for s in (settings, student)]
    monkeypatch.setattr(saliency, "fingerprint", lambda settings: "other weights")
    after = [training.run_folder(s, *training.splits(s)) for s in (settings, student)]
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_proposals_described_by_the_network_of_a_run(tmp_path):
    settings = pseudomasks(tmp_path, pretext="untrained")
    before = run(settings.previous).weights()
    after = run(settings).weights()
    assert torch.equal(after["descriptor.network.lateral.0.weight"], before["network.lateral.0.weight"])
    assert records.method_name(settings) == "pseudomasks of untrained"
    assert records.method_name(settings.replace(method="comus", comus_iterations=2)) == "comus-2 of untrained"


# -- self-training


def test_the_first_iteration_learns_the_masks_of_what_is_kept(tmp_path):
    settings = comus(tmp_path, comus_filtered=0.4)
    weights = run(settings.previous).weights()
    method = METHODS["comus"](settings, 8)
    method.start_from(weights)
    clusters, distances = weights["clusters_of"].numpy(), weights["distances"].numpy()
    assert method.shown.tolist() == np.flatnonzero(discovery.kept(clusters, distances, 0.4)).tolist()
    assert len(method.shown) < 8
    data = split(settings, size=48)
    numbers = np.array([5, 2])
    truth = method.truth(batch(data, numbers))
    assert (truth.dtype, truth.shape) == (torch.uint8, (2, 48, 48))
    masks = proposals.unpack(weights["masks"])[numbers].numpy()
    cells = (np.arange(48) + 0.5) * 32 // 48  # the nearest of 32 cells
    expected = masks[:, cells.astype(int)][:, :, cells.astype(int)] * clusters[numbers][:, None, None]
    assert (truth.numpy() == expected).all()
    seen = np.concatenate([p.order for p in method.passes(0)])
    assert sorted(seen.tolist()) == method.shown.tolist()


def test_a_later_iteration_learns_what_the_one_before_predicts_of_all_images(tmp_path):
    settings = comus(tmp_path, comus_iterations=2)
    first = run(settings.previous)
    method = METHODS["comus"](settings, 8)
    method.start_from(first.weights())
    assert method.shown.tolist() == list(range(8))
    data = split(settings, size=48)
    truth = method.truth(batch(data, np.array([6, 1])))
    teacher, _ = training.restore(first)
    with torch.no_grad():
        logits = teacher.logits(views.plain(torch.from_numpy(data.images[[6, 1]]), 32))["final"]
    larger = torch.nn.functional.interpolate(logits, size=(48, 48), mode="bilinear", align_corners=False)
    assert torch.equal(truth.long(), larger.argmax(dim=1))
    assert set(method.state_dict()) == set(teacher.state_dict())  # its teacher is no part of it


def test_each_iteration_is_a_fresh_network(tmp_path, monkeypatch):
    """With nothing to learn every iteration ends where it began: at what its own settings draw."""
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: None)
    settings = comus(tmp_path, comus_iterations=2)
    start = METHODS["comus"](settings, 8).network.lateral[0].weight
    assert torch.equal(run(settings).weights()["network.lateral.0.weight"], start)


def test_it_learns_background_as_a_class(tmp_path):
    finished = run(comus(tmp_path))
    assert finished.confusion.shape == (12, 3)
    assert finished.weights()["classifier.weight"].shape[0] == 3
    assert len(finished.progress) == 2
    tidy = records.tidy([finished]).set_index("metric")["value"]
    assert {"mean_iou, objects", "mean_iou, objects, majority vote", "mean_iou"} <= set(tidy.index)


def test_it_needs_no_labels(tmp_path):
    """The same weights whatever the labels say; a split without labels trains too."""
    settings = comus(tmp_path / "a")
    method = METHODS["comus"](settings, 8)
    method.start_from(run(settings.previous).weights())
    data = split(settings, size=48)
    numbers = np.array([0, 3])
    unlabelled, plain = batch(data, numbers), torch.from_numpy(data.labels[numbers])
    labelled = Batch(unlabelled.images, numbers, plain, unlabelled.names)
    assert torch.equal(method.loss(0, unlabelled), method.loss(0, labelled))


def test_its_speed_is_of_the_images_that_it_learns(tmp_path):
    finished = run(comus(tmp_path, comus_epochs=1, comus_filtered=0.5))
    method = METHODS["comus"](finished.settings, 8)
    method.start_from(run(finished.settings.previous).weights())
    (epoch,) = finished.progress.to_dict("records")
    assert len(method.shown) < finished.result["train"]["images"]
    assert epoch["images_per_second"] * epoch["seconds"] == pytest.approx(len(method.shown))


def test_same_seed_same_bits(tmp_path):
    assert outcome(run(comus(tmp_path / "a"))) == outcome(run(comus(tmp_path / "b")))


@pytest.mark.parametrize("iterations", [1, 2])
def test_killed_and_taken_up_it_is_as_if_nothing_had_happened(tmp_path, iterations):
    changes = {"comus_iterations": iterations, "comus_epochs": 3, "comus_later_epochs": 3}
    whole = outcome(run(comus(tmp_path / "whole", **changes)))
    settings = comus(tmp_path / "killed", **changes)
    run(settings.previous)
    process = PROCESSES.Process(target=run_and_die, args=(settings, True, "train", 3))
    process.start()
    process.join(120)
    assert process.exitcode == -9
    assert outcome(run(settings)) == whole


def test_photographs_are_segmented_into_background_and_clusters(tmp_path):
    finished = run(comus(tmp_path / "runs"))
    photos = tmp_path / "photos"
    photos.mkdir()
    from PIL import Image

    Image.fromarray(split(finished.settings, "val").images[0]).resize((50, 40)).save(photos / "one.png")
    table = segment(finished, photos, tmp_path / "maps").with_name("clusters.csv").read_text().splitlines()
    assert len(table) == 1 + 3
    assert np.asarray(Image.open(tmp_path / "maps" / "one.png")).shape == (40, 50)


# -- DeepLabv3


def test_deeplab_is_torchvisions_up_to_the_classifier():
    settings = Settings(method="comus", comus_network="deeplabv3")
    ours = deeplab.build(settings).eval()
    theirs = torchvision.models.segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None).eval()
    theirs.backbone.load_state_dict(ours.backbone.state_dict())
    for number, part in enumerate(ours.head):
        theirs.classifier[number].load_state_dict(part.state_dict())
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = ours(images)
        assert features.shape == (1, 256, 8, 8)
        logits = torch.nn.functional.interpolate(theirs.classifier[-1](features), size=(64, 64), mode="bilinear")
        assert torch.allclose(theirs(images)["out"], logits, atol=1e-5)


@pytest.mark.slow
def test_deeplab_is_self_trained(tmp_path):
    finished = run(comus(tmp_path, comus_network="deeplabv3", comus_epochs=1, comus_learning_rate=1e-3))
    start = deeplab.build(finished.settings)
    assert not torch.equal(finished.weights()["network.head.1.weight"], start.head[1].weight)
    assert finished.confusion.sum() == 4 * 32 * 32


@pytest.mark.slow
def test_deeplab_leaves_out_a_last_image_that_batch_norm_cannot_take_alone(tmp_path):
    finished = run(comus(tmp_path, comus_network="deeplabv3", comus_epochs=2, train_images=9))
    assert (finished.weights()["network.backbone.bn1.num_batches_tracked"]).item() == 2 * 2  # batches of 4: not 2 * 3
    assert finished.progress["loss"].notna().all()


@pytest.mark.parametrize(
    ("network", "images", "batch_size", "learned"),
    [
        ("deeplabv3", 9, 4, 8),
        ("deeplabv3", 10, 4, 10),
        ("deeplabv3", 8, 4, 8),
        ("deeplabv3", 9, 1, 9),
        ("deeplabv3", 1, 4, 1),
        ("fpn", 9, 4, 9),
    ],
)
def test_each_epoch_leaves_out_another_image_and_none_where_batch_norm_can_take_it(
    network, images, batch_size, learned
):
    method = METHODS["comus"](Settings(method="comus", comus_network=network, batch_size=batch_size), images)
    orders = [method.order(epoch).tolist() for epoch in range(12)]
    assert orders == [Supervised.order(method, epoch).tolist()[:learned] for epoch in range(12)]
    (only,) = method.passes(3)
    assert only.order.tolist() == orders[3]
    left_out = [set(range(images)) - set(order) for order in orders]
    assert {len(left) for left in left_out} == {images - learned}
    assert learned == images or len(set.union(*left_out)) > 3


def test_the_last_batch_is_left_out_by_a_process_alone(monkeypatch):
    """Among several every batch is cut into nearly equal parts."""
    method = METHODS["comus"](Settings(method="comus", comus_network="deeplabv3", batch_size=4), 9)
    monkeypatch.setattr(ranks, "count", lambda: 2)
    assert len(method.order(0)) == 9


def test_deeplab_is_drawn_from_the_seed():
    first, again, other = (
        deeplab.build(Settings(method="comus", comus_network="deeplabv3", seed=seed)).backbone.conv1.weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_backbone_from_a_file(tmp_path):
    file = tmp_path / "dino_resnet50_pretrain.pth"
    weights = torchvision.models.resnet50(weights=None).state_dict()
    torch.save({name: w for name, w in weights.items() if not name.startswith("fc.")}, file)
    settings = Settings(method="comus", comus_network="deeplabv3", comus_backbone_place=file)
    assert torch.equal(deeplab.build(settings).backbone.layer4[2].conv3.weight, weights["layer4.2.conv3.weight"])


@pytest.mark.slow
def test_the_backbones_file_is_part_of_the_key_and_is_not_needed_once_trained(tmp_path):
    """Other weights are another run; a finished run has its own."""
    file = tmp_path / "resnet50.pth"
    settings = comus(tmp_path / "runs", comus_network="deeplabv3", comus_epochs=1, comus_backbone_place=file)
    folders = set()
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(torchvision.models.resnet50(weights=None).state_dict(), file)
        folders.add(training.run_folder(settings, *training.splits(settings)))
    random = settings.replace(comus_backbone_place=None)
    folders.add(training.run_folder(random, *training.splits(random)))
    assert len(folders) == 3
    finished = run(settings)
    file.unlink()
    method, _ = training.restore(finished)
    assert torch.equal(method.classifier.weight, finished.weights()["classifier.weight"])


@pytest.mark.parametrize("kind", ["absent", "another model", "no weights", "text"])
def test_a_file_that_is_no_resnet50_is_told(tmp_path, kind):
    file = tmp_path / "weights.pth"
    if kind == "another model":
        torch.save({"conv1.weight": torch.zeros(3)}, file)
    elif kind == "no weights":
        torch.save([1, 2], file)
    elif kind == "text":
        file.write_text("not found")
    settings = Settings(method="comus", comus_network="deeplabv3", comus_backbone_place=file)
    with pytest.raises(SettingsError, match=r"(?is)comus_backbone_place.*expected the weights of a ResNet-50.*DINO's"):
        deeplab.build(settings)


@pytest.mark.parametrize("text", ["<!DOCTYPE html><html>404</html>", "not found"])
def test_a_page_in_place_of_weights_is_told_by_how_it_begins(tmp_path, text):
    """And by none of torch's words, which advise to run what the file holds."""
    file = tmp_path / "weights.pth"
    file.write_text(text)
    with pytest.raises(
        SettingsError, match=rf"it begins with b'{text[:9]}.*expected the weights of a ResNet-50"
    ) as error:
        deeplab.build(Settings(method="comus", comus_network="deeplabv3", comus_backbone_place=file))
    assert "weights_only" not in str(error.value)
