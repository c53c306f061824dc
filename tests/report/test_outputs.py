"""`report.outputs`: the list of what notebooks make, held to the notebooks, and what is found of it on disk."""

import ast
import json
import re
from pathlib import Path

import pytest

from picie_core.report import outputs, page, runs
from picie_core.report.outputs import ReportError

ROOT = Path(__file__).parents[2]
LISTED = [(entry["notebook"], name) for entry in outputs.listed() for name in entry["outputs"]]


def made(notebook):
    """Patterns of the files that the cells of a notebook write with `figures.save` and `tables.save`."""
    found = []
    for cell in json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        for node in ast.walk(ast.parse("".join(cell["source"]).replace("%matplotlib", "# "))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("figures.save", "tables.save"):
                parts = node.args[2].values if isinstance(node.args[2], ast.JoinedStr) else [node.args[2]]
                name = "".join(re.escape(p.value) if isinstance(p, ast.Constant) else ".+" for p in parts)
                found.append(name + (r"\.png" if called == "figures.save" else r"\.csv"))
    return found


@pytest.mark.parametrize(("notebook", "name"), LISTED)
def test_what_is_listed_is_made_by_its_notebook(notebook, name):
    assert any(re.fullmatch(pattern, name) for pattern in made(notebook)), f"{notebook} does not save {name}"


def test_what_notebooks_make_is_listed():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        names = [name for notebook, name in LISTED if notebook == path.stem]
        for pattern in made(path.stem):
            assert any(re.fullmatch(pattern, name) for name in names), f"{path.stem}: contents.yaml lacks {pattern}"


def test_every_committed_output_is_listed(monkeypatch):
    monkeypatch.setenv("PICIE_HOME", str(ROOT))
    assert [output.place for s in outputs.committed() if not s.notebook for output in s.outputs] == []


def test_the_list_is_in_order_and_says_everything_once():
    notebooks = [entry["notebook"] for entry in outputs.listed()]
    assert notebooks == sorted(set(notebooks))
    assert len({name for _, name in LISTED}) == len(LISTED)
    for entry in outputs.listed():
        for caption in (entry["about"], *entry["outputs"].values()):
            assert re.fullmatch(r"[A-Z].*[.?]", caption), caption


def test_sections_have_the_order_of_the_list_and_lose_nothing(made):
    found = [(s.notebook, [output.place for output in s.outputs]) for s in outputs.local("scenes")]
    assert found == [
        ("01_data", ["tables/data-class-shares.csv"]),
        ("03_picie", ["tables/picie-scores.csv", "figures/picie-curves.png"]),
        ("04_main_results", ["tables/main-order.csv"]),
        ("", ["figures/my own & only.png", "tables/my own & only.csv"]),
    ]


def test_committed_outputs_are_those_of_every_data_set_by_their_own_names(published):
    (published.reports / "tables" / "camvid-picie-scores.csv").write_text("a\n")
    (published.reports / "tables" / "alone.csv").write_text("a\n")
    found = {s.notebook: [(o.dataset, o.name, o.place) for o in s.outputs] for s in outputs.committed()}
    assert found["03_picie"][:2] == [
        ("camvid", "picie-scores.csv", "tables/camvid-picie-scores.csv"),
        ("scenes", "picie-scores.csv", "tables/scenes-picie-scores.csv"),
    ]
    assert ("", "alone.csv", "tables/alone.csv") in found[""]
    assert not any(name.endswith("runs.csv") for section in found.values() for _, name, _ in section)


def test_of_two_lists_that_have_a_run_the_data_sets_own_counts(reports):
    """`camvid-runs.csv`, whatever comes first by the alphabet, before `camvid-development-runs.csv`."""
    (reports / "tables").mkdir()
    for name, score in (("camvid-development-runs.csv", "1.5"), ("camvid-runs.csv", "2.5")):
        (reports / "tables" / name).write_text(f"digest,seed,mIoU\n0123456789ab,1,{score}\n")
    known, _ = runs.committed()
    assert [entry.values["mIoU"] for entry in known.values()] == ["2.5"]


def test_committed_outputs_of_a_notebook_stand_data_set_by_data_set(reports):
    for name in ("scenes-data-samples.png", "camvid-data-samples.png", "scenes-data-class-shares.png"):
        file = reports / "figures" / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    (section,) = outputs.committed()
    assert [(o.name, o.dataset) for o in section.outputs] == [
        ("data-samples.png", "camvid"), ("data-samples.png", "scenes"), ("data-class-shares.png", "scenes"),
    ]  # fmt: skip


def test_nothing_to_report_says_what_to_do(reports, made):
    with pytest.raises(
        ReportError, match=r"camvid: execute a notebook .*`picie run 03 -p overrides=\{\} -p dataset=camvid .*on scenes"
    ):
        outputs.local("camvid")
    with pytest.raises(ReportError, match=r"`picie run 03 -p overrides=\{\} -p dataset=folder -p data_root=DIR`"):
        outputs.local("folder-a-0123")
    with pytest.raises(ReportError, match=r"publish outputs first, e\.g\. `picie publish scenes`"):
        outputs.committed()


def test_nothing_at_all(reports):
    with pytest.raises(ReportError, match=r"e\.g\. `picie demo` \(there are no outputs on other data either"):
        outputs.local("scenes")


def test_every_committed_number_leads_to_a_committed_run(monkeypatch):
    monkeypatch.setenv("PICIE_HOME", str(ROOT))
    sections = outputs.committed()
    known, faults = runs.committed()
    files = [output.file for section in sections for output in section.outputs if output.file.suffix == ".csv"]
    assert not faults
    assert not [file.name for file in files if page.table(file, {}).fault]
    named = page.named(sections)
    assert len(named) > 20
    assert named <= set(known)
