"""`run(settings)`: trained once, loaded afterwards, stopped with advice; what it leaves is what it did."""

import dataclasses
import json
import logging
import shutil
import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import PROCESSES, outcome, run_together, shrink, spoil_training, tiny, watch_passes

from picie_core import evaluation, metrics, network, places, provenance, records, training
from picie_core.clustering import ClusteringError
from picie_core.datasets.problems import DataError
from picie_core.methods import alternating, picie
from picie_core.metrics import selection
from picie_core.records import parts
from picie_core.settings import Settings, SettingsError, recipes
from picie_core.training import DivergedError, checkpoints, restore, run


@pytest.fixture(autouse=True)
def small(monkeypatch):
    threads = torch.get_num_threads()
    shrink(monkeypatch.setattr)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def passes(monkeypatch):
    """The passes that are made, by name, one entry a batch."""
    made = []
    watch_passes(monkeypatch.setattr, made.append)
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One finished run, not to be written to."""
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch.setattr)
        return run(tiny(tmp_path_factory.mktemp("trained")))


def photographs(folder, n=6):
    """A folder of images without labels."""
    folder.mkdir()
    for i in range(n):
        pixels = np.random.default_rng(i).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((48, 40)).save(folder / f"{i}.png")
    return folder


# -- once


def test_fewer_images_than_a_batch_are_told(tmp_path, caplog):
    few = {"dataset": "folder", "data_root": photographs(tmp_path / "photos", 3), "train_images": None, "epochs": 1}
    run(tiny(tmp_path / "runs", **few))
    assert [r.getMessage() for r in caplog.records] == ["3 images are less than one batch (4): learn from hundreds"]


def test_a_file_that_nothing_reads_is_told_once(tmp_path, caplog):
    settings = tiny(tmp_path, method="rgb", weights_file="a.pth")
    for _ in range(2):
        run(settings)
    assert [r.getMessage() for r in caplog.records] == [
        "weights_file is not read: pretrained = False starts from random weights"
    ]


def test_a_new_run_is_trained_and_a_done_one_loaded(tmp_path, passes, caplog):
    first = run(tiny(tmp_path))
    # 8 images: 3 batches of 3 in a clustering pass, 2 of 4 in training; two views, 3 epochs, and the final clustering
    assert passes == 3 * (2 * 3 * ["cluster"] + 3 * ["label"] + 2 * ["train"]) + 3 * ["final clustering"]
    passes.clear()
    caplog.set_level(logging.INFO)
    again = run(tiny(tmp_path))
    assert passes == []
    assert outcome(again) == outcome(first)
    assert again.result == first.result
    assert "loaded the finished run" in caplog.text
    run(tiny(tmp_path, workers=1, keep_checkpoint=True, recipe="ours", scale="small"))  # the same run
    assert passes == []
    run(tiny(tmp_path, seed=2))
    assert passes != []


def test_fresh_trains_again(tmp_path, passes):
    first = run(tiny(tmp_path))
    result = (first.folder / "result.json").stat().st_mtime_ns
    passes.clear()
    again = run(tiny(tmp_path, fresh=True))
    assert passes.count("train") == 6
    assert again.folder == first.folder
    assert outcome(again) == outcome(first)
    assert (again.folder / "result.json").stat().st_mtime_ns > result


def test_fresh_that_is_interrupted_leaves_no_old_result(tmp_path, monkeypatch):
    first = run(tiny(tmp_path))
    expected = outcome(first)
    with monkeypatch.context() as patch:
        spoil_training(patch.setattr, epoch=1)
        with pytest.raises(DivergedError):
            run(tiny(tmp_path, fresh=True))
    assert not records.is_done(first.folder)
    assert not (first.folder / "model.safetensors").exists()
    assert outcome(run(tiny(tmp_path))) == expected


@pytest.mark.slow
def test_two_runs_are_equal_bit_for_bit_also_in_two_processes(tmp_path, trained):
    assert outcome(run(tiny(tmp_path / "here"))) == outcome(trained)
    answers, barrier = PROCESSES.Queue(), PROCESSES.Barrier(1)
    process = PROCESSES.Process(target=run_together, args=(tiny(tmp_path / "there"), barrier, answers))
    process.start()
    _, there = answers.get(timeout=60)
    process.join(20)
    assert there == outcome(trained)


def test_neither_the_global_generators_nor_other_work_move_it(tmp_path, trained):
    torch.manual_seed(7)
    torch.rand(3)
    np.random.seed(7)  # noqa: NPY002  # what a user's notebook may do
    state = torch.get_rng_state()
    assert outcome(run(tiny(tmp_path))) == outcome(trained)
    assert torch.equal(torch.get_rng_state(), state)


def draw_in_layers(patch):
    """Drop out half of the network's features in training."""
    real = network.build

    def build(settings):
        net = real(settings)
        net.register_forward_hook(lambda layer, _, out: torch.dropout(out, 0.5, layer.training))
        return net

    patch.setattr(network, "build", build)


