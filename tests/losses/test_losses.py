"""`losses`, and the whole loss of PiCIE on a batch, against float64 loops over pixels."""

import math

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_methods import Tiny
from torch import nn

from picie_core import losses, network
from picie_core.methods.method import Batch
from picie_core.methods.picie import Picie
from picie_core.settings import Settings
from picie_core.views import geometry


def test_weighted_cross_entropy_is_the_loops():
    logits, labels = 3 * oracles.noise(2, 5, 3, 4), (10 * oracles.noise(2, 3, 4, seed=1)).long() % 5
    for weights in (torch.ones(5), torch.tensor([0.1, 2.0, 0.7, 0.0, 1.3])):
        expected = oracles.cross_entropy(logits.numpy(), labels.numpy(), weights.numpy())
        for kind in (torch.uint8, torch.int16, torch.int64):
            assert float(losses.clustering_loss(logits, labels.to(kind), weights)) == pytest.approx(expected, rel=1e-5)


def test_weighted_cross_entropy_by_hand():
    logits = torch.zeros(1, 2, 1, 2)
    logits[0, 0, 0, 1] = math.log(3)  # pixels: shares (1/2, 1/2) and (3/4, 1/4)
    labels, weights = torch.tensor([[[0, 1]]]), torch.tensor([1.0, 3.0])
    expected = (1 * math.log(2) + 3 * math.log(4)) / 4
    assert float(losses.clustering_loss(logits, labels, weights)) == pytest.approx(expected)


@given(st.floats(0.01, 100))
def test_the_scale_of_the_weights_does_not_matter(scale):
    logits, labels, weights = oracles.noise(1, 3, 2, 2), torch.tensor([[[0, 1], [2, 2]]]), torch.tensor([1.0, 0.2, 4.0])
    found = losses.clustering_loss(logits, labels, scale * weights)
    torch.testing.assert_close(found, losses.clustering_loss(logits, labels, weights))


def test_balance_by_hand_with_an_empty_cluster():
    counts = torch.tensor([6, 0, 1, 3])
    assert losses.balance_weights(counts, "inverse").tolist() == pytest.approx([10 / 24, 10 / 4, 10 / 4, 10 / 12])
    assert losses.balance_weights(counts, "proportional").tolist() == pytest.approx([0.6, 0, 0.1, 0.3])
    assert losses.balance_weights(counts, "none").tolist() == [1, 1, 1, 1]
    assert all(losses.balance_weights(counts, r).dtype == torch.float32 for r in ("inverse", "proportional", "none"))


@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=9))
def test_inverse_balance_gives_every_cluster_the_same_say(counts):
    say = losses.balance_weights(torch.tensor(counts), "inverse").double() * torch.tensor(counts)
    np.testing.assert_allclose(say, sum(counts) / len(counts), rtol=1e-6)


def test_the_supervised_loss_by_hand_leaves_void_out_of_sum_and_count():
    logits = torch.zeros(1, 2, 1, 3)
    logits[0, 0, 0, 1] = math.log(3)  # pixels: shares (1/2, 1/2), (3/4, 1/4), (1/2, 1/2)
    labels = torch.tensor([[[0, 1, 255]]], dtype=torch.uint8)
    assert float(losses.supervised_loss(logits, labels)) == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_two_view_loss_by_hand():
    """Four cross-entropies that are equal give that value: the mean of the means."""
    assert losses.two_view_loss(torch.tensor(2 * 1.5), torch.tensor(2 * 1.5)) == 1.5
    assert losses.two_view_loss(torch.tensor(4.0), torch.tensor(8.0)) == 3


def test_view_difference_counts_every_channel():
    a, b = torch.zeros(2, 4, 3, 3), torch.zeros(2, 4, 3, 3)
    b[:, 0] = 1
    assert losses.view_difference(a, b) == 0.25


def test_overclustering_weights_by_reading():
    for reading, expected in (("A", (0.417, 0.583)), ("B", (0.583, 0.417))):
        found = losses.overcluster_weights(27, 100, reading)
        assert found == pytest.approx(expected, abs=5e-4)
        assert sum(found) == pytest.approx(1)
    first, second = losses.overcluster_weights(27, 100, "B")
    assert first * math.log(27) == pytest.approx(second * math.log(100))  # what B is for


# The whole loss on a batch -------------------------------------------------------------------------------------------

N, SIZE, D = 5, 32, 6


