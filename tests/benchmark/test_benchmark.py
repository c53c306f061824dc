"""`benchmark`: what it measures is there and adds up; how long anything takes is no matter of a test."""

import json
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import shrink, tiny
from typer.testing import CliRunner

from picie_core import cli
from picie_core.benchmark import epoch, growth, kmeans, loading, memory, profile
from picie_core.settings import SettingsError


@pytest.fixture
def settings(tmp_path, monkeypatch):
    shrink(monkeypatch.setattr)
    return tiny(tmp_path, epochs=2)


@pytest.fixture
def measured(settings):
    return epoch.measure(settings, quick=True, beside=("deepcluster",))


def text(lines):
    return "\n" + "\n".join(lines)


def test_a_method_that_does_not_exist_is_refused_before_anything_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(epoch, "timed", lambda settings: pytest.fail("an epoch was timed"))
    with pytest.raises(SettingsError, match=r"method = 'deepclutser': did you mean 'deepcluster'\?"):
        epoch.measure(tiny(tmp_path), beside=("deepclutser",))


def test_the_floor_is_four_forwards_and_two_with_backwards_of_the_fastest_configuration(measured):
    assert set(measured["bare"]) == {"channels last, eager", "contiguous, eager"}
    floors = [4 * cost["forward"] + 2 * cost["forward and backward"] for cost in measured["bare"].values()]
    assert measured["floor"] == min(floors)
    assert measured["share"] == measured["floor"] / measured["epoch"]
    assert "4 forwards + 2 forwards and backwards" in text(epoch.lines(measured))


@pytest.mark.parametrize(
    "values",
    [
        {}, {"clusterings": "one"}, {"num_overclusters": 30}, {"mse": "added"}, {"method": "deepcluster"},
        {"method": "iic", "iic_displacement": 3}, {"method": "iic", "iic_displacement": 3, "iic_heads": "summed"},
        {"method": "iic", "iic_displacement": 3, "iic_auxiliary_clusters": 0}, {"method": "supervised"},
    ],
    ids=str,
)  # fmt: skip
def test_what_an_image_needs_is_what_an_epoch_gives_the_network(settings, monkeypatch, values):
    settings = settings.replace(epochs=1, num_clusters=12, **values)
    count, real = {True: 0, False: 0}, epoch.network.Network.forward

    def forward(net, images):
        count[torch.is_grad_enabled()] += len(images)
        return real(net, images)

    monkeypatch.setattr(epoch.network.Network, "forward", forward)
    monkeypatch.setattr(epoch.training._Loop, "_closing", lambda loop: {})
    monkeypatch.setattr(epoch.training._Loop, "_validate", lambda loop, phases: {})
    epoch.timed(settings, before=0)
    assert (count[False] / 8, count[True] / 8) == epoch.needed(settings)


@pytest.mark.parametrize("method", ["untrained", "rgb", "comus", "pseudomasks"])
def test_a_method_without_epochs_of_its_own_is_refused_before_anything_is_timed(settings, monkeypatch, method):
    monkeypatch.setattr(epoch, "timed", lambda settings: pytest.fail("an epoch was timed"))
    with pytest.raises(SettingsError, match=f"method = '{method}': what is timed is an epoch of picie, deepcluster, "):
        epoch.measure(settings.replace(method=method))
    done = CliRunner().invoke(cli.app, ["bench", "profile", "-p", f"method={method}"])
    assert isinstance(done.exception, SettingsError)


def test_what_learns_from_labels_has_them_while_it_is_profiled(settings):
    assert profile.measure(settings.replace(method="supervised", num_clusters=12), quick=True)["costs"]


def test_the_phases_are_an_epochs_passes_and_no_more_than_the_epoch(measured):
    assert set(measured["phases"]) == {"cluster", "label", "train"}
    assert 0 < sum(measured["phases"].values()) <= measured["epoch"]
    assert measured["images"] == 8


