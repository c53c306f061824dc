"""A workbook of a few outputs, all made by hand, on which a report is written."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

HOSTILE = "<script>console.error('in')</script> | *a* \"b\" 'c' & `d`"

SCORES = (
    "method,settings,mIoU,accuracy mean,accuracy sd,spread,runs\n"
    '{hostile},"{{""epochs"": 3}}",9.0004,100.5,,13.5 ± 0.4 [13.1 13.9],{digest}:1\n'
    'PiCIE,{{}},10.25,20,,9.5 ± 0.1 [9.4 9.6],"{digest}:1,2 0123456789ab:7"\n'
    "random,{{}},-1.5,3,,,\n"
)
CLASSES = "class,share,p\nsky,0.25,0.00012\ntree,,0.5\n"


def picture(file):
    """A PNG of a few pixels, wider than a phone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 900, 3), 99, np.uint8)).save(file)


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """`reports/` of a workbook in which nothing was made."""
    monkeypatch.setenv("PICIE_HOME", str(tmp_path / "a home"))
    monkeypatch.setenv("PICIE_RUNS", str(tmp_path / "a home" / "reports" / "runs"))
    (tmp_path / "a home" / "reports").mkdir(parents=True)
    return tmp_path / "a home" / "reports"


@pytest.fixture
def made(reports):
    """Two finished runs of one digest on scenes, one of two others, and outputs below `local/scenes`."""
    from finished_runs import finished_run  # not above: torch is to be imported after the number of threads is set

    from picie_core import files, records
    from picie_core.settings import Settings

    settings = [Settings(seed=1), Settings(seed=2), Settings(dataset="scenes_b", seed=1)]
    for number, each in enumerate(settings):
        folder = reports / "runs" / f"run-{number}"
        finished_run(folder, each, commit="c0ffee")
        environment = {"python": "3.11.7", "packages": {"torch": "2.15.0"}, "machine": "x86_64"}
        environment |= {"cpu_capability": "AVX512", "gpu": "A & B <GPU>" if number else None}
        files.write_json(folder / "environment.json", environment)
        (folder / "00_run.ipynb").write_text("{}")
    (folder / "environment.json").unlink()
    digest = records.digest(settings[0])
    folder = reports / "local" / "scenes"
    for name in ("figures", "tables", "notebooks"):
        (folder / name).mkdir(parents=True)
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    (folder / "tables" / "picie-scores.csv").write_text(SCORES.format(hostile=quoted, digest=digest))
    (folder / "tables" / "data-class-shares.csv").write_text(CLASSES)
    (folder / "tables" / "main-order.csv").write_text(CLASSES)  # by older code: it does not say its runs
    (folder / "tables" / "my own & only.csv").write_text("a\n")
    (folder / "tables" / "runs.csv").write_text("dataset\nscenes\n")
    (folder / "notebooks" / "03_picie.ipynb").write_text("{}")
    picture(folder / "figures" / "picie-curves.png")
    picture(folder / "figures" / "my own & only.png")
    return SimpleNamespace(reports=reports, folder=folder, digest=digest, hostile=HOSTILE)


@pytest.fixture
def published(made):
    """The outputs of `made` as committed ones, with the list of their runs as older code wrote it."""
    for part in ("figures", "tables"):
        (made.reports / part).mkdir()
        for file in (made.folder / part).glob("*"):
            (made.reports / part / f"scenes-{file.name}").write_bytes(file.read_bytes())
    row = {"dataset": "scenes", "method": "PiCIE", "recipe": "ours", "seed": 1, "scored": "val", "accuracy": 50.0}
    row |= {"mIoU": 20.0, "seconds": 9, "commit": "c0ffee", "digest": made.digest, "command": "picie run 00 -p seed=1"}
    for name, miou in (("scenes-runs", 20.0), ("scenes-development-runs", 99.0)):
        lines = [",".join(row), ",".join(map(str, (row | {"mIoU": miou}).values()))]
        (made.reports / "tables" / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return SimpleNamespace(reports=made.reports, folder=made.reports / "site", digest=made.digest, hostile=HOSTILE)
