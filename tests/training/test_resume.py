"""A run that is killed anywhere and started again ends as one that was never interrupted, bit for bit."""

import signal

import pytest
from tiny_runs import PROCESSES, outcome, run_and_die, shrink, tiny, watch_disk, watch_passes

from picie_core import records, training
from picie_core.records import parts
from picie_core.training import checkpoints, run

# (what happens, for the how manyth time, epochs that are done by then)
DEATHS = [
    ("cluster", 1, 0),  # the first batch of the first clustering
    ("train", 2, 0),
    ("replace state.safetensors", 1, 0),
    ("rename checkpoint.new checkpoint", 1, 0),
    ("cluster", 8, 1),  # 6 batches of clustering an epoch
    ("label", 5, 1),
    ("train", 3, 1),
    ("replace progress.csv", 2, 1),
    ("replace counters.json", 2, 1),
    ("rename checkpoint.new checkpoint", 2, 1),  # between the two renames
    ("train", 6, 2),
    ("final clustering", 2, 3),
    ("replace model.safetensors", 1, 3),
    ("replace result.json", 1, 3),
]


def killed(settings, event, nth, small=True):
    process = PROCESSES.Process(target=run_and_die, args=(settings, small, event, nth))
    process.start()
    process.join(100)
    assert process.exitcode == -signal.SIGKILL, f"{event} did not happen {nth} times"


def folder_of(settings):
    return training.run_folder(settings, *training.splits(settings))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run's outcome, by what is particular to its settings."""
    known = {}

    def of(**changes):
        key = str(changes)
        if key not in known:
            with pytest.MonkeyPatch.context() as patch:
                shrink(patch.setattr)
                known[key] = outcome(run(tiny(tmp_path_factory.mktemp("whole"), **changes)))
        return known[key]

    return of


@pytest.mark.parametrize(("event", "nth", "done"), DEATHS, ids=lambda value: str(value))
def test_killed_and_started_again(tmp_path, monkeypatch, whole, event, nth, done):
    shrink(monkeypatch.setattr)
    killed(tiny(tmp_path), event, nth)
    folder = folder_of(tiny(tmp_path))
    assert not records.is_done(folder)
    found = checkpoints.load(folder)
    assert (found[1]["epochs_done"] if found else 0) == done
    trained = []
    watch_passes(monkeypatch.setattr, trained.append)
    again = run(tiny(tmp_path))
    assert trained.count("train") == 2 * (3 - done)  # what was done is not done again
    assert outcome(again) == whole()
    assert not list(folder.glob("checkpoint*"))


def test_killed_again_and_again(tmp_path, monkeypatch, whole):
    shrink(monkeypatch.setattr)
    killed(tiny(tmp_path), "rename checkpoint.new checkpoint", 2)  # leaves checkpoint.old and checkpoint.new
    killed(tiny(tmp_path), "replace counters.json", 1)  # and the next one dies while it writes beside them
    killed(tiny(tmp_path), "train", 4)
    killed(tiny(tmp_path), "replace result.json", 1)
    assert outcome(run(tiny(tmp_path))) == whole()


@pytest.mark.parametrize(
    ("changes", "event", "nth"),
    [
        ({"num_overclusters": 9}, "train", 3),  # 2 batches of training an epoch
        ({"training_clusters": 9}, "train", 3),
        ({"classifier": "parametric"}, "train", 3),
        ({"clusterings": "one"}, "train", 3),
        ({"kmeans_batchnorm": "running"}, "train", 3),
        ({"method": "deepcluster"}, "train", 3),
        ({"method": "deepcluster", "training_clusters": 9}, "final clustering", 2),  # whose classifier is scored after
        ({"method": "iic", "iic_displacement": 3}, "train", 7),  # 4 an epoch: in the second pass of the second
        ({"method": "supervised", "num_clusters": 12}, "train", 3),
        ({"method": "probe", "pretext": "untrained", "num_clusters": 12, "transfer_epochs": 2}, "train", 3),
        ({"method": "retraining", "pretext": "deepcluster", "num_clusters": 12, "transfer_epochs": 2}, "train", 7),
    ],
    ids=str,
)
def test_other_methods_keep_their_state_too(tmp_path, monkeypatch, whole, changes, event, nth):
    shrink(monkeypatch.setattr)
    changes = changes | {"epochs": 2}
    killed(tiny(tmp_path, **changes), event, nth)
    assert checkpoints.load(folder_of(tiny(tmp_path, **changes))) is not None
    assert outcome(run(tiny(tmp_path, **changes))) == whole(**changes)


@pytest.mark.slow
def test_the_real_network_too(tmp_path):
    """Convolutions in channels-last, Adam on all of resnet18: what the small network might hide."""
    killed(tiny(tmp_path / "killed", epochs=2), "train", 3, small=False)
    assert outcome(run(tiny(tmp_path / "killed", epochs=2))) == outcome(run(tiny(tmp_path / "whole", epochs=2)))


def test_the_seconds_of_the_epochs_before_are_kept(tmp_path, monkeypatch):
    shrink(monkeypatch.setattr)
    killed(tiny(tmp_path), "train", 3)
    before = parts.read_progress(folder_of(tiny(tmp_path)))
    again = run(tiny(tmp_path))
    assert again.progress["seconds"][0] == before["seconds"][0]
    assert again.result["seconds"] > again.progress["seconds"].sum() - 1e-9


def test_a_damaged_table_of_epochs_is_written_anew_from_the_checkpoint(tmp_path, monkeypatch, whole):
    """Also where no epoch is left that would write it."""
    shrink(monkeypatch.setattr)
    killed(tiny(tmp_path), "replace result.json", 1)
    (folder_of(tiny(tmp_path)) / "progress.csv").write_text("epoch,lo")
    assert outcome(run(tiny(tmp_path))) == whole()


def test_a_full_disk_stops_the_run_and_keeps_its_checkpoint(tmp_path, monkeypatch, whole):
    shrink(monkeypatch.setattr)
    saves = iter(range(10))

    def full(name):
        if name == "replace counters.json" and next(saves) == 1:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        watch_disk(patch.setattr, full)
        with pytest.raises(OSError, match="No space left"):
            run(tiny(tmp_path))
    assert checkpoints.load(folder_of(tiny(tmp_path)))[1]["epochs_done"] == 1
    assert outcome(run(tiny(tmp_path))) == whole()