def test_it_says_all_of_it_and_leaves_no_run_behind(measured, tmp_path):
    said = text(epoch.lines(measured))
    for word in ("cluster", "label", "train", "epoch", "floor", "share of the floor", "epoch of deepcluster"):
        assert f"\n{word} " in said, word
    assert f"{measured['beside']['deepcluster'] / measured['epoch']:.2f} of the above" in said
    assert not list(tmp_path.iterdir())


def test_a_configuration_that_does_not_run_is_named_and_not_the_floor(settings, monkeypatch):
    def refuse(net):
        raise RuntimeError("no compiler here\nmore")

    monkeypatch.setattr(torch, "compile", lambda net: lambda batch: refuse(net))
    found = epoch.bare_network(settings, 1, compiled=True)
    assert found["contiguous, compiled"] == {"fails": "RuntimeError: no compiler here"}
    result = {"phases": {}, "epoch": 2.0, "floor": 1.0, "share": 0.5, "peak_memory_mb": 1, "bare": found, "beside": {}}
    result |= {"release": None, "needed": (4, 2)}
    assert "\nbare, contiguous, compiled: RuntimeError: no compiler here" in text(epoch.lines(result))


def test_the_release_stands_beside_the_epoch_on_a_machine_that_it_was_timed_on_alone(settings, measured, monkeypatch):
    assert measured["release"] is None  # of another size
    assert "release" not in text(epoch.lines(measured))
    monkeypatch.setattr(epoch.devices, "cpu", lambda: "a known one")
    monkeypatch.setattr(epoch, "RELEASE_MS", {"a known one": 250.0})
    alike = settings.replace(image_size=160, base_size=320, batch_size=16, threads=2)
    assert epoch.release(alike) == 250.0
    others: list[dict[str, Any]] = [{"batch_size": 8}, {"threads": 1}, {"method": "iic"}]
    assert [epoch.release(alike.replace(**other)) for other in others] == [None] * 3
    beside = "(the authors' release on such a machine, transcribed, on photographs: 250)"
    assert beside in text(epoch.lines(measured | {"release": 250.0}))
    monkeypatch.setattr(epoch.devices, "cpu", lambda: "another")
    assert epoch.release(alike) is None


def test_the_release_is_known_by_names_that_processors_have():
    assert all(re.fullmatch(r".+, family \d+, model \d+", name) for name in epoch.RELEASE_MS)


def test_growth_is_the_slope_between_sizes_of_a_machine_that_slows_down(settings, monkeypatch):
    clock = iter(range(100))

    def timed(run, before):
        made = SimpleNamespace(result={"train": {"images": min(run.train_images, there)}})
        asked.append(run.train_images)
        seconds = run.train_images * (0.003 if run.train_images < 300 else 0.006) + 0.1 * next(clock)
        return made, {}, 1000 * seconds / run.train_images

    there, asked = 1000, []
    monkeypatch.setattr(epoch, "timed", timed)
    found = growth.measure(settings, quick=True)
    assert asked == [100, 200, 400, 400, 200, 100]  # there and back: each mean has the same drift, 0.25 s
    assert found["seconds"] == pytest.approx({"100": 0.3 + 0.25, "200": 0.6 + 0.25, "400": 2.4 + 0.25})
    assert found["timed"]["200"] == pytest.approx([0.6 + 0.1, 0.6 + 0.4])
    assert found["slopes"] == pytest.approx([3.0, 9.0])
    assert found["sizes"]["image_size"] == 64
    shown = text(growth.lines(found))
    assert "slopes apart                      200 %" in shown
    assert "200 images                        0.8 s an epoch (0.7 and 1.0)" in shown
    there = 367
    with pytest.raises(SettingsError, match="growth needs 400 images, and scenes has 367"):
        growth.measure(settings, quick=True)


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own(tmp_path):
    found = memory.measure(tiny(tmp_path, image_size=64, base_size=64, kmeans_batch_size=4), quick=True)
    assert found["prepared"] == 8 * 64 * 64 * 3 / 2**20
    assert found["peak"]["1024"] > 100
    assert "peak, 1024 MB of views kept" in text(memory.lines(found))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_that_fails_says_why(tmp_path, capfd):
    with pytest.raises(memory.MeasureError, match="batch norm needs more than one value"):
        memory.measure(tiny(tmp_path, batch_size=1, train_images=2), quick=True)