def picie(monkeypatch: pytest.MonkeyPatch, **values) -> tuple[Picie, Batch]:
    """PiCIE with labels, prototypes and weights as an epoch leaves them (here random), and a batch of its images."""
    monkeypatch.setattr(network, "build", Tiny)
    common = {"image_size": SIZE, "base_size": SIZE, "feature_dim": D, "num_clusters": 3}
    method = Picie(Settings(**(common | values)), N)
    for number, ((v, k), labels) in enumerate(method.labels.items()):
        generator = torch.Generator().manual_seed(number)
        labels.copy_(torch.randint(0, k, labels.shape, generator=generator))
        labels[labels == k - 1] = 0  # the last cluster is empty, the first is large
        method.prototypes(v, k).copy_(0.8 * torch.randn(k, D, generator=generator))
        counts = torch.bincount(labels.flatten().long(), minlength=k)
        method.weights[v, k] = losses.balance_weights(counts, method.settings.balance)
    return method, Batch(oracles.pictures(3, SIZE), np.array([4, 0, 2]))


def expected_loss(method: Picie, epoch: int, batch: Batch) -> float:
    """The formula of the class's docstring, from features, labels and prototypes, in float64 loops."""
    s = method.settings
    z = {v: method.view(v, epoch, batch).detach().numpy().astype(np.float64) for v in (1, 2)}
    total, mse = 0.0, float(((z[1] - z[2]) ** 2).mean())
    sizes = [s.num_clusters, *([s.num_overclusters] if s.num_overclusters else [])]
    logs = [math.log(k) for k in sizes]
    shares = [1.0]
    if len(sizes) == 2:
        shares = [logs[1] / sum(logs), logs[0] / sum(logs)]
        shares = shares if s.overcluster_weights == "B" else shares[::-1]
    for k, share in zip(sizes, shares, strict=True):
        ce = {}
        for view in (1, 2):
            for source in (1, 2):
                v = source if s.clusterings == "two" else 1
                labels = method.labels[v, k].numpy()
                counts = np.array([(labels == c).sum() for c in range(k)])
                weights = {
                    "inverse": counts.sum() / (k * np.maximum(counts, 1)),
                    "proportional": counts / counts.sum(),
                    "none": np.ones(k),
                }[s.balance]
                logits = oracles.scores(z[view], method.prototypes(v, k).numpy(), s.logit_rule) / s.temperature
                ce[view, source] = oracles.cross_entropy(logits, labels[batch.indices], weights)
        within, cross = (ce[1, 1] + ce[2, 2]) / 2, (ce[1, 2] + ce[2, 1]) / 2
        if s.mse == "instead":
            cross = mse
        total += share * (within + cross) / 2
    return (total + mse) / 2 if s.mse == "added" else total


CASES = [
    {"recipe": "paper"},
    {"recipe": "release"},
    {"recipe": "ours"},
    *({"balance": balance} for balance in ("inverse", "proportional", "none")),
    *({"logit_rule": rule, "temperature": 0.3} for rule in ("inner", "cosine", "euclidean")),
    {"num_overclusters": 7},
    {"num_overclusters": 7, "overcluster_weights": "A", "balance": "proportional"},
    {"num_overclusters": 300},  # labels of another type
    {"clusterings": "one"},
    {"clusterings": "one", "num_overclusters": 7},
    {"mse": "added"},
    {"mse": "instead"},
    {"mse": "instead", "num_overclusters": 7},
    {"mse": "added", "clusterings": "one", "recipe": "release"},
    {"photometric": False, "geometric": False},
]


@pytest.mark.parametrize("values", CASES, ids=lambda values: " ".join(f"{k}={v}" for k, v in values.items()))
def test_the_loss_of_a_batch_is_the_formulas(monkeypatch, values):
    method, batch = picie(monkeypatch, **values)
    found = method.loss(2, batch)
    assert found.shape == ()
    assert float(found.detach()) == pytest.approx(expected_loss(method, 2, batch), rel=1e-4)


def test_the_cases_differ(monkeypatch):
    """Otherwise the oracle above would not tell one setting from another."""
    found = []
    for values in CASES[3:6] + CASES[6:9] + CASES[9:11] + CASES[12:13] + CASES[14:16]:
        method, batch = picie(monkeypatch, **values)
        found.append(round(float(method.loss(2, batch).detach()), 5))
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("values", [{}, {"num_overclusters": 7, "mse": "added"}, {"clusterings": "one"}], ids=str)
def test_both_views_get_the_gradient_of_the_formulas(monkeypatch, values):
    """Each view learns from its own and from the other's labels: differences of the loops' float64 value."""
    method, batch = picie(monkeypatch, **values)
    z = {v: method.view(v, 2, batch).detach().double() for v in (1, 2)}
    leaves = {v: maps.clone().requires_grad_() for v, maps in z.items()}
    monkeypatch.setattr(method, "view", lambda v, *_: leaves[v])
    method.loss(2, batch).backward()
    monkeypatch.setattr(method, "view", lambda v, *_: z[v])
    for v in (1, 2):
        for place in np.random.default_rng(v).choice(z[v].numel(), 4, replace=False):
            flat, sides = z[v].view(-1), []
            for step in (1e-4, -2e-4):
                flat[place] += step
                sides.append(expected_loss(method, 2, batch))
            flat[place] += 1e-4
            slope = (sides[0] - sides[1]) / 2e-4
            assert abs(slope) > 1e-6
            assert float(leaves[v].grad.view(-1)[place]) == pytest.approx(slope, rel=1e-3)


