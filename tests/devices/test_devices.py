"""`devices`: where a run is computed."""

import json
import resource
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from picie_core import devices
from picie_core.settings import Settings


def test_environment_says_what_made_the_numbers():
    found = devices.environment(torch.device("cpu"))
    assert found["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    needed = {"torch", "torchvision", "lightning-fabric", "numpy", "scikit-learn", "scikit-image", "timm"}
    assert needed | {"papermill"} <= set(found["packages"]) <= set(devices.PACKAGES)
    assert {"faiss-cpu", "faiss-gpu"} & set(found["packages"])
    assert (found["device"], found["gpu"]) == ("cpu", None)
    assert found["cpu"]
    assert found["cpu_capability"]
    json.dumps(found)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (
            "processor\t: 0\nmodel\t\t: 2\ncpu family\t: 26\nmodel name\t: AMD EPYC\n\n"
            "processor\t: 1\nmodel name\t: another\n",
            "AMD EPYC, family 26, model 2",
        ),
        ("processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\n", "armv99"),  # Arm's has no name
        (None, "a processor"),  # no such file
    ],
)
def test_the_processor_is_named_as_the_system_names_it(said, name, tmp_path, monkeypatch):
    if said:
        (tmp_path / "cpuinfo").write_text(said)
    monkeypatch.setattr(devices, "CPU", tmp_path / "cpuinfo")
    monkeypatch.setattr(devices.platform, "machine", lambda: "armv99")
    monkeypatch.setattr(devices.platform, "processor", lambda: "a processor")
    assert devices.cpu() == name


def test_auto_is_a_gpu_of_nvidias_or_the_cpu(monkeypatch):
    asked = []
    monkeypatch.setattr("lightning_fabric.Fabric", lambda **how: asked.append(how["accelerator"]))
    for there in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        devices.make_fabric(Settings(device="auto", pretrained=False, threads=torch.get_num_threads()))
    assert asked == ["cpu", "cuda"]


def test_memory_that_torch_keeps_unused_is_free(monkeypatch):
    cuda = {"mem_get_info": (100, 1000), "memory_reserved": 50, "memory_allocated": 20}
    for name, value in cuda.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert devices.free_memory(torch.device("cuda", 0)) == 130


def test_a_device_that_is_not_here_is_auto(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [devices.present(name) for name in ("cpu", "auto", "cuda", "cuda:1", "cuda:2")] == [
        "cpu", "auto", "cuda", "cuda:1", "auto",
    ]  # fmt: skip
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert devices.present("cuda") == "auto"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system knows no other peak")
def test_a_process_does_not_inherit_the_peak_of_the_one_that_started_it():
    held = np.ones(2**27)  # 1 GB, more than a process that imports torch has
    held *= 2
    told = "import torch; from picie_core import devices; print(devices.peak_memory(torch.device('cpu')))"
    child = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout
    assert 0 < json.loads(child.replace("'", '"'))["peak_memory_mb"] < held.nbytes / 2**20
    assert devices.peak_memory(torch.device("cpu"))["peak_memory_mb"] > held.nbytes / 2**20


@pytest.mark.parametrize("status", [None, "Name:\tpython\n"])
def test_where_the_system_does_not_say_the_peak_is_that_of_getrusage(tmp_path, monkeypatch, status):
    file = tmp_path / "status"
    if status:
        file.write_text(status)
    monkeypatch.setattr(devices, "STATUS", file)
    unit = 1 if sys.platform == "darwin" else 1024
    expected = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    assert devices.peak_memory(torch.device("cpu"))["peak_memory_mb"] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("ranks", "each"), [(0, 5), (2, 2), (8, 1)])
def test_the_ranks_of_a_machine_share_its_threads(monkeypatch, ranks, each):
    import lightning_fabric

    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setattr(devices.faiss, "omp_set_num_threads", asked.append)
    monkeypatch.setattr(lightning_fabric, "Fabric", lambda **given: SimpleNamespace(launch=lambda: None, **given))
    monkeypatch.setattr(devices.dist, "is_torchelastic_launched", lambda: bool(ranks))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
    monkeypatch.setenv("WORLD_SIZE", str(3 * ranks))  # on three machines
    devices.make_fabric(Settings(threads=5, device="cpu", pretrained=False))
    assert asked == [each, each]
