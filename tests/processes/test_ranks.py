"""`ranks` and `launcher`: several processes compute what one would, and die together."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import rank_work
import torch
from children import gone, wait_for
from tiny_runs import outcome, tiny

from picie_core import records, training
from picie_core.clustering import MiniBatchKMeans
from picie_core.processes import launcher, ranks
from picie_core.settings import Settings, SettingsError
from picie_core.training import checkpoints

HERE = Path(__file__).parents[1]


# --- alone ----------------------------------------------------------------------------------------------------------


def test_alone_everything_is_what_it_was():
    assert (ranks.count(), ranks.number(), ranks.own(7)) == (1, 0, range(7))
    x = torch.ones(3, requires_grad=True)
    assert ranks.total(x) is x
    assert ranks.same(x) is x
    assert ranks.gathered(x) is x
    assert ranks.part(torch.tensor(5.0)) == 1
    assert ranks.agreed(True)
    assert not ranks.agreed(False)
    order = np.array([4, 2, 0, 1, 3])
    assert [part.tolist() for part in ranks.batches(order, 2, 5)] == [[4, 2], [0, 1], [3]]


# --- who has what ---------------------------------------------------------------------------------------------------


@pytest.fixture
def as_rank(monkeypatch):
    """Pretend to be a rank; nothing is sent."""

    def pretend(number, count):
        monkeypatch.setattr(ranks, "count", lambda: count)
        monkeypatch.setattr(ranks, "number", lambda: number)

    return pretend


@pytest.mark.parametrize(("images", "count"), [(8, 2), (17, 4), (5, 5), (1000, 7)])
def test_every_image_is_one_ranks(images, count, as_rank):
    found = []
    for number in range(count):
        as_rank(number, count)
        found.append(ranks.own(images))
    assert sorted(i for own in found for i in own) == list(range(images))
    assert {len(own) for own in found} <= {images // count, images // count + 1}


@pytest.mark.parametrize(("images", "batch", "count"), [(32, 16, 2), (33, 16, 2), (50, 7, 3), (367, 16, 8)])
def test_the_ranks_batches_are_as_many_and_hold_every_image_once(images, batch, count, as_rank):
    order = np.random.default_rng(0).permutation(images)
    parts = []
    for number in range(count):
        as_rank(number, count)
        parts.append(ranks.batches(order, batch, images))
        assert set(np.concatenate(parts[-1])) == set(ranks.own(images))
    assert {len(mine) for mine in parts} == {-(-images // batch)}
    together = [np.concatenate(step) for step in zip(*parts, strict=True)]
    assert sorted(np.concatenate(together)) == list(range(images))
    assert max(map(len, together)) <= batch + count  # equal parts: no batch much above what was asked for


def test_a_pass_over_some_images_is_shared_too(as_rank):
    as_rank(1, 2)
    few = ranks.batches(np.array([9, 1, 2, 8, 5, 7]), 3, 10)  # of 5..9: 9, 8, 5, 7 in that order
    assert [part.tolist() for part in few] == [[9, 8], [5, 7]]


def test_too_few_images_are_refused(as_rank):
    as_rank(0, 4)
    with pytest.raises(ranks.RankError, match="3 images cannot be shared by 4 devices"):
        ranks.own(3)
    with pytest.raises(ranks.RankError, match="give fewer devices, or a larger batch_size"):
        ranks.batches(np.arange(8), 2, 8)  # two images for four batches


def test_a_sample_is_shared_among_ranks(as_rank):
    as_rank(1, 2)
    kmeans = MiniBatchKMeans(2, 3, 1, 5, 0, sample=10)
    kmeans.add(torch.randn(100, 4))
    assert len(kmeans._first_points[0]) == 5


# --- several compute what one computes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """`rank_work.work` of two processes."""
    out = tmp_path_factory.mktemp("ranks") / "found.npz"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(HERE / "rank_work.py"), str(out)], check=True, timeout=240, env=environment)
    return np.load(out)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same of this process."""
    with pytest.MonkeyPatch.context() as patch:
        import torchvision

        patch.setattr(torchvision.models, "resnet18", torchvision.models.resnet18)  # put back what `shrink` replaces
        return rank_work.work(tmp_path_factory.mktemp("alone"))


@pytest.mark.slow
def test_two_processes_found_each_other(together):
    assert together["ranks"] == 2


@pytest.mark.parametrize("case", rank_work.CASES)
@pytest.mark.parametrize("what", ["loss", "gradients"])
@pytest.mark.slow
def test_a_step_of_two_is_a_step_of_one(together, alone, case, what):
    two, one = together[f"{case}: {what}"], alone[f"{case}: {what}"]
    assert np.abs(one).max() > 1e-6
    np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-9 * np.abs(one).max())