def test_what_layers_draw_is_a_function_of_seed_epoch_and_pass(tmp_path, monkeypatch, trained):
    draw_in_layers(monkeypatch)
    torch.manual_seed(7)
    whole = run(tiny(tmp_path / "whole"))
    assert outcome(whole)["weights"] != outcome(trained)["weights"]
    with monkeypatch.context() as patch:
        spoil_training(patch.setattr, epoch=2)
        with pytest.raises(DivergedError):
            run(tiny(tmp_path / "again"))
    torch.manual_seed(8)
    assert outcome(run(tiny(tmp_path / "again"))) == outcome(whole)


def test_another_seed_is_another_run(tmp_path, trained):
    other = run(tiny(tmp_path, seed=2))
    assert outcome(other)["weights"] != outcome(trained)["weights"]
    assert other.folder.name != trained.folder.name


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({}, False),
        ({"method": "deepcluster"}, False),
        ({"method": "iic", "iic_displacement": 3}, False),
        ({"method": "iic", "iic_displacement": 3, "iic_mask": "release"}, True),
        ({"method": "supervised", "num_clusters": 12}, True),
    ],
    ids=str,
)
def test_only_what_is_taught_sees_labels(tmp_path, monkeypatch, changes, seen):
    found, real = set(), training.passes.run

    def watched(pass_, *rest):
        def step(batch):
            found.add(batch.labels is not None)
            return pass_.step(batch)

        return real(dataclasses.replace(pass_, step=step), *rest)

    monkeypatch.setattr(training.passes, "run", watched)
    run(tiny(tmp_path, epochs=1, **changes))
    assert found == {seen}


def test_a_finished_run_is_loaded_without_a_lock(trained, monkeypatch):
    monkeypatch.setattr(training.lock, "hold", lambda folder: pytest.fail("the folder was written to"))
    assert run(trained.settings).folder == trained.folder


def test_the_run_before_is_made_before_this_one_takes_the_device(tmp_path, monkeypatch):
    begun = []
    real = training._Loop.__init__
    monkeypatch.setattr(
        training._Loop,
        "__init__",
        lambda loop, settings, *rest: (begun.append(settings.method), real(loop, settings, *rest))[1],
    )
    monkeypatch.setattr(training._Loop, "finish", lambda loop: _ended(begun, loop))
    run(tiny(tmp_path, method="probe", pretext="untrained", num_clusters=12, transfer_epochs=1))
    assert begun == ["untrained", "untrained is done", "probe", "probe is done"]


def _ended(begun, loop, real=training._Loop.finish):
    found = real(loop)
    begun.append(f"{loop.settings.method} is done")
    return found


def test_a_run_is_restored_on_its_device_where_there_is_one(trained):
    there = dataclasses.replace(trained, settings=trained.settings.model_copy(update={"device": "cuda:7"}))
    method, fabric = restore(there)
    assert method.settings.device == "auto"
    assert fabric.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert restore(trained)[0].settings.device == "cpu"  # what `tiny` asks for


def test_two_processes_that_ask_at_once_train_once(tmp_path, trained):
    answers, barrier = PROCESSES.Queue(), PROCESSES.Barrier(2)
    crowd = [PROCESSES.Process(target=run_together, args=(tiny(tmp_path), barrier, answers)) for _ in range(2)]
    for process in crowd:
        process.start()
    found = [answers.get(timeout=60) for _ in crowd]
    for process in crowd:
        process.join(20)
    assert sorted(made for made, _ in found) == [0, 36]
    assert found[0][1] == found[1][1] == outcome(trained)