def test_a_parametric_classifier_stands_where_the_prototypes_stood(monkeypatch):
    method, batch = picie(monkeypatch, classifier="parametric", balance="none")
    method.heads = {v: nn.Conv2d(D, 3, 1) for v in (1, 2)}
    z = {v: method.view(v, 0, batch) for v in (1, 2)}
    terms = [
        oracles.cross_entropy(method.heads[v](z[u]).detach().numpy(), method.labels[v, 3][batch.indices], np.ones(3))
        for u in (1, 2)
        for v in (1, 2)
    ]
    assert float(method.loss(0, batch).detach()) == pytest.approx(sum(terms) / 4, rel=1e-5)


def test_terms_are_the_two_sums_that_the_total_is_made_of(monkeypatch):
    method, batch = picie(monkeypatch, num_overclusters=7, mse="added")
    terms = method.terms(0, batch)
    assert set(terms) == {"within_3", "cross_3", "within_7", "cross_7", "mse"}
    assert set(picie(monkeypatch)[0].terms(0, batch)) == {"within_3", "cross_3"}
    assert method.total(terms) == method.loss(0, batch)


@pytest.mark.parametrize("values", CASES, ids=lambda values: " ".join(f"{k}={v}" for k, v in values.items()))
def test_views_descended_one_after_the_other_give_the_gradient_of_their_sum(monkeypatch, values):
    method, batch = picie(monkeypatch, **values)
    weights = list(method.network.parameters())
    together = torch.autograd.grad(method.loss(2, batch), weights)
    shown = 0
    for share in method.shares(2, batch):
        shown += 1
        method.total(share).backward()  # before the next share is computed
    assert shown == (2 if method.settings.mse == "none" else 1)
    assert all(torch.equal(weight.grad, sum_) for weight, sum_ in zip(weights, together, strict=True))


@pytest.mark.parametrize("recipe", ["paper", "release"])
def test_the_gradient_passes_through_the_warp_of_view_2_and_not_into_prototypes(monkeypatch, recipe):
    method, batch = picie(monkeypatch, recipe=recipe, crop_min_side=0.2)
    epoch = next(e for e in range(99) if geometry.draw(method.settings, e, batch.indices).side.min() < 0.5)
    kept = []
    monkeypatch.setattr(geometry, "apply", spy_on(geometry.apply, kept))
    method.loss(epoch, batch).backward()
    before, after = next((maps, moved) for maps, moved in kept if maps.requires_grad)
    assert before.grad is not None
    assert after.grad is not None
    assert before.grad.abs().sum() > 0
    outside = torch.ones(3, SIZE // 4, SIZE // 4, dtype=torch.bool)
    boxes = geometry.draw(method.settings, epoch, batch.indices).boxes(outside.shape[-1])
    cell = 1 / outside.shape[-1]
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        centres = (torch.arange(outside.shape[-1]) + 0.5) * cell
        across, down = (centres > x0 - cell) & (centres < x1 + cell), (centres > y0 - cell) & (centres < y1 + cell)
        outside[i] = ~(down[:, None] & across[None])
    assert outside.any()
    assert (before.grad.abs().sum(dim=1)[outside] == 0).all()  # nothing is learned from what the crop left out
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.network.parameters())
    for v in (1, 2):
        assert not method.prototypes(v, 3).requires_grad
        assert method.prototypes(v, 3).grad is None
    assert all(p is not method.prototypes(1, 3) for g in method.optimizers["network"].param_groups for p in g["params"])


def spy_on(apply, kept: list):
    """`geometry.apply`, keeping what goes in and comes out."""

    def spied(maps: torch.Tensor, *rest):
        moved = apply(maps, *rest)
        if maps.requires_grad:
            maps.retain_grad()
            moved.retain_grad()
        kept.append((maps, moved))
        return moved

    return spied