@pytest.mark.parametrize("what", ["centroids", "counts", "inertia", "pixels behind a sample"])
@pytest.mark.slow
def test_kmeans_of_two_is_kmeans_of_one(together, alone, what):
    np.testing.assert_allclose(together[f"kmeans: {what}"], alone[f"kmeans: {what}"], rtol=1e-9)


def test_a_sample_stands_for_every_pixel(alone):
    assert alone["kmeans: pixels behind a sample"] == pytest.approx(9 * 41)


@pytest.mark.slow
def test_recorded_losses_are_of_whole_batches(together, alone):
    assert together["recorded: mean"] == alone["recorded: mean"] == pytest.approx((4 * 1 + 4 * 3 + 2 * 8) / 10)


@pytest.mark.parametrize(("what", "value"), [("mean", 3.5), ("variance", 7)])
@pytest.mark.slow
def test_running_statistics_are_the_mean_of_both(together, alone, what, value):
    assert together[f"batch norm: {what}"].tolist() == alone[f"batch norm: {what}"].tolist() == [value, value]


@pytest.mark.slow
def test_running_statistics_of_what_is_frozen_stay_as_they_are(together):
    assert together["batch norm: frozen"].tolist() == [0, 0]  # rank 0's own; the mean of both would be a half


@pytest.mark.slow
def test_confusion_of_two_is_confusion_of_one(together, alone):
    assert alone["confusion"].sum() > 0
    np.testing.assert_array_equal(together["confusion"], alone["confusion"])


# --- whole runs -----------------------------------------------------------------------------------------------------


FOR_TWO = {"image_size": 64, "base_size": 64, "kmeans_batch_size": 4}  # a part of a batch is enough for batch norm


def started(settings, folder, **streams):
    """`picie train` of settings in a process of its own, once it has written a checkpoint, its run's folder, and its
    ranks' processes."""
    file = folder / "settings.yaml"
    file.write_text(settings.to_yaml())
    parent = subprocess.Popen([sys.executable, "-m", "picie_core", "train", str(file)], **streams)
    run_folder = training.run_folder(settings, *training.splits(settings))
    wait_for(lambda: checkpoints.load(run_folder) or parent.poll() is not None)
    pids = ranks_of(parent)
    assert sorted(pids) == [0, 1]
    return parent, run_folder, pids