def test_data_that_moved_are_the_same_run(tmp_path, passes):
    here = photographs(tmp_path / "here")
    first = run(tiny(tmp_path / "runs", dataset="folder", data_root=here, epochs=1))
    there = shutil.move(here, tmp_path / "there")
    passes.clear()
    assert run(tiny(tmp_path / "runs", dataset="folder", data_root=there, epochs=1)).folder == first.folder
    assert passes == []
    Image.new("RGB", (48, 40)).save(tmp_path / "there" / "0.png")  # other data
    assert run(tiny(tmp_path / "runs", dataset="folder", data_root=there, epochs=1)).folder != first.folder


# -- what it leaves


def test_a_run_folder_holds_what_the_design_says(trained):
    assert sorted(path.name for path in trained.folder.iterdir() if path.name != "lock") == [
        "confusion.npy", "environment.json", "model.safetensors", "progress.csv", "result.json", "settings.yaml",
    ]  # fmt: skip
    settings = Settings.from_yaml((trained.folder / "settings.yaml").read_text())
    assert settings == trained.settings
    assert settings.explicit["feature_dim"] == 8
    environment = json.loads((trained.folder / "environment.json").read_text())
    assert environment["device"] == "cpu"
    assert environment["packages"].keys() >= {"torch", "numpy"}
    result = json.loads((trained.folder / "result.json").read_text())
    assert trained.folder.name == f"scenes-picie-{result['key']}"
    assert (result["accuracy"], result["mean_iou"]) == (trained.scores.accuracy, trained.scores.mean_iou)
    assert len(result["iou"]) == len(trained.classes.names) == 12
    assert (result["train"]["images"], result["val"]["images"]) == (8, 4)
    assert result["commit"] == environment["commit"]
    assert 0 < result["seconds"] < 60
    assert trained.confusion.shape == (12, 5)
    assert trained.confusion.sum() == 4 * 32 * 32


def test_progress_has_a_row_an_epoch(trained):
    table = trained.progress
    assert table["epoch"].tolist() == [0, 1, 2]
    assert {
        "loss", "loss_within_5", "loss_cross_5", "inertia_1_5", "inertia_2_5", "cluster_sizes_1_5", "cluster_sizes_2_5",
        "accuracy_view1", "mean_iou_view2", "seconds_cluster", "seconds_label", "seconds_train", "seconds_score",
        "seconds", "images_per_second", "peak_memory_mb",
    } <= set(table.columns)  # fmt: skip
    assert all(sum(sizes) == 8 * 8 * 8 for sizes in table["cluster_sizes_1_5"])
    assert np.isfinite(table[["loss", "accuracy_view1", "mean_iou_view2"]].to_numpy()).all()


def test_the_checkpoint_goes_unless_it_is_wanted(tmp_path):
    kept = run(tiny(tmp_path, keep_checkpoint=True, epochs=1))
    _, counters = checkpoints.load(kept.folder)
    assert counters["epochs_done"] == 1


def test_where_runs_lie(tmp_path, monkeypatch):
    settings = tiny(None, method="position")
    assert run(settings).folder.parent == places.runs_root()
    monkeypatch.setenv("PICIE_RUNS", str(tmp_path / "variable"))
    assert run(settings).folder.parent == tmp_path / "variable"
    assert run(settings.replace(runs_root=tmp_path / "setting")).folder.parent == tmp_path / "setting"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert run(settings.replace(runs_root="~/runs")).folder.parent == tmp_path / "home" / "runs"


def test_an_unlabelled_set_has_no_scores(tmp_path, monkeypatch):
    monkeypatch.chdir(photographs(tmp_path / "photos").parent)
    found = run(tiny(tmp_path / "runs", dataset="folder", data_root="photos", epochs=1))
    assert records.load(found.folder).settings.data_root == tmp_path / "photos"  # from any working directory
    assert (found.scores, found.confusion, found.classes) == (None, None, None)
    assert found.weights()["final_prototypes"].shape == (5, 8)
    assert not [name for name in found.progress.columns if name.startswith(("accuracy", "mean_iou"))]
    assert not {"accuracy", "mean_iou", "iou"} & set(found.result)
    assert records.tidy([found]).empty


@pytest.mark.parametrize("method", ["untrained", "rgb", "position", "random", "untrained linear"])
def test_methods_that_do_not_learn_have_no_epochs(tmp_path, method, passes):
    method, _, linear = method.partition(" ")
    changes = {"classifier": "parametric"} if linear else {}
    found = run(tiny(tmp_path, method=method, **changes))
    assert set(passes) <= {"final clustering"}
    assert found.progress.empty
    assert 0 < found.scores.mean_iou < 100
    assert outcome(run(tiny(tmp_path / "again", method=method, **changes))) == outcome(found)


