"""`methods`: an epoch of PiCIE pass by pass, the untrained network and the chance levels, on random pictures."""

import itertools
from collections.abc import Iterator

import numpy as np
import oracles
import pytest
import torch
from tiny_methods import IMAGES, SIZE, K, N, Tiny, batches, build, close, run
from torch import nn

from picie_core import clustering, devices, losses, network, settings, views
from picie_core.methods import METHODS, Batch, Method, Pass
from picie_core.methods.picie import Picie
from picie_core.settings import Settings
from picie_core.views import geometry

GIVEN = {"probe": {"pretext": "untrained"}, "retraining": {"pretext": "untrained"}, "iic": {"iic_displacement": 2}}
LEARNING = [name for name, method in METHODS.items() if method.learns]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "build", Tiny)


def test_the_registry_and_the_settings_name_the_same_methods():
    assert tuple(METHODS) == settings.METHODS, "settings.methods.METHODS has the same names in the same order"
    assert METHODS["picie"] is Picie
    for name in METHODS:
        assert isinstance(METHODS[name].results_version, int)
        assert (Settings(method=name, **GIVEN.get(name, {})).own_epochs > 0) == METHODS[name].learns


# An epoch of PiCIE ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({}, ["cluster", "cluster", "label", "train"]),
        ({"clusterings": "one"}, ["cluster", "label", "train"]),
        ({"num_overclusters": 7}, ["cluster", "cluster", "label", "train"]),
        ({"classifier": "parametric"}, ["cluster", "cluster", "label", "train"]),
    ],
)
def test_the_passes_of_an_epoch(tiny, values, names):
    method = build(**values)
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    seen, orders = [], []
    for pass_ in method.passes(0):
        seen.append(pass_.name)
        orders.append(tuple(pass_.order))
        assert sorted(pass_.order) == list(range(N))
        assert bool(pass_.optimizers) == (pass_.name == "train")
        if pass_.name != "train":
            assert all(torch.equal(p, before[name]) for name, p in method.named_parameters())
            assert run(pass_) == []
        else:
            assert method.training
            assert pass_.batch_size == method.settings.batch_size
            assert len(run(pass_)) == 3
    assert seen == names
    assert len(set(orders)) == len(orders)  # each pass in an order of its own
    assert any(not torch.equal(p, before[name]) for name, p in method.named_parameters())
    assert method.optimizers.keys() == {"network"}


