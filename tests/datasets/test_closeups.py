"""Close-ups of scenes."""

import hashlib

import numpy as np
import pytest

from picie_core import scenes
from picie_core.datasets import closeups, prepare
from picie_core.datasets.framing import short_side


def load(index, size=64):
    return closeups.Closeup(index).load(size, short_side, None)


def test_frames_by_hand():
    label = np.zeros((256, 256), dtype=np.uint8)
    label[100:140, 60:100] = 8  # a car, 40 x 40: its frame is 56 wide, centred on (120, 80)
    label[0:40, 216:256] = 9  # a person in the corner: the frame stays inside the image
    label[200:210, 0:10] = 10  # an animal of 100 pixels is too small
    found = {thing: rest for thing, *rest in closeups.frames(label)}
    assert found == {
        8: [pytest.approx(1600 / 56**2), 92, 52, 56],
        9: [pytest.approx(1600 / 56**2), 0, 200, 56],
    }


def test_other_things_in_the_frame_count_against_it():
    label = np.zeros((256, 256), dtype=np.uint8)
    label[100:140, 60:100] = 8
    alone = next(iter(closeups.frames(label)))[1]
    label[141:147, 60:100] = 9  # 240 pixels, too few to be framed itself
    assert next(iter(closeups.frames(label)))[1] == pytest.approx(alone - 2 * 240 / 56**2)


def test_an_object_whose_frame_would_not_fit_is_not_framed():
    label = np.zeros((256, 256), dtype=np.uint8)
    label[10:20, 0:190] = 11  # 1.4 x 190 = 266
    assert list(closeups.frames(label)) == []


def test_turns_make_the_objects_differ():
    """Of eight in a row each class is the largest thing of at least one."""
    things = sorted(scenes.THINGS)
    largest = [things[np.bincount(load(i).label.ravel(), minlength=12)[things].argmax()] for i in range(8)]
    assert set(largest) == set(things)


def test_a_closeup_holds_more_object_than_a_scene():
    ours = np.mean([np.isin(load(i).label, list(scenes.THINGS)).mean() for i in range(6)])
    theirs = np.mean([np.isin(scenes.render(i, 64)[1], list(scenes.THINGS)).mean() for i in range(24)])
    assert ours > 1.3 * theirs


def test_the_same_closeup_at_two_sizes():
    small, large = load(3, 32).label, load(3, 128).label
    assert (large[2::4, 2::4] == small).mean() > 0.9


def test_frozen():
    digest = hashlib.sha256(b"".join(load(i, 32).label.tobytes() for i in range(4))).hexdigest()
    assert (closeups.VERSION, digest[:16]) == (1, "15e32d20e5de19a2")


def test_prepared_like_any_data_set(tmp_path, monkeypatch):
    monkeypatch.setenv("PICIE_PREPARED", str(tmp_path))
    train, val = (prepare("closeups", split=split, size=32, limit=2, progress=False) for split in ("train", "val"))
    assert train.names == ["closeup-000000", "closeup-000001"]
    assert not set(train.names) & set(val.names)
    assert train.images[0:2].shape == (2, 32, 32, 3)
    assert (train.labels[0:1] == load(0, 32).label).all()
    assert train.classes == prepare("scenes", split="val", size=32, limit=2, progress=False).classes
