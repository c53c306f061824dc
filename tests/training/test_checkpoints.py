"""`training.checkpoints`: at every moment of saving one there is a whole one, and what was saved comes back."""

import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from tiny_runs import die, full, killed, watch_disk

from picie_core.errors import UnreadableError
from picie_core.training import checkpoints


def checkpoint(number):
    counters = {"epochs_done": number, "seconds": 0.5, "param_groups": {}, "rows": [{"loss": number / 3}]}
    return {"weight": torch.full((4,), float(number))}, counters


def number_of(found):
    tensors, counters = found
    assert torch.equal(tensors["weight"], torch.full((4,), float(counters["epochs_done"])))
    return counters["epochs_done"]


def test_a_checkpoint_comes_back_and_is_replaced(tmp_path):
    assert checkpoints.load(tmp_path) is None
    for number in (1, 2, 3):
        checkpoints.save(tmp_path, *checkpoint(number))
        tensors, counters = checkpoints.load(tmp_path)
        assert torch.equal(tensors["weight"], checkpoint(number)[0]["weight"])
        assert counters == checkpoint(number)[1]
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    checkpoints.drop(tmp_path)
    assert not list(tmp_path.iterdir())


def steps():
    """Each thing that saving a checkpoint does to the disk, by name."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        folder = Path(tempfile.mkdtemp())
        checkpoints.save(folder, *checkpoint(1))
        watch_disk(patch.setattr, found.append)
        checkpoints.save(folder, *checkpoint(2))
    shutil.rmtree(folder)
    return found


STEPS = steps()


def test_saving_has_the_steps_that_are_tried():
    assert [step for step in STEPS if step.split()[0] in ("replace", "rename")] == [
        "replace state.safetensors",
        "replace counters.json",
        "rename checkpoint checkpoint.old",
        "rename checkpoint.new checkpoint",
    ]
    assert len(STEPS) >= 8


@pytest.mark.parametrize("step", range(len(STEPS)), ids=lambda number: STEPS[number])
def test_killed_before_any_step_there_is_a_whole_checkpoint(tmp_path, step):
    checkpoints.save(tmp_path, *checkpoint(1))

    def work():
        left = iter(range(len(STEPS)))
        watch_disk(setattr, lambda _: die() if next(left) == step else None)
        checkpoints.save(tmp_path, *checkpoint(2))

    assert killed(work)
    renamed = step > STEPS.index("rename checkpoint.new checkpoint")
    assert number_of(checkpoints.load(tmp_path)) == (2 if renamed else 1)
    checkpoints.save(tmp_path, *checkpoint(3))  # the rest of the dead one is in nobody's way
    assert number_of(checkpoints.load(tmp_path)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("step", [n for n, name in enumerate(STEPS) if name.startswith(("fsync", "replace", "mkdir"))])
def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch, step):
    checkpoints.save(tmp_path, *checkpoint(1))
    left = iter(range(len(STEPS)))
    watch_disk(monkeypatch.setattr, lambda _: full() if next(left) == step else None)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(tmp_path, *checkpoint(2))
    monkeypatch.undo()
    assert number_of(checkpoints.load(tmp_path)) == 1


def test_a_half_written_checkpoint_is_never_loaded(tmp_path, caplog):
    checkpoints.save(tmp_path, *checkpoint(1))
    (tmp_path / "checkpoint").rename(tmp_path / "checkpoint.new")
    assert checkpoints.load(tmp_path) is None
    assert not caplog.text
    checkpoints.save(tmp_path, *checkpoint(1))
    (tmp_path / "checkpoint" / "counters.json").unlink()
    assert checkpoints.find(tmp_path) is checkpoints.load(tmp_path) is None
    assert f"{tmp_path / 'checkpoint'} has no counters.json: the run starts anew" in caplog.text


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("state.safetensors", slice(40), "incomplete|too large|invalid"),
        ("state.safetensors", slice(0), "header too small"),
        ("state.safetensors", None, "No such file"),
        ("counters.json", slice(0), "counters.json is no JSON"),
        ("counters.json", slice(20), "counters.json is no JSON"),
        ("counters.json", b"\xff\xfe", "counters.json is no JSON"),
        ("counters.json", b"[3]", "counters.json is not that of a run: it lacks epochs_done, seconds"),
        ("counters.json", b'{"epochs_done": 1, "rows": []}', "it lacks seconds, param_groups"),
    ],
)
def test_a_damaged_checkpoint_is_told_with_what_to_do(tmp_path, file, content, words):
    checkpoints.save(tmp_path, *checkpoint(1))
    place = tmp_path / "checkpoint" / file
    whole = place.read_bytes()
    place.unlink()
    if content is not None:
        place.write_bytes(whole[content] if isinstance(content, slice) else content)
    with pytest.raises(
        UnreadableError, match=rf"checkpoint cannot be read: .*({words}).*Delete that folder to train the run anew$"
    ):
        checkpoints.load(tmp_path)
    shutil.rmtree(tmp_path / "checkpoint")
    assert checkpoints.load(tmp_path) is None
