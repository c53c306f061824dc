"""`traces`: what is watched is what happens, and watching changes nothing of the training."""

import copy

import numpy as np
import pytest
import torch
from tiny_methods import D, K, N, Tiny, build
from torch import Tensor

from picie_core import devices, metrics, network, views
from picie_core.clustering import assign
from picie_core.losses import mutual_information
from picie_core.methods import Batch, Method
from picie_core.training import passes, traces
from picie_core.training.feed import Feed

EPOCHS = 2


class Split(list):
    """A prepared split of random images."""

    def __init__(self, count: int) -> None:
        super().__init__(range(count))
        self.images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        self.labels = None
        self.names = [f"image {i}" for i in range(count)]


DATA = Split(N)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "build", Tiny)
    monkeypatch.setattr(Tiny, "channels", D, raising=False)


@pytest.fixture
def fabric():
    return devices.make_fabric(build("deepcluster").settings)


def trained(method: Method, fabric) -> dict[str, Tensor]:
    """The state after as many epochs that nobody watched."""
    for epoch in range(EPOCHS):
        for pass_ in method.passes(epoch):
            passes.run(pass_, Feed(DATA, fabric.device), fabric)
    return method.state_dict()


@torch.no_grad()
def features_of(method: Method) -> Tensor:
    """Of the plain images, by their own batch statistics."""
    other = copy.deepcopy(method).train()
    return other.embedding(views.plain(torch.from_numpy(DATA.images), method.settings.image_size))


@torch.no_grad()
def labels(method: Method) -> np.ndarray:
    features = features_of(method)
    return assign(features, method.prototypes(1, K), method.settings.label_rule).numpy()


@pytest.mark.parametrize("classifier", ["parametric", "prototype"])
def test_watching_deepcluster_changes_nothing(fabric, classifier):
    method = build("deepcluster", classifier=classifier)
    trace = traces.follow(method, DATA, fabric, EPOCHS)
    expected = trained(build("deepcluster", classifier=classifier), fabric)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in method.state_dict().items())
    batches = -(-N // method.settings.batch_size)
    assert trace.steps["step"].tolist() == list(range(EPOCHS * batches))
    assert trace.steps["epoch"].tolist() == [epoch for epoch in range(EPOCHS) for _ in range(batches)]
    last = trace.steps[trace.steps["epoch"] == EPOCHS - 1]["loss"]
    sizes = [min(method.settings.batch_size, N - start) for start in range(0, N, method.settings.batch_size)]
    assert np.average(last, weights=sizes) == pytest.approx(method.record[f"loss_within_{K}"], rel=1e-5)


def test_fit_and_changes_are_of_the_pixels_of_the_plain_images(fabric, monkeypatch):
    real, seen = passes.run, []

    def run_pass(pass_, data, device):
        if pass_.name == "train":
            seen.append((labels(method), guesses(method)))
        found = real(pass_, data, device)
        if pass_.name == "train":
            seen[-1] += (guesses(method),)
        return found

    @torch.no_grad()
    def guesses(method):
        return method.classify(features_of(method), 1, K).argmax(dim=1).numpy()

    monkeypatch.setattr(passes, "run", run_pass)
    method = build("deepcluster")
    table = traces.follow(method, DATA, fabric, EPOCHS).epochs
    assert table.columns.tolist() == ["epoch", "fit before", "fit after", "changed"]
    for row, (truth, before, after) in zip(table.itertuples(index=False), seen, strict=True):
        assert row[1:3] == pytest.approx((100 * np.mean(before == truth), 100 * np.mean(after == truth)))
    assert np.isnan(table["changed"][0])
    aligned, _ = metrics.align(seen[0][0], seen[1][0], K)
    assert table["changed"][1] == pytest.approx(100 * np.mean(aligned != seen[0][0]))


def test_prototypes_give_their_own_labels_from_the_start(fabric):
    method = build("deepcluster", classifier="prototype", logit_rule="euclidean")
    table = traces.follow(method, DATA, fabric, EPOCHS).epochs
    assert table["fit before"].tolist() == [100, 100]


@torch.no_grad()
def probe(method: Method) -> np.ndarray:
    """The joint distributions of the pairs of the first pass."""
    batch = Batch(torch.from_numpy(DATA.images), np.arange(N))
    first, second, mask = copy.deepcopy(method).train().maps(0, batch, ["main"])
    t = method.settings.iic_displacement
    return mutual_information.joint(first["main"] * mask, second["main"] * mask, t).numpy()


def test_watching_iic_changes_nothing(fabric):
    method, other = build("iic", iic_displacement=1), build("iic", iic_displacement=1)
    found = traces.joints(method, DATA, fabric, EPOCHS)
    assert found.shape == (EPOCHS + 1, 3, 3, K, K)
    np.testing.assert_array_equal(found[0], probe(other))
    expected = trained(other, fabric)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in method.state_dict().items())
    np.testing.assert_array_equal(found[-1], probe(other))
    assert np.abs(found[1] - found[0]).max() > 1e-6
