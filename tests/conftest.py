"""What every test session shares: fresh places, the folder of the real photographs, hypothesis' profile."""

import os
import shutil
import tempfile
from pathlib import Path

import hypothesis
import pytest

# The same examples in every session: CI goes red because the code changed, never because of the draw or a slow moment.
# `pytest --hypothesis-profile=explore` looks for new ones.
hypothesis.settings.register_profile("workbook", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("workbook")

FRESH = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Give the session an empty place for runs and for prepared data, so that tests and notebooks make what they check.

    The environment carries both to the workers of pytest-xdist and to the kernels that nbval starts.
    """
    if hasattr(config, "workerinput"):  # a worker of pytest-xdist: the places are the controller's
        # One thread for each worker unless a test sets its own: two workers of two threads each only collide.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        return
    fresh = config.stash[FRESH] = tempfile.mkdtemp(prefix="picie-tests-")
    os.environ["PICIE_RUNS"] = str(Path(fresh, "runs"))
    os.environ["PICIE_PREPARED"] = str(Path(fresh, "prepared"))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's places."""
    if fresh := config.stash.get(FRESH, None):
        shutil.rmtree(fresh, ignore_errors=True)


@pytest.fixture(scope="session")
def camvid() -> Path:
    """The folder of CamVid that PICIE_CAMVID names. Without the variable the test skips; a wrong one fails it."""
    named = os.environ.get("PICIE_CAMVID")
    if not named:
        pytest.skip(
            "PICIE_CAMVID is not set: it names the folder that holds CamVid (images/{train,val}, labels/{train,val})"
        )
    folder = Path(named).resolve()
    missing = [
        part for part in ("images/train", "images/val", "labels/train", "labels/val") if not (folder / part).is_dir()
    ]
    if missing:
        pytest.fail(f"PICIE_CAMVID is {named!r}, and {folder} has no {', '.join(missing)}")
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory):
    """A finished `Run` of seconds on eight scenes, for what only reads one: do not write into its folder."""
    from tiny_runs import tiny  # not above: torch is to be imported after the number of threads is set

    from picie_core import training

    return training.run(tiny(tmp_path_factory.mktemp("runs"), num_clusters=12, epochs=1))