def test_prototypes_are_the_k_means_of_each_view_and_labels_their_assignment(tiny):
    method = build(kmeans_batchnorm="running", num_overclusters=5)
    method.eval()
    everything = Batch(IMAGES, np.arange(N))
    with torch.no_grad():
        features = {v: method.view(v, 3, everything) for v in (1, 2)}
    assert not torch.allclose(features[1], features[2], atol=0.1)
    for v in (1, 2):
        assert torch.allclose(features[v].norm(dim=1), torch.ones(()), atol=1e-5)
    for pass_ in method.passes(3):
        if pass_.name == "train":
            break
        run(pass_)
    for v in (1, 2):
        order = method.clustering_pass("", print, 3, v).order
        for k in (K, 5):
            kmeans = method.kmeans(k, 3, v)
            for start in range(0, N, 4):
                kmeans.add(clustering.flatten(features[v][order[start : start + 4]]))
            prototypes, inertia = kmeans.finish()
            torch.testing.assert_close(method.prototypes(v, k), prototypes, atol=1e-5, rtol=0)
            assert method.record[f"inertia_{v}_{k}"] == pytest.approx(inertia, rel=1e-4)
            expected = clustering.assign(features[v], method.prototypes(v, k), "euclidean")
            labels = method.labels[v, k]
            assert labels.dtype == torch.uint8
            assert labels.shape == (N, SIZE // 4, SIZE // 4)
            # the views of a batch of 4 and of 10 differ in the last bits, so a pixel between two prototypes may
            assert (labels.long() == expected).float().mean() > 0.998
            sizes = torch.bincount(labels.flatten().long(), minlength=k)
            assert method.record[f"cluster_sizes_{v}_{k}"] == sizes.tolist()
            assert torch.equal(method.weights[v, k], losses.balance_weights(sizes, "inverse"))
    assert not torch.equal(method.labels[1, K], method.labels[2, K])


@pytest.mark.parametrize("epoch", [0, 3])
def test_the_views_features_are_composed_in_the_papers_order(tiny, epoch):
    """f(G(P1(x))) and G(f(P2(x))), normalised after G, which is torchvision's crop of the image's own draw."""
    method = build(recipe="release").eval()
    indices = np.array([7, 2, 9])
    g = geometry.draw(method.settings, epoch, indices)
    with torch.no_grad():
        found = {v: method.view(v, epoch, Batch(IMAGES[indices], indices)) for v in (1, 2)}
        pictures = {v: make(method.settings, epoch, IMAGES[indices], indices)
                    for v, make in ((1, views.first), (2, views.second))}  # fmt: skip
        raw = {v: method.network(views.plain(picture, SIZE)) for v, picture in pictures.items()}
    raw[2] = torch.stack([oracles.crop(maps, g, i, SIZE // 4) for i, maps in enumerate(raw[2])])
    for v in (1, 2):
        expected = raw[v] / raw[v].square().sum(dim=1, keepdim=True).sqrt()
        torch.testing.assert_close(found[v], expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("rule", ["inner", "cosine"])
def test_the_label_rule_is_the_settings(tiny, rule):
    method = build(kmeans_batchnorm="running", label_rule=rule)
    passes = method.passes(0)
    for _ in range(3):
        run(next(passes))
    with torch.no_grad():
        expected = clustering.assign(method.view(1, 0, Batch(IMAGES, np.arange(N))), method.prototypes(1, K), rule)
    assert (method.labels[1, K].long() == expected).float().mean() > 0.998


def test_labels_of_many_clusters_have_a_wider_type(tiny):
    method = build(num_overclusters=300)
    assert {k: labels.dtype for (_, k), labels in method.labels.items()} == {K: torch.uint8, 300: torch.int16}


def test_cluster_sizes_are_counted_while_labelling(tiny):
    method = build(num_overclusters=7)
    for pass_ in method.passes(0):
        run(pass_)
    for (v, k), labels in method.labels.items():
        assert method.record[f"cluster_sizes_{v}_{k}"] == np.bincount(labels.numpy().ravel(), minlength=k).tolist()


@pytest.mark.parametrize(("free", "place"), [(4 * 2 * N * (SIZE // 4) ** 2, "cuda:0"), (4, "cpu")])
def test_pseudo_labels_lie_with_the_network_where_a_gpu_has_room_for_them(tiny, monkeypatch, free, place):
    method = build()
    assert method._place_of_labels() == torch.device("cpu")
    monkeypatch.setattr(type(method), "_device", torch.device("cuda", 0))
    monkeypatch.setattr(devices, "free_memory", lambda device: free)
    assert method._place_of_labels() == torch.device(place)


def test_pseudo_labels_are_where_there_is_a_place_for_them(tiny, monkeypatch):
    method = build()
    monkeypatch.setattr(type(method), "_place_of_labels", lambda self: torch.device("meta"))
    for pass_ in method.passes(0):
        if pass_.name == "label":
            break
        run(pass_)
    assert {labels.device.type for labels in method.labels.values()} == {"meta"}


@pytest.mark.parametrize("rule", ["batch", "running"])
@pytest.mark.parametrize("name", ["picie", "untrained"])
def test_batch_norm_statistics_move_while_clustering_only_if_asked(tiny, rule, name):
    method = build(name, kmeans_batchnorm=rule)
    norm = method.network.norm
    for pass_ in itertools.chain(method.passes(0), method.closing_passes()):
        before = norm.running_mean.clone()
        run(pass_)
        moved = not torch.equal(norm.running_mean, before)
        assert moved == {"label": False, "train": True}.get(pass_.name, rule == "batch"), pass_.name


@pytest.mark.parametrize("rule", ["batch", "running"])
def test_clustering_sees_the_features_of_that_mode(tiny, rule):
    method = build(kmeans_batchnorm=rule, kmeans_init_batches=50)
    first = next(iter(method.passes(0)))
    fed = []
    method.kmeans(K, 0, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clustering.MiniBatchKMeans, "add", lambda self, points: fed.append(points))
        batch = batches(first)[0]
        with torch.no_grad():
            raw = method.network.conv(views.plain(views.first(method.settings, 0, batch.images, batch.indices), SIZE))
        with torch.no_grad():
            first.step(batch)
    if rule == "batch":
        mean, var = raw.mean(dim=(0, 2, 3), keepdim=True), raw.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
        raw = (raw - mean) / (var + 1e-5).sqrt()
    expected = clustering.flatten(nn.functional.normalize(raw, dim=1))
    torch.testing.assert_close(fed[0], expected, atol=1e-3, rtol=0)


def test_a_view_is_computed_when_the_other_is_descended(tiny, monkeypatch):
    """So that the activations of one view at a time take memory."""
    method, seen = build(), []
    monkeypatch.setattr(method, "view", lambda v, *args: seen.append(f"view {v}") or Picie.view(method, v, *args))
    for pass_ in method.passes(0):
        if pass_.name != "train":
            run(pass_)
            continue
        seen.clear()
        for part in pass_.step(batches(pass_)[0]):
            part.backward()
            seen.append("backward")
    assert seen == ["view 1", "backward", "view 2", "backward"]


def test_the_record_holds_the_mean_of_the_losses(tiny):
    method = build()
    passes = list_through(method, 0)
    record = method.record
    # 10 images in batches of 4, 4 and 2: means over images
    loss = np.average(passes["train"], weights=[4, 4, 2])
    assert (record[f"loss_within_{K}"] + record[f"loss_cross_{K}"]) / 4 == pytest.approx(loss, rel=1e-5)
    assert set(record) == {
        f"{name}_{K}"
        for name in ("loss_within", "loss_cross", "inertia_1", "inertia_2", "cluster_sizes_1", "cluster_sizes_2")
    }


def list_through(method: Method, epoch: int) -> dict[str, list[float]]:
    return {pass_.name: run(pass_) for pass_ in method.passes(epoch)}


def test_training_lowers_the_loss(tiny):
    method = build(learning_rate=0.01, num_overclusters=5)
    for pass_ in method.passes(0):
        if pass_.name == "train":
            first = np.mean(run(pass_))
            for _ in range(5):
                last = np.mean(run(pass_))
        else:
            run(pass_)
    assert last < 0.95 * first


def test_an_epoch_is_repeatable_and_epochs_differ(tiny):
    one, two = build(), build()
    for method in (one, two):
        list_through(method, 0)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name
    assert torch.equal(one.labels[2, K], two.labels[2, K])
    with torch.no_grad():
        seen = [one.eval().view(1, epoch, Batch(IMAGES, np.arange(N))) for epoch in (0, 1)]
    assert not torch.allclose(*seen, atol=0.01)


def test_the_global_random_state_is_left_alone(tiny):
    torch.manual_seed(5)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    method = build(classifier="parametric")
    list_through(method, 0)
    [run(pass_) for pass_ in method.closing_passes()]
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_parametric_heads_are_new_each_epoch_and_learn_within_it(tiny):
    method = build(classifier="parametric", num_clusters=8, feature_dim=64)
    made, trained = [], []
    for epoch in (0, 1):
        for pass_ in method.passes(epoch):
            if pass_.name == "train":
                made.append({v: head.weight.detach().clone() for v, head in method.heads.items()})
                assert all((head.bias == 0).all() for head in method.heads.values())
                run(pass_)
                trained.append({v: head.weight.detach().clone() for v, head in method.heads.items()})
            else:
                run(pass_)
    assert made[0].keys() == {1, 2}
    drawn = [made[epoch][v] for epoch in (0, 1) for v in (1, 2)]
    assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])
    assert float(torch.cat(drawn).std()) == pytest.approx(0.01, rel=0.1)
    assert not torch.equal(made[0][1], trained[0][1])
    assert not torch.equal(made[0][2], trained[0][2])
    again = build(classifier="parametric", num_clusters=8, feature_dim=64)
    for pass_ in again.passes(0):
        if pass_.name == "train":
            assert torch.equal(again.heads[2].weight, made[0][2])  # of seed, epoch and view
        else:
            run(pass_)


def test_a_collapse_is_refused_before_training(tiny):
    method = build()
    with torch.no_grad():
        method.network.conv.weight.zero_()
        method.network.norm.bias.fill_(1)  # every pixel the same feature
    with pytest.raises(clustering.ClusteringError, match="epoch 0 has collapsed"):
        list_through(method, 0)


@pytest.mark.parametrize("values", [{}, {"clusterings": "one"}, {"logit_rule": "inner"}])
def test_scores_are_the_epochs_then_the_final_clusterings(tiny, values):
    method = build(num_overclusters=5, **values)
    list_through(method, 0)
    method.eval()
    images = views.plain(IMAGES[:2], SIZE)
    with torch.no_grad():
        found, z = method.logits(images), method.embedding(images)
    assert list(found) == (["view1"] if values.get("clusterings") else ["view1", "view2"])
    for v, name in enumerate(found, start=1):
        expected = clustering.scores(z, method.prototypes(v, K), method.settings.logit_rule)
        torch.testing.assert_close(found[name], expected)
    for pass_ in method.closing_passes():
        assert pass_.name == "final clustering"
        assert pass_.optimizers == ()
        run(pass_)
    method.eval()
    with torch.no_grad():
        found, z = method.logits(images), method.embedding(images)
    assert list(found) == ["final"]
    torch.testing.assert_close(
        found["final"], clustering.scores(z, method.final_prototypes, method.settings.logit_rule)
    )
    assert "final_prototypes" not in method.state_dict()
    assert method.to("meta").final_prototypes.is_meta  # it moves with the module


def test_the_final_clustering_sees_the_plain_images(tiny):
    method = build("untrained", kmeans_batchnorm="running", kmeans_init_batches=50)
    for pass_ in method.closing_passes():
        run(pass_)
    order = method.clustering_pass("", print, "final").order
    with torch.no_grad():
        z = method.embedding(views.plain(IMAGES[order], SIZE))
    kmeans = method.kmeans(K, "final")
    kmeans.add(clustering.flatten(z))
    torch.testing.assert_close(method.final_prototypes, kmeans.finish()[0], atol=1e-4, rtol=0)


def test_an_epoch_with_the_real_network():
    method = Picie(Settings(image_size=64, base_size=64, batch_size=2, pretrained=False, num_clusters=3), 4)
    images = oracles.pictures(4, 64)
    for pass_ in method.passes(0):
        for start in range(0, 4, pass_.batch_size):
            order = pass_.order[start : start + pass_.batch_size]
            with torch.set_grad_enabled(bool(pass_.optimizers)):
                parts = pass_.step(Batch(images[order], order))
                loss = parts and sum(parts)
    loss.backward()
    assert np.isfinite(float(loss.detach()))
    assert all(p.grad is not None for p in method.parameters())


# What every method that learns does -----------------------------------------------------------------------------------


def training_passes(method: Method, epoch: int) -> Iterator[Pass]:
    """The passes of an epoch that train, which are not run; those before them are."""
    for pass_ in method.passes(epoch):
        if pass_.name == "train":
            yield pass_
        else:
            run(pass_)


@pytest.mark.parametrize("name", LEARNING)
def test_it_learns_at_the_settings_rate(tiny, name):
    own = {"probe": "transfer_learning_rate", "retraining": "transfer_learning_rate", "comus": "comus_learning_rate"}
    setting = own.get(name, "learning_rate")
    method = build(name, **{"learning_rate": 0.5} | {setting: 0.25} | GIVEN.get(name, {}))
    optimizers = {*method.optimizers.values(), *(o for pass_ in training_passes(method, 0) for o in pass_.optimizers)}
    assert {group["lr"] for optimizer in optimizers for group in optimizer.param_groups} == {0.25}


@pytest.mark.parametrize("name", LEARNING)
def test_every_pass_of_training_has_an_order_of_the_runs_seed_and_its_own(tiny, name):
    def orders(seed: int) -> list[list[int]]:
        method = build(name, seed=seed, **GIVEN.get(name, {}))
        return [list(pass_.order) for epoch in (0, 1) for pass_ in training_passes(method, epoch)]

    one, other = orders(1), orders(2)
    assert all(sorted(order) == list(range(N)) for order in one)
    assert len({tuple(order) for order in (*one, *other)}) == len(one) + len(other) >= 4
    assert orders(1) == one


# Without training ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["untrained", "random", "rgb", "position"])
def test_what_does_not_learn_has_no_epochs(tiny, name):
    method = build(name)
    assert not method.learns
    assert list(method.passes(0)) == []
    assert method.optimizers == {}
    if name != "random":
        assert method.logits(views.plain(IMAGES[:1], SIZE)) == {}
    found = close(method).logits(views.plain(IMAGES[:2], SIZE))
    assert list(found) == ["final"]
    assert found["final"].shape[:2] == (2, K)


def test_rgb_takes_the_nearest_mean_colour():
    method = close(build("rgb", kmeans_init_batches=50))
    pixels = views.plain(IMAGES, SIZE)
    found = method.logits(pixels)["final"].argmax(dim=1)
    assert found.shape == (N, SIZE, SIZE)
    flat = clustering.flatten(pixels).numpy()
    means = np.stack([flat[found.flatten().numpy() == k].mean(axis=0) for k in range(K)])
    np.testing.assert_allclose(method.final_prototypes, means, atol=0.02)
    np.testing.assert_array_equal(
        found[0, :4].flatten(), oracles.nearest(flat[: 4 * SIZE], method.final_prototypes.numpy())
    )


def test_position_gives_every_image_the_same_partition_by_place():
    method = build("position", num_clusters=4)
    places = method.embedding(torch.zeros(1, 3, 2, 4))[0]
    assert places[0].tolist() == [[0.125, 0.375, 0.625, 0.875]] * 2  # x
    assert places[1].tolist() == [[0.25] * 4, [0.75] * 4]  # y
    found = close(method).logits(views.plain(IMAGES[:3], SIZE))["final"].argmax(dim=1)
    assert torch.equal(found[0], found[2])
    assert len(found[0].unique()) == 4


def test_random_is_uniform_and_of_the_runs_seed():
    images = views.plain(IMAGES, SIZE)
    one, again, other = (close(build("random", seed=seed)).logits(images)["final"].argmax(dim=1) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert (one == other).float().mean() == pytest.approx(1 / K, abs=0.03)
    shares = torch.bincount(one.flatten(), minlength=K) / one.numel()
    assert shares.tolist() == pytest.approx([1 / K] * K, abs=0.03)
    assert not torch.equal(one[0], one[1])
    restored = build("random", seed=1).eval()  # a finished run's method, which has had no closing pass
    assert torch.equal(restored.logits(images)["final"].argmax(dim=1), one)
