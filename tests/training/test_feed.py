"""`feed`: whichever way images come to the device, they are the same."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from picie_core import training
from picie_core.processes import ranks
from picie_core.training.feed import AHEAD, Feed

CPU = torch.device("cpu")


class Watched:
    """Rows of an array, and what is asked of them, and by which thread."""

    def __init__(self, array):
        self.array, self.asked, self.nbytes, self.shape = array, [], array.nbytes, array.shape

    def __len__(self):
        return len(self.array)

    def __getitem__(self, rows):
        self.asked.append((list(rows), threading.current_thread() is threading.main_thread()))
        return self.array[rows]


@pytest.fixture
def data():
    random = np.random.default_rng(2)
    images = random.integers(0, 256, (10, 4, 4, 3)).astype(np.uint8)
    labels = random.integers(0, 5, (10, 4, 4)).astype(np.uint8)

    class Data(SimpleNamespace):
        def __len__(self):
            return len(self.images)

    return Data(images=Watched(images), labels=Watched(labels), names=[f"i{n}" for n in range(10)])


PARTS = [np.array([3, 1]), np.array([9, 0, 4]), np.array([2]), np.array([5, 6])]
WAYS = {"mapped": {}, "resident": {"memory": 10 * 64}, "read ahead": {"ahead": True}}


@pytest.mark.parametrize("way", WAYS)
def test_batches_hold_what_was_asked_for(way, data, monkeypatch):
    monkeypatch.setattr(training.feed, "PART", 4)  # the last part of ten is smaller
    feed = Feed(data, CPU, **WAYS[way])
    assert feed.resident == (way == "resident")
    for _ in range(2):  # pass after pass
        found = list(feed.batches(PARTS))
        for batch, indices in zip(found, PARTS, strict=True):
            assert batch.indices is indices
            np.testing.assert_array_equal(batch.images.numpy(), data.images.array[indices])
            np.testing.assert_array_equal(batch.labels.numpy(), data.labels.array[indices])
            assert batch.names == [f"i{n}" for n in indices]
            assert batch.images.dtype == torch.uint8


@pytest.mark.parametrize("way", WAYS)
def test_a_split_without_labels(way, data):
    data.labels = None
    assert all(batch.labels is None for batch in Feed(data, CPU, **WAYS[way]).batches(PARTS))


def test_without_labels_none_are_read_nor_counted(data):
    for way in WAYS.values():
        assert all(batch.labels is None for batch in Feed(data, CPU, labels=False, **way).batches(PARTS))
    assert Feed(data, CPU, labels=False, memory=10 * 48).resident
    assert not data.labels.asked


def test_it_is_kept_where_images_and_labels_fit(data):
    assert Feed(data, CPU, memory=10 * 64).resident  # 48 bytes of an image, 16 of its labels
    assert not Feed(data, CPU, memory=10 * 64 - 1).resident


def test_what_is_resident_is_read_once(data):
    feed = Feed(data, CPU, memory=1000)
    for _ in range(3):
        list(feed.batches(PARTS))
    assert [rows for rows, _ in data.images.asked] == [list(range(10))]


def test_a_rank_keeps_its_own_images(data, monkeypatch):
    monkeypatch.setattr(ranks, "count", lambda: 2)
    monkeypatch.setattr(ranks, "number", lambda: 1)
    feed = Feed(data, CPU, memory=5 * 64)
    assert feed.resident
    assert [rows for rows, _ in data.images.asked] == [[5, 6, 7, 8, 9]]
    (batch,) = feed.batches([np.array([9, 5])])
    np.testing.assert_array_equal(batch.images.numpy(), data.images.array[[9, 5]])


def test_reading_ahead_is_another_threads_and_no_further_than_it_says(data):
    found = Feed(data, CPU, ahead=True).batches(PARTS)
    next(found)
    assert len(data.images.asked) <= 1 + AHEAD
    list(found)
    assert [rows for rows, _ in data.images.asked] == [part.tolist() for part in PARTS]
    assert not any(main for _, main in data.images.asked)


def test_an_error_of_the_reading_thread_is_raised(data):
    with pytest.raises(IndexError):
        list(Feed(data, CPU, ahead=True).batches([np.array([0]), np.array([99])]))