def ranks_of(process):
    """The processes that torchrun has started below a process, by rank."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            environment = child.environ()
            if "train" in child.cmdline() and "LOCAL_RANK" in environment:
                found[int(environment["RANK"])] = child.pid
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
def test_a_run_of_two_processes_whose_second_dies(tmp_path):
    """Killed in the middle: the other is stopped and the reason said within a minute; taken up, it ends as if nothing
    had happened."""
    settings = tiny(tmp_path / "killed", devices=2, epochs=4, **FOR_TWO)
    said = tmp_path / "said"
    with said.open("w") as stream:
        parent, folder, pids = started(settings, tmp_path, stderr=stream)
    os.kill(pids[1], signal.SIGKILL)
    assert parent.wait(60) == 2
    assert "picie: the process of device 1 of 2 was killed by SIGKILL. All 2 processes were stopped" in said.read_text()
    assert "the same call (without fresh=True) goes on from there" in said.read_text()
    assert wait_for(lambda: all(gone(pid) for pid in pids.values()), 10)
    assert not records.is_done(folder)
    kept = checkpoints.load(folder)[1]["epochs_done"]
    assert 1 <= kept < 4

    taken_up = training.run(settings)
    assert len(taken_up.progress) == 4
    undisturbed = training.run(settings.replace(runs_root=tmp_path / "undisturbed"))
    assert outcome(taken_up) == outcome(undisturbed)
    assert taken_up.result["val"]["images"] == 4
    sizes = [size for size in taken_up.progress.columns if size.startswith("cluster_sizes")]
    assert len(sizes) == 2
    for column in sizes:  # of all pixels, not of one rank's
        assert sum(json.loads(str(taken_up.progress[column].iloc[-1]))) == 8 * 16 * 16
    assert taken_up.confusion.sum() == undisturbed.confusion.sum() > 0
    assert training.run(settings).folder == taken_up.folder  # loaded: no process is started


@pytest.mark.slow
def test_processes_end_with_whoever_started_them(tmp_path):
    settings = tiny(tmp_path / "runs", devices=2, epochs=500, **FOR_TWO)
    parent, _, pids = started(settings, tmp_path)
    parent.kill()
    parent.wait()
    assert wait_for(lambda: all(gone(pid) for pid in pids.values()), 30)


@pytest.mark.slow
def test_an_error_of_the_processes_is_the_callers(tmp_path):
    settings = tiny(tmp_path, devices=2, **FOR_TWO | {"kmeans_batch_size": 2, "train_images": 5})
    with pytest.raises(ranks.RankError) as caught:
        training.run(settings)
    assert re.fullmatch(
        r"the process of device 0 of 2 failed: RankError: of 5 images in batches of 2, device 0 of 2 has 2 for 3 "
        r"batches: give fewer devices, or a larger batch_size or kmeans_batch_size\. All 2 processes were stopped; the "
        r"last checkpoint is kept, and the same call \(without fresh=True\) goes on from there",
        str(caught.value),
    )


def test_a_machine_with_fewer_gpus_is_refused_before_anything_starts(monkeypatch):
    monkeypatch.setattr(launcher.subprocess, "Popen", lambda *a, **k: pytest.fail("something was started"))
    with pytest.raises(SettingsError, match=f"devices = 99, and this machine shows {torch.cuda.device_count()} GPUs"):
        launcher.launch(Settings(pretrained=False, devices=99, batch_size=99, device="cuda"))


def failure(rank, status, seconds, message):
    return SimpleNamespace(local_rank=rank, exitcode=status, timestamp=seconds, message=message)


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        ([failure(0, 1, 5, "peer is gone"), failure(1, -9, 5, "")], "device 1 of 2 was killed by SIGKILL"),
        ([failure(0, -15, 4, "peer is gone"), failure(1, -9, 5, "")], "device 1 of 2 was killed by SIGKILL"),
        ([failure(0, 1, 5, "peer is gone"), failure(1, 2, 5, {"message": "X: no"})], "device 1 of 2 failed: X: no"),
        ([failure(0, 1, 6, "peer is gone"), failure(1, 1, 5, "a bug")], "device 1 of 2 failed: a bug"),
    ],
)
def test_the_failure_that_the_others_followed_from_is_named(failures, said):
    assert launcher._cause(failures, 2) == f"the process of {said}"


def test_ctrl_c_stops_the_processes(monkeypatch):
    class Interrupted:
        def __init__(self, *args, **kwargs):
            self.calls, self.environment = [], kwargs["env"]
            made.append(self)

        def wait(self, seconds=None):
            self.calls.append(f"wait {seconds}")
            if seconds is None:
                raise KeyboardInterrupt

        def terminate(self):
            self.calls.append("terminate")

    made = []
    monkeypatch.setattr(launcher.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        launcher.launch(Settings(pretrained=False, devices=2, threads=5))
    assert made[0].environment["OMP_NUM_THREADS"] == "2"  # they share the threads from their first import on
    assert made[0].calls == ["wait None", "terminate", f"wait {launcher.GRACE_SECONDS}"]


def test_processes_that_nobody_asked_for_are_refused(tmp_path, as_rank, monkeypatch):
    as_rank(1, 2)
    monkeypatch.setattr(ranks, "agreed", lambda answer: answer)
    with pytest.raises(ranks.RankError, match="devices = 1, and torchrun has started 2"):
        training.run(tiny(tmp_path))


def test_checkpoints_that_only_some_ranks_see_are_refused(tmp_path, as_rank, monkeypatch):
    """One machine has its own disk: its ranks would begin anew while the others go on."""
    as_rank(0, 2)
    monkeypatch.setattr(ranks, "total", lambda done: done + 3)  # the other rank has done 3 epochs, this one none
    mine = SimpleNamespace(settings=tiny(tmp_path), folder=tmp_path)
    with pytest.raises(ranks.RankError, match="runs_root must be one folder that all machines share"):
        training._Loop._resume(mine)


def test_pseudo_masks_before_self_training_are_made_by_one_process():
    settings = Settings(method="comus", dataset="closeups", devices=2, comus_iterations=2)
    assert settings.previous.devices == 2
    assert settings.previous.previous.method == "pseudomasks"
    assert settings.previous.previous.devices == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"devices": 32}, "batch_size = 16 leaves some without an image"),
        ({"devices": 4, "kmeans_batch_size": 2}, "kmeans_batch_size = 2 leaves some without an image"),
        ({"devices": 2, "device": "cuda:1"}, "is one device, and devices = 2"),
        ({"devices": 2, "method": "pseudomasks", "dataset": "closeups"}, "clusters all proposals in one process"),
        ({"devices": 2, "sync_batchnorm": True, "device": "cpu"}, "on GPUs alone"),
    ],
)
def test_settings_that_do_not_go_with_several_devices(wrong, said):
    with pytest.raises(SettingsError, match=said):
        Settings(pretrained=False, **wrong)
