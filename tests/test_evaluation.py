"""`evaluation`: a method over a labelled split, against labels and logits counted here."""

from types import SimpleNamespace

import numpy as np
import oracles
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from picie_core import evaluation, metrics, views
from picie_core.datasets import Prepared
from picie_core.methods.method import Method
from picie_core.settings import Settings

CPU = torch.device("cpu")
N, SIZE, K, CLASSES = 7, 32, 4, 3


class Fixed(Method):
    """Scores that are a fixed function of the image: two sets of prototypes, at a quarter of the size."""

    def __init__(self) -> None:
        super().__init__(Settings(image_size=SIZE, num_clusters=K), N)
        self.dropout = torch.nn.Dropout(0.5)  # so that training mode would show
        self.sizes: list[int] = []

    def logits(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        assert not torch.is_grad_enabled()
        self.sizes.append(len(images))
        small = F.avg_pool2d(images, 4)
        first = self.dropout(torch.cat([small, small.mean(dim=1, keepdim=True)], dim=1))
        return {"view1": first, "view2": -first}


def split(labelled: bool = True) -> Prepared:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, (N, SIZE, SIZE)).astype(np.uint8)
    labels[:, :3] = 255

    made = Prepared(
        folder="prepared/here",
        manifest={},
        images=oracles.pictures(N, SIZE).numpy(),
        labels=labels if labelled else None,
        classes=SimpleNamespace(names=("a", "b", "c")) if labelled else None,
    )
    vars(made)["names"] = [f"image {i}" for i in range(N)]  # else read from files
    return made


def test_predict_upsamples_the_logits_and_then_takes_the_largest():
    logits = oracles.noise(2, 5, 4, 6)
    found = evaluation.predict(logits, (16, 24))
    up = F.interpolate(logits, size=(16, 24), mode="bilinear", align_corners=False)
    assert found.shape == (2, 16, 24)
    assert torch.equal(found, up.argmax(dim=1))
    assert not torch.equal(found, logits.argmax(dim=1).repeat_interleave(4, 1).repeat_interleave(4, 2))
    assert torch.equal(evaluation.predict(logits, (4, 6)), logits.argmax(dim=1))


def test_predict_holds_the_upsampled_logits_of_some_images_at_a_time(monkeypatch):
    logits, shapes, real = oracles.noise(5, 3, 4, 6), [], F.interpolate
    whole = evaluation.predict(logits, (8, 12))
    monkeypatch.setattr(evaluation, "_LOGITS", 2 * 3 * 8 * 12)
    monkeypatch.setattr(F, "interpolate", lambda x, **how: (shapes.append(len(x)), real(x, **how))[1])
    assert torch.equal(evaluation.predict(logits, (8, 12)), whole)
    assert shapes == [2, 2, 1]


def test_predict_by_hand():
    logits = torch.tensor([[0.0, 4.0], [3.0, 0.0]])[None, :, None, :]  # two clusters, one row of two cells
    # cell centres at 0.25 and 0.75 of the width; at 4 pixels: 0 1 3 4 against 3 2.25 0.75 0, so the change is at 0.428
    assert evaluation.predict(logits, (1, 4)).tolist() == [[[1, 1, 0, 0]]]
    # 7 / 8 of a cell's distance apart: at 8 pixels the share of the right cell is 0 0 .125 .375 .625 .875 1 1
    assert evaluation.predict(logits, (1, 8)).tolist() == [[[1, 1, 1, 1, 0, 0, 0, 0]]]


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_confusions_are_counted_over_the_whole_split_whatever_the_batch(batch_size):
    method, data, ticks = Fixed(), split(), []
    method.train()
    found = evaluation.confusions(method, data, batch_size, CPU, ticks.append)
    assert not method.training
    assert set(found) == {"view1", "view2"}
    assert sum(ticks) == N
    assert max(ticks) <= batch_size
    with torch.no_grad():
        logits = method.logits(views.plain(torch.from_numpy(data.images), SIZE))
    for name, scores in found.items():
        clusters = F.interpolate(logits[name], (SIZE, SIZE), mode="bilinear", align_corners=False).argmax(dim=1).numpy()
        expected = np.zeros((CLASSES, K), dtype=int)
        np.add.at(expected, (data.labels[data.labels != 255], clusters[data.labels != 255]), 1)
        np.testing.assert_array_equal(scores, expected)
        assert scores.sum() == N * SIZE * (SIZE - 3)
        assert metrics.score(scores).accuracy > 0


def test_predictions_come_with_their_images_numbers():
    pieces = list(evaluation.predictions(Fixed(), split(False), 3, CPU))
    assert [indices.tolist() for indices, _ in pieces] == [[0, 1, 2], [3, 4, 5], [6]]
    assert all(found["view1"].shape == (len(indices), SIZE, SIZE) for indices, found in pieces)
    assert torch.is_grad_enabled()


def test_a_split_without_labels_cannot_be_scored():
    with pytest.raises(ValueError, match=r"prepared/here has no labels: .*Give a data set with labels"):
        evaluation.confusions(Fixed(), split(labelled=False), 3, CPU)


@given(
    st.integers(1, 5), st.integers(1, 6), st.integers(0, 60), st.randoms(use_true_random=False),
)  # fmt: skip
def test_counting_on_the_device_is_the_confusion_matrix(classes, clusters, pixels, random):
    labels = np.array([random.choice([*range(classes), 255]) for _ in range(pixels)], dtype=np.uint8)
    found = np.array([random.randrange(clusters) for _ in range(pixels)], dtype=np.int64)
    counts = evaluation.counted(torch.from_numpy(labels), torch.from_numpy(found), classes, clusters)
    assert counts.dtype == torch.int64
    assert np.array_equal(counts.numpy(), metrics.confusion(labels, found, classes, clusters))


@pytest.mark.parametrize(
    ("labels", "clusters", "what"),
    [([3, 0], [0, 0], "labels 0 to 3 where 0 to 2"), ([0, 0], [1, 4], "clusters 1 to 4 where 0 to 3")],
)
def test_what_lies_outside_its_range_is_not_counted_as_another(labels, clusters, what):
    with pytest.raises(ValueError, match=what):
        evaluation.counted(torch.tensor(labels, dtype=torch.uint8), torch.tensor(clusters), 3, 4)
