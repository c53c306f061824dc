"""`methods`: modified DeepCluster, IIC, supervised training and the untrained classifier, on random pictures."""

import itertools
import math

import numpy as np
import oracles
import pytest
import torch
import torch.nn.functional as F
from tiny_methods import IMAGES, SIZE, D, K, N, Tiny, build, close
from tiny_methods import run as descend
from torch import nn

from picie_core import clustering, network, views
from picie_core.classes import VOID
from picie_core.losses import mutual_information
from picie_core.methods import Batch, Method, Pass
from picie_core.settings import Settings, SettingsError
from picie_core.views import affine, geometry

LABELS = torch.randint(0, K, (N, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
EVERYTHING = Batch(IMAGES, np.arange(N), LABELS)


class Pointwise(nn.Module):
    """Means of 4 x 4 pixels, then a linear layer: it commutes with flips, as a convolution need not."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.channels = settings.feature_dim
        weights = oracles.noise(settings.feature_dim, 3, 1, 1, seed=settings.seed)
        self.weight = nn.Parameter(weights)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.avg_pool2d(images, 4), self.weight)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "build", Tiny)


def through(method: Method, epoch: int = 0) -> list[str]:
    """Run the passes of an epoch; their names."""
    names = []
    for pass_ in method.passes(epoch):
        names.append(pass_.name)
        descend(pass_)
    return names


# Modified DeepCluster ------------------------------------------------------------------------------------------------


def labelled(**values) -> Method:
    """After clustering and labelling of epoch 0, before its training."""
    method = build("deepcluster", **values)
    for pass_ in itertools.islice(method.passes(0), 3):
        if pass_.name != "train":
            descend(pass_)
    return method


def test_an_epoch_of_deepcluster_looks_at_view_1_alone(monkeypatch):
    seen = []
    real = views.first
    monkeypatch.setitem(views._VIEWS, 1, lambda *a: (seen.append(1), real(*a))[1])
    monkeypatch.setitem(views._VIEWS, 2, lambda *a: pytest.fail("view 2 was made"))
    method = build("deepcluster")
    assert method.settings.classifier == "parametric"
    assert through(method) == ["cluster", "label", "train"]
    assert method.passes_an_epoch == 3
    assert len(seen) == 3  # batches: kept for the passes after the first
    assert method.record.keys() == {f"inertia_1_{K}", f"cluster_sizes_1_{K}", f"loss_within_{K}"}
    assert method.optimizers.keys() == {"network"}


@pytest.mark.parametrize("balance", ["inverse", "proportional"])
def test_the_loss_of_deepcluster_is_the_formula(balance):
    method = labelled(balance=balance, num_clusters=4)
    batch = Batch(IMAGES[[3, 1, 8]], np.array([3, 1, 8]))
    with torch.no_grad():
        loss, z = method.loss(0, batch), method.view(1, 0, batch).numpy()
    weight, bias = (p.detach().numpy() for p in (method.head.weight[:, :, 0, 0], method.head.bias))
    logits = np.einsum("kd,bdyx->bkyx", weight, z) + bias[:, None, None]
    labels = method.labels[1, 4]
    counts = np.bincount(labels.flatten(), minlength=4)
    weights = 1 / np.maximum(counts, 1) if balance == "inverse" else counts
    assert float(loss) == pytest.approx(oracles.cross_entropy(logits, labels[batch.indices].numpy(), weights), rel=1e-5)


def test_the_gradient_of_deepcluster_reaches_the_features_through_the_head(monkeypatch):
    """Of each pixel: its weight's share times (softmax - one-hot) W."""
    method = labelled(num_clusters=4)
    batch = Batch(IMAGES[[3, 1, 8]], np.array([3, 1, 8]))
    z = method.view(1, 0, batch).detach().requires_grad_()
    monkeypatch.setattr(method, "view", lambda *_: z)
    method.loss(0, batch).backward()
    matrix, labels = method.head.weight.detach().numpy()[:, :, 0, 0].astype(np.float64), method.labels[1, 4]
    counts = np.bincount(labels.flatten(), minlength=4)
    y = labels[batch.indices].numpy()
    share = (1 / counts)[y] / (1 / counts)[y].sum()
    odds = np.exp(np.einsum("kd,bdyx->bkyx", matrix, z.detach().numpy()))
    wrong = odds / odds.sum(axis=1, keepdims=True) - np.moveaxis(np.eye(4)[y], -1, 1)
    expected = np.einsum("kd,bkyx->bdyx", matrix, share[:, None] * wrong)
    np.testing.assert_allclose(z.grad, expected, rtol=1e-3, atol=1e-9)


class Colours(nn.Module):
    """Means of 4 x 4 pixels: what the features of black and of white are can be counted by hand."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.channels = settings.feature_dim
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.gain * F.avg_pool2d(images, 4)


def quarters() -> torch.Tensor:
    """White, but for the left quarter, which is black."""
    images = torch.full((N, SIZE, SIZE, 3), 255, dtype=torch.uint8)
    images[:, :, : SIZE // 4] = 0
    return images


@torch.no_grad()
def show(pass_: Pass, images: torch.Tensor) -> None:
    """A pass that teaches nothing, over other images than `IMAGES`."""
    for start in range(0, N, pass_.batch_size):
        order = pass_.order[start : start + pass_.batch_size]
        pass_.step(Batch(images[order], order))


# Normalised, black is (-2.118, -2.036, -1.804) and white (2.249, 2.429, 2.640); of length 1:
BLACK, WHITE = (-0.6143, -0.5905, -0.5234), (0.5312, 0.5736, 0.6236)


@pytest.mark.parametrize(("balance", "say"), [("inverse", (0.5, 0.5)), ("proportional", (0.1, 0.9))])
def test_the_loss_of_deepcluster_by_hand(monkeypatch, balance, say):
    """A quarter of the pixels is one cluster. Inverse: both have the same say; proportional: 1/16 against 9/16."""
    monkeypatch.setattr(network, "build", Colours)
    plain = {"photometric": False, "geometric": False, "feature_dim": 3, "num_clusters": 2}
    method = build("deepcluster", balance=balance, **plain)
    batch = Batch(quarters(), np.arange(N))
    for pass_ in itertools.islice(method.passes(0), 3):
        if pass_.name != "train":
            show(pass_, batch.images)
    black = int(method.labels[1, 2][0, 0, 0])
    assert (method.labels[1, 2][:, :, :2] == black).all()
    assert (method.labels[1, 2][:, :, 2:] == 1 - black).all()
    assert method.record["cluster_sizes_1_2"][black] == N * 8 * 2
    with torch.no_grad():
        method.head.weight.zero_()
        method.head.weight[black, 0], method.head.weight[1 - black, 0] = -1, 1  # each cluster's own side of red
        loss = method.loss(0, batch)
    # -log of 1 / (1 + e^(-2 * 0.6143)) and of 1 / (1 + e^(-2 * 0.5312))
    assert float(loss) == pytest.approx(say[0] * 0.25656 + say[1] * 0.29701, abs=2e-4)


def test_with_prototypes_the_logits_are_those_of_the_centroids():
    method = labelled(classifier="prototype")
    with torch.no_grad():
        z = method.view(1, 0, EVERYTHING)
        expected = oracles.scores(z[:2].numpy(), method.prototypes(1, K).numpy(), "cosine")
        np.testing.assert_allclose(method.classify(z, 1, K)[:2], expected, atol=1e-5)
        assert list(method.eval().logits(views.plain(IMAGES[:1], SIZE))) == ["view1"]


def test_the_head_is_new_each_epoch_with_an_adam_of_its_own():
    method = build("deepcluster", num_clusters=8, feature_dim=64)
    made, trained = [], []
    for epoch in (0, 1):
        for pass_ in method.passes(epoch):
            if pass_.name == "train":
                made.append(method.head.weight.detach().clone())
                assert (method.head.bias == 0).all()
                own = pass_.optimizers[1]
                assert not own.state  # new: it remembers no step
                assert {id(p) for p in own.param_groups[0]["params"]} == {id(p) for p in method.head.parameters()}
                descend(pass_)
                trained.append(method.head.weight.detach().clone())
            else:
                descend(pass_)
    assert not torch.equal(made[0], made[1])
    assert not torch.equal(made[0], trained[0])
    assert float(torch.cat(made).std()) == pytest.approx(0.01, rel=0.1)
    assert torch.equal(method.state_dict()["head.weight"], trained[1])  # kept for the closing score


@pytest.mark.parametrize(("values", "own", "k"), [({}, "linear", K), ({"training_clusters": 7}, "majority", 7)])
def test_deepcluster_names_both_sets_of_predictions(values, own, k):
    method = build("deepcluster", **values)
    through(method)
    images = views.plain(IMAGES[:2], SIZE)
    with torch.no_grad():
        found = method.eval().logits(images)
        assert list(found) == [own]
        torch.testing.assert_close(found[own], method.head(method.embedding(images)))
        found = close(method).logits(images)
        z = method.embedding(images)
    assert list(found) == ["final", own]
    assert (found["final"].shape[1], found[own].shape[1]) == (K, k)
    assert (method.clusters("final"), method.clusters(own)) == (K, k)
    torch.testing.assert_close(found["final"], clustering.scores(z, method.final_prototypes, "cosine"))
    torch.testing.assert_close(found[own], method.head(z))


def test_many_training_clusters_are_labels_of_a_wider_type():
    assert build("deepcluster", training_clusters=300).labels[1, 300].dtype == torch.int16


# IIC -----------------------------------------------------------------------------------------------------------------


def iic(monkeypatch: pytest.MonkeyPatch, **values) -> Method:
    monkeypatch.setattr(network, "build", Pointwise)
    return build("iic", **{"iic_displacement": 2, "iic_auxiliary_clusters": 5} | values)


@torch.no_grad()
def test_the_second_map_comes_back_to_the_first(monkeypatch):
    """Without colour changes a network that commutes with the transform sees the same in both pictures."""
    method = iic(monkeypatch, photometric=False, base_size=SIZE)
    first, second, mask = method.maps(0, EVERYTHING, ["auxiliary", "main"])
    assert (first["auxiliary"].shape, first["main"].shape) == ((N, 5, 8, 8), (N, K, 8, 8))
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=1e-3, rtol=0)
        torch.testing.assert_close(first[name].sum(dim=1), torch.ones(N, 8, 8))
    assert mask.all()
    assert mask.dtype == torch.float32
    matrices = affine.draw(method.settings, 0, np.arange(N))
    assert len(set(matrices[:, 0, 0])) == 2  # some were flipped, and some not
    (plain, moved), _ = method.pair(0, IMAGES, np.arange(N))
    torch.testing.assert_close(moved[matrices[:, 0, 0] < 0], plain[matrices[:, 0, 0] < 0].flip(-1), atol=1e-3, rtol=0)


@torch.no_grad()
def test_a_rotated_picture_comes_back_too(monkeypatch):
    method = iic(monkeypatch, photometric=False, iic_affine=True, image_size=64, base_size=64, iic_loss_size=64)
    y, x = torch.meshgrid(torch.linspace(0, 255, 64), torch.linspace(0, 255, 64), indexing="ij")
    smooth = torch.stack([x, y, (x + y) / 2], dim=-1).round().to(torch.uint8)[None].repeat(4, 1, 1, 1)
    first, second, mask = method.maps(0, Batch(smooth, np.arange(4)), ["main"])
    assert 0.6 < mask.mean() < 1
    inner = F.avg_pool2d(mask, 17, 1, 8) > 0.999
    inner[:, :, :8], inner[:, :, -8:], inner[:, :, :, :8], inner[:, :, :, -8:] = False, False, False, False
    assert inner.float().mean() > 0.2
    assert ((first["main"] - second["main"]).abs() * inner).max() < 0.05
    assert (first["main"] - first["main"].flip(-1)).abs().max() > 0.3  # otherwise any transform would do


def test_the_second_picture_is_jittered_by_iics_own_jitter(monkeypatch):
    method = iic(monkeypatch, recipe="ours", flip_probability=0)
    s = method.settings
    assert (s.brightness, s.contrast, s.saturation, s.hue, s.learning_rate) == (0.4, 0.4, 0.4, 0.125, 1e-4)
    assert (s.jitter_probability, s.blur_probability, s.grayscale_probability) == (1, 0, 0)
    assert s.sources["hue"] == "method iic"
    assert iic(monkeypatch, recipe="ours", hue=0.3).settings.sources["hue"] == "explicit"
    (plain, moved), _ = method.pair(4, IMAGES, np.arange(N))
    torch.testing.assert_close(plain, views.plain(IMAGES, SIZE))
    colored = views.second(s, 4, IMAGES, np.arange(N))
    torch.testing.assert_close(moved, views.plain(colored, SIZE), atol=1e-4, rtol=0)
    assert (moved - plain).abs().mean() > 0.05


@pytest.mark.parametrize(
    "values",
    [{}, {"iic_lambda": 1.5}, {"iic_collapsed": True}, {"iic_displacement": 0}, {"iic_loss_size": 12}],
    ids=str,
)
def test_the_loss_of_a_pass_is_that_of_its_maps(monkeypatch, values):
    method = iic(monkeypatch, iic_affine=True, **values)
    batch = Batch(IMAGES[:3], np.arange(3))
    with torch.no_grad():
        first, second, mask = method.maps(6, batch, ["main", "auxiliary"])
        terms = method.terms(6, batch, ["main", "auxiliary"])
    s = method.settings
    side = s.iic_loss_size or SIZE // 4
    assert 0.5 < mask.mean() < 1
    assert mask.shape == (3, 1, side, side)
    for name in terms:
        rule = (mask.numpy(), s.iic_displacement, s.iic_lambda, s.iic_collapsed)
        expected = oracles.iic_loss(first[name].numpy(), second[name].numpy(), *rule)
        assert float(terms[name]) == pytest.approx(expected, rel=1e-4)


def test_the_gradient_of_a_pass_comes_through_both_pictures(monkeypatch):
    """Differences of the loops' value of the maps, where a weight of the trunk or of the head is moved."""
    method = iic(monkeypatch, iic_affine=True)
    batch = Batch(IMAGES[:3], np.arange(3))
    s = method.settings
    method.terms(6, batch, ["main"])["main"].backward()
    for weight in (method.network.weight, method.heads["main"].weight):
        flat, largest = weight.detach().view(-1), int(weight.grad.abs().argmax())
        sides = []
        for step in (5e-3, -1e-2):
            flat[largest] += step
            with torch.no_grad():
                first, second, mask = (maps["main"] if isinstance(maps, dict) else maps
                                       for maps in method.maps(6, batch, ["main"]))  # fmt: skip
            rule = (s.iic_displacement, s.iic_lambda, s.iic_collapsed)
            sides.append(oracles.iic_loss(first.numpy(), second.numpy(), mask.numpy(), *rule))
        flat[largest] += 5e-3
        assert float(weight.grad.view(-1)[largest]) == pytest.approx((sides[0] - sides[1]) / 1e-2, rel=0.02)


@torch.no_grad()
def test_the_probabilities_are_upsampled_not_the_logits(monkeypatch):
    small, large = iic(monkeypatch), iic(monkeypatch, iic_loss_size=32)
    maps = small.maps(0, EVERYTHING, ["main"])[0]["main"]
    up = F.interpolate(maps, size=(32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(large.maps(0, EVERYTHING, ["main"])[0]["main"], up)


def moved(before: dict[str, torch.Tensor], method: Method) -> set[str]:
    return {name.split(".")[1] if name.startswith("heads") else "trunk" for name, tensor in method.state_dict().items()
            if not torch.equal(tensor, before[name])}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "turns"),
    [
        ({}, [{"trunk", "auxiliary"}, {"trunk", "main"}]),
        ({"iic_heads": "summed"}, [{"trunk", "auxiliary", "main"}]),
        ({"iic_auxiliary_clusters": 0}, [{"trunk", "main"}]),
        ({"iic_auxiliary_clusters": 0, "iic_heads": "summed"}, [{"trunk", "main"}]),
    ],
)
def test_the_heads_learn_in_turn_or_together(monkeypatch, values, turns):
    method = iic(monkeypatch, **values)
    assert method.passes_an_epoch == len(turns)
    assert method.passes_at_the_end == 0
    assert list(method.closing_passes()) == []
    orders = []
    for epoch in (0, 1):
        for pass_, turn in zip(method.passes(epoch), turns, strict=True):
            assert pass_.name == "train"
            assert method.training
            assert sorted(pass_.order) == list(range(N))
            orders.append(tuple(pass_.order))
            before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
            descend(pass_)
            assert moved(before, method) == turn
    assert len(set(orders)) == len(orders)
    assert set(method.record) == {f"loss_{name}" for turn in turns for name in turn - {"trunk"}}


def test_every_pass_has_pairs_of_its_own_and_the_sum_is_the_sum(monkeypatch):
    method = iic(monkeypatch)
    found = [method.pair(number, IMAGES, np.arange(N))[0][1] for number in range(3)]
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[1], found[2])
    seen = []
    monkeypatch.setattr(
        method, "pair", lambda number, *a: (seen.append(number), type(method).pair(method, number, *a))[1]
    )
    for epoch in (0, 1):
        through(method, epoch)
    assert seen == sorted(seen)
    assert set(seen) == {0, 1, 2, 3}
    together = iic(monkeypatch, iic_heads="summed", batch_size=N)
    terms = together.terms(0, EVERYTHING, ["auxiliary", "main"])
    ordered = next(iter(together.passes(0)))
    (loss,) = ordered.step(Batch(IMAGES, np.arange(N), LABELS))
    assert float(loss.detach()) == pytest.approx(sum(float(term.detach()) for term in terms.values()), rel=1e-5)


def test_the_release_mask_leaks_labels_and_the_default_does_not(monkeypatch):
    void = LABELS.clone()
    void[:, : SIZE // 2] = VOID
    with_void = Batch(IMAGES, np.arange(N), void)
    default, leaky = iic(monkeypatch), iic(monkeypatch, iic_mask="release")
    with torch.no_grad():
        assert default.maps(0, with_void, ["main"])[2].all()
        mask = leaky.maps(0, with_void, ["main"])[2]
        assert default.terms(0, with_void, ["main"]) == default.terms(0, EVERYTHING, ["main"])
    assert (mask[:, :, :4] == 0).all()
    assert (mask[:, :, 4:] == 1).all()
    with pytest.raises(SettingsError, match="needs labels, which this data set has not: give 'warp'"):
        leaky.maps(0, Batch(IMAGES, np.arange(N)), ["main"])
    for recipe in ("paper", "release", "ours"):
        assert Settings(method="iic", recipe=recipe).iic_mask == "warp"


def test_iic_predicts_by_its_main_head_in_every_epoch(monkeypatch):
    method = iic(monkeypatch, feature_dim=64)
    images = views.plain(IMAGES[:2], SIZE)
    with torch.no_grad():
        found = method.logits(images)
        torch.testing.assert_close(found["final"], method.heads["main"](method.network(images)))
    assert list(found) == ["final"]
    assert method.heads["main"].bias is None
    assert float(method.heads["auxiliary"].weight.detach().std()) == pytest.approx(math.sqrt(2 / 64), rel=0.1)
    through(method)
    with torch.no_grad():
        assert list(method.logits(images)) == ["final"]


def test_iic_finds_what_both_pictures_share(monkeypatch):
    """Black and white halves: the two clusters that tell them apart share log 2 nats."""
    halves = torch.zeros(N, SIZE, SIZE, 3, dtype=torch.uint8)
    halves[:, : SIZE // 2] = 255
    values = {"iic_auxiliary_clusters": 0, "iic_displacement": 0, "num_clusters": 2, "learning_rate": 0.05}
    method = iic(monkeypatch, **values, photometric=False)
    for epoch in range(12):
        for pass_ in method.passes(epoch):
            for start in range(0, N, 5):
                (loss,) = pass_.step(Batch(halves[start : start + 5], pass_.order[start : start + 5]))
                pass_.optimizers[0].zero_grad()
                loss.backward()
                pass_.optimizers[0].step()
    assert float(loss.detach()) == pytest.approx(-math.log(2), abs=0.05)
    with torch.no_grad():
        clusters = method.logits(views.plain(halves[:1], SIZE))["final"].argmax(dim=1)[0]
    assert (clusters[:4] == clusters[0, 0]).all()
    assert (clusters[4:] == 1 - clusters[0, 0]).all()


def test_a_head_that_rests_is_not_moved_by_momentum(monkeypatch):
    method = iic(monkeypatch)
    through(method)
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    descend(next(iter(method.passes(1))))
    assert moved(before, method) == {"trunk", "auxiliary"}


# Supervised ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("geometric", [True, False])
def test_the_supervised_loss_is_the_formula(geometric):
    method = build("supervised", geometric=geometric, base_size=48)
    images = oracles.pictures(3, 48)
    truth = torch.randint(0, K, (3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    truth[:, 10:20] = VOID
    indices = np.array([4, 0, 7])
    with torch.no_grad():  # as drawn, every class is as likely whatever the classifier sees
        method.classifier.weight.copy_(oracles.noise(K, D, 1, 1))
    loss = method.loss(2, Batch(images, indices, truth))
    loss.backward()
    assert method.network.conv.weight.grad.abs().sum() > 0  # the labels teach the network, not the classifier alone
    with torch.no_grad():
        z = method.network(views.plain(views.first(method.settings, 2, images, indices), SIZE))
        logits = F.interpolate(method.classifier(z), scale_factor=4, mode="bilinear", align_corners=False).numpy()
    if geometric:
        labels = geometry.apply_to_labels(truth, geometry.draw(method.settings, 2, indices), SIZE)
    else:  # 48 to 32: of every three pixels the first and the last
        kept = [i for i in range(48) if i % 3 != 1]
        labels = truth[:, kept][:, :, kept]
    total, count = 0.0, 0
    for i, y, x in np.ndindex(*labels.shape):
        if (label := int(labels[i, y, x])) != VOID:
            s = logits[i, :, y, x].astype(np.float64)
            total, count = total + math.log(np.exp(s).sum()) - s[label], count + 1
    assert 0 < count < labels.numel()
    assert float(loss.detach()) == pytest.approx(total / count, rel=1e-5)


def test_a_batch_without_a_labelled_pixel_teaches_nothing():
    method = build("supervised")
    loss = method.loss(0, Batch(IMAGES, np.arange(N), torch.full_like(LABELS, VOID)))
    loss.backward()
    assert float(loss.detach()) == 0
    assert all((p.grad == 0).all() for p in method.parameters())


def test_supervised_training_needs_labels():
    method = build("supervised")
    with pytest.raises(SettingsError, match="needs labels, which this data set has not"):
        method.loss(0, Batch(IMAGES, np.arange(N)))


def test_it_learns_the_classes_in_their_own_numbers():
    images = torch.zeros(N, SIZE, SIZE, 3, dtype=torch.uint8)
    truth = torch.zeros(N, SIZE, SIZE, dtype=torch.uint8)
    for c in range(K):  # stripes, of a grey for each class
        images[:, :, 8 * c : 8 * c + 8], truth[:, :, 8 * c : 8 * c + 8] = 60 * c, c
    method = build("supervised", photometric=False, learning_rate=0.05)
    losses = []
    for epoch in range(15):
        (pass_,) = method.passes(epoch)
        assert pass_.name == "train"
        (loss,) = pass_.step(Batch(images[pass_.order], pass_.order, truth[pass_.order]))
        pass_.optimizers[0].zero_grad()
        loss.backward()
        pass_.optimizers[0].step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    assert list(method.closing_passes()) == []
    method.train()  # batch statistics: the running ones are far behind after so few steps
    with torch.no_grad():
        found = method.logits(views.plain(images, SIZE))["final"].argmax(dim=1)
    assert (found == truth[:, ::4, ::4]).float().mean() > 0.9


# Without training ----------------------------------------------------------------------------------------------------


def test_the_untrained_rows_by_hand(monkeypatch):
    monkeypatch.setattr(network, "build", Colours)
    by_hand = {"feature_dim": 3, "num_clusters": 2}
    linear, prototype = build("untrained", classifier="parametric", **by_hand), build("untrained", **by_hand)
    with torch.no_grad():
        linear.head.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 2]])[:, :, None, None])
        found = linear.logits(views.plain(quarters(), SIZE))["final"]
        assert found[0, :, 5, 1].tolist() == pytest.approx([BLACK[0], 2 * BLACK[2]], abs=1e-3)
        assert found[0, :, 5, 2].tolist() == pytest.approx([WHITE[0], 2 * WHITE[2]], abs=1e-3)
        for pass_ in prototype.closing_passes():
            show(pass_, quarters())
        found = prototype.logits(views.plain(quarters(), SIZE))["final"]
    black = int(prototype.final_prototypes[:, 0].argmin())
    expected = torch.tensor([BLACK, WHITE])
    torch.testing.assert_close(prototype.final_prototypes[[black, 1 - black]], expected, atol=2e-4, rtol=0)
    # of itself 1; of the other -(0.6143 * 0.5312 + 0.5905 * 0.5736 + 0.5234 * 0.6236)
    assert found[0, [black, 1 - black], 5, 1].tolist() == pytest.approx([1, -0.9914], abs=1e-3)
    assert found[0, [black, 1 - black], 5, 2].tolist() == pytest.approx([-0.9914, 1], abs=1e-3)


def test_the_untrained_linear_classifier():
    method = build("untrained", classifier="parametric", num_clusters=8, feature_dim=64)
    assert list(method.closing_passes()) == []
    assert method.final_prototypes is None
    images = views.plain(IMAGES[:2], SIZE)
    with torch.no_grad():
        found, z = method.eval().logits(images), method.embedding(images).numpy()
    weight = method.head.weight.detach().numpy()[:, :, 0, 0]
    np.testing.assert_allclose(found["final"], np.einsum("kd,bdyx->bkyx", weight, z), atol=1e-6)
    assert list(found) == ["final"]
    assert weight.std() == pytest.approx(0.01, rel=0.1)
    assert (method.head.bias == 0).all()
    again, other = (build("untrained", classifier="parametric", num_clusters=8, feature_dim=64, seed=s) for s in (1, 2))
    assert torch.equal(again.head.weight, method.head.weight)
    assert not torch.equal(other.head.weight, method.head.weight)


def test_the_global_random_state_is_left_alone(monkeypatch):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    for name in ("deepcluster", "supervised"):
        method = build(name)
        for pass_ in method.passes(0):
            if name == "deepcluster":
                descend(pass_)
    build("untrained", classifier="parametric")
    through(iic(monkeypatch))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_loss_module_is_the_one_that_is_used(monkeypatch):
    method = iic(monkeypatch)
    monkeypatch.setattr(mutual_information, "iic_loss", lambda *a: torch.tensor(7.0))
    assert method.terms(0, EVERYTHING, ["main"]) == {"main": torch.tensor(7.0)}