@pytest.mark.parametrize(
    "variant",
    [
        {"num_overclusters": 9},
        {"training_clusters": 9},
        {"training_clusters": 7, "num_overclusters": 9},
        {"classifier": "parametric"},
        {"clusterings": "one"},
        {"mse": "added"},
        {"recipe": "release"},
        {"recipe": "paper"},
        {"precision": "bf16"},
        {"epochs": 0},
        {"method": "deepcluster"},
        {"method": "deepcluster", "training_clusters": 9},
        {"method": "iic", "iic_displacement": 3},
        {"method": "iic", "iic_displacement": 3, "iic_affine": True, "iic_loss_size": 16, "iic_heads": "summed"},
        {"method": "iic", "iic_displacement": 3, "trunk": "res12_layer2", "sobel": True, "iic_collapsed": True},
        {"method": "iic", "iic_displacement": 3, "trunk": "res12", "iic_mask": "release", "precision": "bf16"},
        {"method": "supervised", "num_clusters": 12},
    ],
    ids=str,
)
def test_variants_are_repeated_bit_for_bit(tmp_path, variant):
    variant = {"epochs": 1, **variant}
    first, again = (run(tiny(tmp_path / name, **variant)) for name in ("a", "b"))
    assert outcome(first) == outcome(again)
    assert len(first.progress) == variant["epochs"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"clusterings": "one"},
        {"method": "untrained"},
        {"method": "untrained", "classifier": "parametric"},
        {"method": "random"},
        {"method": "deepcluster"},
        {"method": "iic", "iic_displacement": 3},
        {"method": "supervised", "num_clusters": 12},
        {"method": "retraining", "pretext": "untrained", "num_clusters": 12, "transfer_epochs": 1},
        {"dataset": "folder"},
    ],
    ids=str,
)
def test_the_bar_ends_at_its_end(tmp_path, monkeypatch, changes):
    bars = []

    class Bar(training.Progress):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            bars.append(self)

    monkeypatch.setattr(training, "Progress", Bar)
    if "dataset" in changes:
        changes = changes | {"data_root": photographs(tmp_path / "photos")}
    run(tiny(tmp_path, **changes))
    assert bars[0].done == bars[0].total


# -- what made it