def test_loading_decodes_prepares_and_reads_the_same_photographs(settings, monkeypatch):
    decoded = []
    real = loading._decode
    monkeypatch.setattr(loading, "_decode", lambda file: (decoded.append(file.name), real(file)))
    found = loading.measure(settings, quick=True)
    assert len(set(decoded)) == found["photographs"] == 100
    assert found["share"] == found["prepare"] / found["bare"]
    assert "reading what was prepared" in text(loading.lines(found))


def test_kmeans_back_ends_agree_and_samples_get_smaller(settings):
    found = kmeans.measure(settings.replace(num_clusters=3), quick=True)
    assert found["points"] == 8 * 8 * 8
    assert found["inertia"]["torch"] == pytest.approx(found["inertia"]["faiss"], rel=0.1)
    assert found["points"] * found["channels"] * 4 * 2 == 2**15  # the points and a copy: 0.03 MB
    assert list(found["budgets"]) == ["0.03125", "0.0078125", "0.0019531", "0.00048828"]
    assert next(iter(found["budgets"].values()))["share"] == 1
    assert len(list(kmeans.lines(found))) == 6


def test_torchs_kmeans_finds_clusters_that_are_plain():
    points = torch.tensor([[0.0, 0.0], [0.0, 2.0], [9.0, 9.0], [9.0, 7.0]])
    found = kmeans._lloyd(points, 2, 10, seed=1)
    assert sorted(found.tolist()) == [[0, 1], [9, 8]]
    assert kmeans._inertia(points, found) == pytest.approx(1, rel=1e-5)


def test_a_profile_names_the_largest_costs(settings):
    found = profile.measure(settings, quick=True)
    shares = [cost["share"] for cost in found["costs"]]
    assert shares == sorted(shares, reverse=True)
    assert 0 < np.sum(shares) <= 1
    assert any("conv" in cost["operator"] for cost in found["costs"])
    assert "%" in text(profile.lines(found))


def test_the_command_measures_what_it_is_asked_for(tmp_path, monkeypatch):
    seen = []
    for module in (kmeans, loading):
        monkeypatch.setattr(
            module, "measure", lambda settings, quick, m=module: seen.append((m, settings, quick)) or 3.5
        )
        monkeypatch.setattr(module, "lines", lambda result: [f"it took {result} s"])
    out = tmp_path / "bench.json"
    words = ["bench", "loading", "kmeans", "--quick", "-p", "train_images=none", "-p", "epochs=1", "--out", str(out)]
    words += ["-p", f"data_root={tmp_path}"]
    shown = CliRunner().invoke(cli.app, words)
    assert shown.exit_code == 0
    assert [(m, quick) for m, _, quick in seen] == [(loading, True), (kmeans, True)]
    assert (seen[0][1].train_images, seen[0][1].epochs, seen[0][1].image_size) == (None, 1, 160)
    assert "\nloading\nit took 3.5 s\n" in shown.output
    kept = json.loads(out.read_text())
    assert (kept["loading"], kept["kmeans"], kept["quick"]) == (3.5, 3.5, True)
    assert kept["machine"]["cpu_capability"]
    assert kept["settings"]["data_root"] is None  # a place of this machine
    assert str(tmp_path) not in out.read_text()


def test_other_methods_without_the_epoch_are_refused():
    shown = CliRunner().invoke(cli.app, ["bench", "kmeans", "--beside", "iic"])
    assert "which is not asked for" in str(shown.exception)