def test_a_run_that_another_commit_made_is_loaded_with_a_note(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(provenance, "commit", lambda: "aaaa")
    made = run(tiny(tmp_path, method="position"))
    assert made.result["commit"] == "aaaa"
    run(tiny(tmp_path, method="position"))
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    monkeypatch.setattr(provenance, "commit", lambda: "bbbb+")
    again = run(tiny(tmp_path, method="position"))
    notes = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(notes) == 1
    assert "made by commit aaaa (now bbbb+)" in notes[0]
    assert again.result["commit"] == "aaaa"


def test_the_commit_is_that_of_the_code_that_began(tmp_path, monkeypatch):
    commits = iter(["begun", "changed meanwhile", "later still"])
    monkeypatch.setattr(provenance, "commit", lambda: next(commits))
    made = run(tiny(tmp_path, method="position"))
    assert made.result["commit"] == "begun"
    assert json.loads((made.folder / "environment.json").read_text())["commit"] == "begun"


# -- what went wrong


def test_a_loss_that_is_not_finite_stops_with_advice_and_keeps_the_last_good_epoch(tmp_path, monkeypatch, trained):
    settings = tiny(tmp_path)
    with monkeypatch.context() as patch:
        spoil_training(patch.setattr, epoch=1)
        with pytest.raises(DivergedError, match=r"epoch 1 is nan.*lower learning_rate \(now 0.001\).*is kept") as error:
            run(settings)
    folder = training.run_folder(settings, *training.splits(settings))
    assert str(folder) in str(error.value)
    assert not records.is_done(folder)
    tensors, counters = checkpoints.load(folder)
    assert counters["epochs_done"] == 1
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert parts.read_progress(folder)["epoch"].tolist() == [0]
    with pytest.raises(FileNotFoundError, match="unfinished run: run the same settings again to go on"):
        records.load(folder)
    assert outcome(run(settings)) == outcome(trained)


def test_an_infinite_loss_is_not_finite_either(tmp_path, monkeypatch):
    spoil_training(monkeypatch.setattr, epoch=0, factor=np.inf)
    with pytest.raises(DivergedError, match="epoch 0 is inf"):
        run(tiny(tmp_path))
    assert not list(tmp_path.rglob("checkpoint*"))


def test_a_collapsed_clustering_stops_with_advice(tmp_path, monkeypatch):
    monkeypatch.setattr(alternating, "assign", lambda features, *_: torch.zeros_like(features[:, 0], dtype=torch.int64))
    with pytest.raises(ClusteringError, match=r"collapsed: 1 of 5 clusters.*Try"):
        run(tiny(tmp_path))
    assert not list(tmp_path.rglob("result.json"))


def test_features_that_are_not_finite_stop_with_advice(tmp_path, monkeypatch):
    monkeypatch.setattr(
        picie.Picie, "view", lambda self, v, epoch, batch: torch.full((len(batch.images), 8, 8, 8), np.nan)
    )
    with pytest.raises(ClusteringError, match=r"not finite.*lower learning_rate"):
        run(tiny(tmp_path))


# -- restored


def scored_again(found, settings=None):
    method, fabric = restore(found)
    assert not method.training
    _, val = training.splits(settings or found.settings)
    return evaluation.confusions(method, val, 4, fabric.device)


@pytest.mark.parametrize(
    ("method", "precision"),
    [
        ("picie", "32"),
        ("picie", "bf16"),
        ("untrained", "32"),
        ("rgb", "32"),
        ("position", "32"),
        ("supervised", "bf16"),
        ("iic", "32"),
        ("iic", "bf16"),
    ],
)
def test_a_restored_method_predicts_what_the_run_scored(tmp_path, method, precision):
    rest = {"num_clusters": 12, "iic_displacement": 3}
    found = scored_again(made := run(tiny(tmp_path, method=method, precision=precision, epochs=1, **rest)))
    assert list(found) == ["final"]
    assert np.array_equal(found["final"], made.confusion)


def test_a_restored_method_is_given_back_with_its_last_name(trained):
    gone = weakref.ref(restore(trained)[0])
    assert gone() is None  # at once: a GPU's memory is not to wait for a collector of cycles


def test_picie_may_learn_more_clusters_than_it_is_scored_by(tmp_path):
    """The network is that of a run with as many clusters; the final clustering alone has `num_clusters`."""
    few = run(tiny(tmp_path / "few", num_clusters=5, training_clusters=9, epochs=2))
    many = run(tiny(tmp_path / "many", num_clusters=9, epochs=2))
    assert few.confusion.shape == (12, 5)
    learned, of_many = few.weights(), many.weights()
    assert learned.pop("final_prototypes").shape[0] == 5
    assert of_many.pop("final_prototypes").shape[0] == 9
    assert {name: w.tolist() for name, w in learned.items()} == {name: w.tolist() for name, w in of_many.items()}
    scored = {name for name in many.progress if name.startswith(("accuracy_", "mean_iou_"))}
    assert scored
    assert set(many.progress) - set(few.progress) == scored
    shared = [name for name in few.progress if name.startswith(("loss", "inertia", "cluster_sizes"))]
    assert {"loss_within_9", "cluster_sizes_1_9", "inertia_2_9"} <= set(shared)
    assert few.progress[shared].equals(many.progress[shared])
    with pytest.raises(ValueError, match="training_clusters"):
        selection.last_and_best(few.progress)


@pytest.mark.parametrize(("clusters", "name", "k"), [(0, "linear", 5), (20, "majority", 20)])
def test_deepclusters_own_classifier_is_scored_beside_the_fresh_clustering(tmp_path, clusters, name, k):
    """By Hungarian matching, or by majority vote where it has more clusters than there are classes."""
    made = run(tiny(tmp_path, method="deepcluster", training_clusters=clusters, epochs=2))
    found = scored_again(made)
    assert {n: matrix.shape for n, matrix in found.items()} == {"final": (12, 5), name: (12, k)}
    assert np.array_equal(found["final"], made.confusion)
    assert made.result["mean_iou"] == metrics.score(found["final"]).mean_iou
    matrix = found[name]
    most = sum(matrix[:, column].max() for column in range(k))  # of each cluster, the pixels of its largest class
    if name == "majority":
        assert made.result["accuracy_majority"] == pytest.approx(100 * most / matrix.sum())
        assert made.result["mean_iou_majority"] == metrics.score(matrix, metrics.majority(matrix)).mean_iou
    else:
        assert made.result["accuracy_linear"] == metrics.score(matrix).accuracy < 100 * most / matrix.sum()
    assert {f"accuracy_{name}", f"mean_iou_{name}"} <= set(made.progress.columns)
    assert not {f"accuracy_{other}" for other in {"linear", "majority", "final"} - {name}} & set(made.progress.columns)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "supervised"}, "'supervised' needs labels"),
        ({"method": "iic", "iic_displacement": 3, "iic_mask": "release"}, "iic_mask = 'release' needs labels"),
    ],
)
def test_what_learns_from_labels_refuses_a_set_without(tmp_path, changes, words):
    with pytest.raises(SettingsError, match=words):
        run(tiny(tmp_path / "runs", dataset="folder", data_root=photographs(tmp_path / "photos"), **changes))


@pytest.mark.parametrize("method", ["supervised", "probe", "retraining"])
def test_more_classes_than_clusters_are_refused_before_anything_is_trained(tmp_path, passes, method):
    given = {"method": method, "num_clusters": 11} | ({} if method == "supervised" else {"pretext": "picie"})
    words = f"num_clusters = 11: method = '{method}' needs one for each of the 12 classes of scenes: give num_clusters"
    with pytest.raises(SettingsError, match=words):
        run(tiny(tmp_path, **given))
    assert passes == []
    assert not list(tmp_path.iterdir())
    assert run(tiny(tmp_path, method="rgb")).scores is not None  # what is taught no class may have fewer clusters


@pytest.mark.parametrize(
    ("void", "method", "refused"),
    [("val", "picie", True), ("val", "probe", True), ("train", "probe", True), ("train", "rgb", False)],
)
def test_labels_that_are_void_alone_are_refused_before_anything_is_trained(tmp_path, passes, void, method, refused):
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / kind / split).mkdir(parents=True)
        photographs(tmp_path / "images" / split / "a")
        labels = np.full((40, 48), 255, np.uint8)
        if split != void:
            labels[:20], labels[20:] = 3, 5
        (tmp_path / "labels" / split / "a").mkdir()
        for i in range(6):
            Image.fromarray(labels).save(tmp_path / "labels" / split / "a" / f"{i}.png")
    given = {"dataset": "folder", "data_root": tmp_path, "method": method} | (
        {"pretext": "picie", "transfer_epochs": 1} if method == "probe" else {}
    )
    settings = tiny(tmp_path / "runs", **given)
    if not refused:
        assert run(settings).scores is not None
        return
    with pytest.raises(DataError, match=f"folder, split {void}: every pixel of its . labels is void.*look at the ids"):
        run(settings)
    assert passes == []
    shutil.rmtree(tmp_path / "labels" / void)  # as the error says
    if void == "val":
        assert run(settings).scores is None


def test_a_restored_method_is_the_one_that_ran_though_the_tables_have_changed(tmp_path, monkeypatch):
    made = run(tiny(tmp_path, recipe="release"))
    release = recipes.RECIPES["release"] | {"fpn": "direct", "logit_rule": "euclidean"}
    monkeypatch.setattr(recipes, "RECIPES", recipes.RECIPES | {"release": release})
    again = records.load(made.folder)
    method, _ = restore(again)
    assert method.network.fpn == "cascade"
    assert np.array_equal(scored_again(again)["final"], made.confusion)


def test_restoring_needs_no_imagenet_weights(tmp_path, monkeypatch):
    """timm's backbones: tests/training/test_backbones.py."""
    made = run(tiny(tmp_path, epochs=0))
    made = dataclasses.replace(made, settings=made.settings.model_copy(update={"pretrained": True}))
    monkeypatch.setattr(network.resnet, "imagenet_weights", None)
    assert np.array_equal(scored_again(made)["final"], made.confusion)


def test_threads_are_those_of_the_run(tmp_path):
    torch.set_num_threads(2)
    made = run(tiny(tmp_path, method="position"))
    assert torch.get_num_threads() == 1
    torch.set_num_threads(2)
    restore(made)
    assert torch.get_num_threads() == 1


def test_a_last_batch_that_batch_norm_cannot_take_is_refused_with_what_to_change(tmp_path, monkeypatch):
    shrink(monkeypatch.setattr)
    with pytest.raises(
        SettingsError, match=r"the last of 9 images by batches of 4 \(train\) is alone.*another batch_size"
    ):
        training.run(tiny(tmp_path, train_images=9))
