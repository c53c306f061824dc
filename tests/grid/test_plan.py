"""`grid.plan`: a grid file is read and checked whole, and nothing starts before it is right."""

import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml
from PIL import Image
from tiny_runs import TINY

from picie_core import options, places
from picie_core.grid import plan
from picie_core.grid.plan import GridError, find, read
from picie_core.settings import SettingsError
from picie_core.settings.seeds import numbers as of_notebook

ROOT = Path(__file__).parents[2]
GRIDS = sorted((ROOT / "notebooks" / "grids").glob("*.yaml"))


def test_rows_stand_on_the_callers_settings_and_those_on_the_base(grid_file):
    file = grid_file({"a": {"epochs": 2, "learning_rate": "1e-3"}, "b": {"temperature": 0.5}}, title="T", about="why")
    grid = read(file, {"epochs": 1})
    assert (grid.title, grid.about, [row.name for row in grid.rows]) == ("T", "why", ["a", "b"])
    a, b = grid.rows
    assert a.settings["learning_rate"] == 0.001  # YAML reads 1e-3 as a text
    assert (a.settings["epochs"], b.settings["epochs"]) == (2, 1)  # what makes a row stays what it is
    assert (b.settings["temperature"], b.settings["image_size"]) == (0.5, TINY["image_size"])


@pytest.mark.parametrize(
    ("seeds", "numbers"),
    [([3, 1], (1, 3)), ("1-3", (1, 2, 3)), ("1-2, 7", (1, 2, 7)), ("4", (4,)), (["1-2", 9], (1, 2, 9))],
)
def test_seeds_are_numbers_and_ranges(grid_file, seeds, numbers):
    assert read(grid_file({"a": {}}, seeds)).rows[0].seeds == numbers
    assert of_notebook(seeds) == numbers


@pytest.mark.parametrize("seeds", ["3-1", "a", "", [], "1, 1", None])
def test_what_is_no_seeds_is_refused_of_a_notebook_too(seeds):
    with pytest.raises(SettingsError, match=f"^seeds = {re.escape(repr(seeds))}[: ]"):
        of_notebook(seeds)


def test_a_row_may_have_its_own_seeds_and_the_caller_overrides_all(grid_file):
    file = grid_file([{"name": "a"}, {"name": "b", "seeds": 5, "settings": {"epochs": 1}}])
    assert [row.seeds for row in read(file).rows] == [(1,), (5,)]
    assert [row.seeds for row in read(file, seeds="2-3").rows] == [(2, 3), (2, 3)]


def test_one_seed_of_every_row_comes_before_the_second(grid_file):
    jobs = read(grid_file({"b": {}, "a": {"epochs": 1}}, (2, 1))).jobs()
    assert [str(job) for job in jobs] == ["b, seed 1", "a, seed 1", "b, seed 2", "a, seed 2"]
    assert [job.settings.epochs for job in jobs] == [3, 1, 3, 1]


def test_only_some_rows(grid_file):
    file = grid_file({"a": {}, "b": {"epochs": 1}})
    assert [row.name for row in read(file, only=["b"]).rows] == ["b"]
    with pytest.raises(GridError, match=r"there is no row 'c'.*Known: a, b"):
        read(file, only=["c"])


def test_a_rows_name_is_suggested_in_its_own_case_and_names_with_commas_are_quoted(grid_file):
    file = grid_file({"PiCIE": {}, "PiCIE, late": {"epochs": 1}})
    with pytest.raises(GridError, match=r"no row 'Picie': did you mean 'PiCIE'\? Known: 'PiCIE', 'PiCIE, late'"):
        read(file, only=["Picie"])


def test_rows_that_are_not_asked_for_are_not_checked(grid_file):
    """With 4 clusters more, row a would overcluster with too few, and be refused."""
    file = grid_file([{"name": "a", "settings": {"num_overclusters": 8}}, {"name": "b"}, {"name": "c", "seeds": "x"}])
    assert [row.name for row in read(file, {"num_clusters": 9}, only=["b"]).rows] == ["b"]
    with pytest.raises(GridError, match="row 'a': num_overclusters = 8"):
        read(file, {"num_clusters": 9}, only=["a"])


def test_a_value_that_a_rows_own_stands_above_is_refused_where_it_differs(grid_file):
    grid = read(grid_file({"a": {"epochs": 2}, "b": {"method": "rgb"}}), {"epochs": 2, "photometric": False})
    plan.refuse_beaten(grid, {"epochs": 2, "photometric": False})
    with pytest.raises(GridError) as caught:
        plan.refuse_beaten(read(grid.file, given := {"epochs": 4, "method": "picie"}), given)
    assert str(caught.value).splitlines()[1:] == [
        f"- -p {given} does not change rows with a value of their own: {row}. Leave it out, choose other rows with "
        "--only, or change a copy of the file"
        for given, row in (("epochs=4", "'a' (2)"), ("method=picie", "'b' (rgb)"))
    ]


def test_every_mistake_is_told_at_once(grid_file):
    rows = [
        {"name": "typo", "settings": {"learning_rat": 1}},
        {"name": "value", "settings": {"epochs": -1}},
        {"name": "twice", "settings": {"seed": 3}},
        {"name": "twice"},
        {"name": "seeds", "seeds": []},
        {"name": "words", "seeds": "one"},
        {"name": "again", "seeds": [2, 2]},
        {"name": "part", "setings": {}},
        {"name": "table", "published": {"table": "picie_tabel5_ablation1", "method": "row 1"}},
        {"name": "row", "published": {"table": "picie_table5_ablation1", "method": "row 7"}},
        {"name": "setting", "published": {"table": "picie_table5_ablation1", "method": "row 1", "setting": "x"}},
        {"name": "key", "published": "picie_table5_ablation1"},
        {"name": "fresh", "settings": {"fresh": True}},
        {"name": "number", "settings": {4: "epochs"}},
        {"name": "on", "settings": {True: 3}},
        {"name": "yes", "seeds": True},
        {"name": "which", "published": {"table": "picie_supp_table1_iic_lambda", "method": "IIC"}},
        "no row",
    ]
    with pytest.raises(GridError) as caught:
        read(grid_file(rows, sead=1))
    lines = str(caught.value).splitlines()
    assert "nothing was started" in lines[0]
    expected = [
        r"'sead' is no part of a grid: did you mean 'seeds'\?",
        r"row 'typo': no setting is called 'learning_rat': did you mean 'learning_rate'\?",
        r"row 'value': epochs = .*>= 0",
        r"row 'twice': seed: a grid's seeds stand in `seeds`",
        r"row 4: there is another row 'twice'",
        r"row 'seeds': seeds = \[\]: expected numbers",
        r"row 'words': seeds = 'one': expected numbers",
        r"row 'again': .*names a seed twice",
        r"row 'part': 'setings' is no part of a row: did you mean 'settings'\?",
        r"row 'table': no published table 'picie_tabel5_ablation1'",
        r"row 'row': picie_table5_ablation1 has no method 'row 7': did you mean 'row 6'\?",
        r"row 'setting': picie_table5_ablation1 has no setting 'x'",
        r"row 'key': published = 'picie_table5_ablation1': expected table, method",
        r"row 'fresh': fresh: a grid goes on where it stopped",
        r"row 'which': picie_supp_table1_iic_lambda has 6 rows 'IIC': give the `setting`, one of 'lambda=1.0'",
        r"row 'number': no setting is called '4'",
        r"row 'on': no setting is called 'true'",
        r"row 'yes': seeds = True: expected numbers",
        r"row 18: expected a mapping with a name, got 'no row'",
    ]
    for line in expected:
        assert any(re.search(line, found) for found in lines), (line, lines)
    assert len(lines) == 1 + len(expected)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "no seeds: give `seeds: 1-10` for the grid or for every row, or --seeds 1-10"),
        ("2-1", "--seeds 2-1: expected numbers from low to high, such as 1-10 or 1,2,5"),
        ("1,3-2", "--seeds 1,3-2: expected numbers from low to high, such as 1-10 or 1,2,5"),
        ("a", "--seeds a: expected numbers from low to high, such as 1-10 or 1,2,5"),
        ("", "--seeds : expected numbers from low to high, such as 1-10 or 1,2,5"),
        ("1,1", "--seeds 1,1 names a seed twice"),
    ],
)
def test_seeds_that_are_none_are_told_once_and_where_they_stand(tmp_path, given, said):
    file = tmp_path / "g.yaml"
    file.write_text("rows: [{name: a}, {name: b, settings: {epochs: 1}}]")
    with pytest.raises(GridError) as caught:
        read(file, seeds=given)
    assert str(caught.value).splitlines()[1:] == [f"- {said}"]


def test_values_that_do_not_go_together_and_one_run_under_two_names(grid_file):
    with pytest.raises(GridError) as caught:
        read(grid_file({"a": {}, "b": {"num_overclusters": 3}, "c": {"recipe": "ours"}}))
    text = str(caught.value)
    assert "row 'b': num_overclusters = 3" in text
    assert "row 'c': the same settings as row 'a'" in text


def test_a_title_and_texts_that_are_left_empty_are_none(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text("title:\nabout:\nseeds: 1\nrows: [{name: a, about: }]")
    grid = read(file)
    assert (grid.title, grid.about, grid.rows[0].about) == ("small", "", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not YAML"),
        (
            "rows:\n- name: a\n  settings:\n    epochs: 2\n    'epochs': 4",
            "line 5 repeats the key 'epochs' of line 4: give",
        ),
        ("- a", "expected a mapping"),
        ("title: x", "no list of rows"),
        ("rows: []", "no list of rows"),
        ("rows: 3", "no list of rows"),
        ("base: 3\nseeds: 1\nrows: [{name: a}]", "base: expected settings by name"),
    ],
)
def test_what_is_no_grid_is_named(tmp_path, content, message):
    file = tmp_path / "g.yaml"
    file.write_text(content)
    with pytest.raises(GridError, match=message) as caught:
        read(file)
    assert str(file) in str(caught.value)


def test_a_grid_is_found_by_name_or_path(tmp_path, monkeypatch, grid_file):
    folder = tmp_path / "home" / "notebooks" / "grids"
    folder.mkdir(parents=True)
    (folder / "table5.yaml").write_text("")
    monkeypatch.setenv("PICIE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir("/")
    assert find("table5") == find("table5.yaml") == folder / "table5.yaml"
    assert find(str(grid_file({"a": {}}))) == tmp_path / "small.yaml"
    with pytest.raises(GridError, match="no grid 'tabel5': did you mean 'table5'"):
        find("tabel5")


@pytest.mark.parametrize("file", GRIDS, ids=lambda file: file.stem)
def test_the_workbooks_grids_are_right(file, tmp_path):
    varied = {name for row in yaml.safe_load(file.read_text())["rows"] for name in row["settings"]}
    given = {"dataset": "camvid", "data_root": tmp_path, "pretrained": False, "learning_rate": 1e-3}
    for extra in ({}, {name: value for name, value in given.items() if name not in varied}):
        grid = read(file, extra)
        assert grid.title
        assert grid.about
        assert all(len(row.seeds) >= 3 for row in grid.rows)


def test_there_are_grids():
    assert GRIDS


def documented():
    """Every `picie grid NAME ... -p ...` (or `NAME -p ...`) of the pages and notebooks: grid, and what is given."""
    places = ("*.md", "data/*.md", "reports/*.md", "reports/bench/*.md", "notebooks/grids/*.md", "notebooks/*.ipynb")
    pages = [page for place in places for page in ROOT.glob(place)]
    found = set()
    for page in pages:
        for name, rest in re.findall(r"(?:picie grid |`)(\w+)([^`\n]*)", page.read_text(encoding="utf-8")):
            if (ROOT / "notebooks" / "grids" / f"{name}.yaml").exists():
                found.add((name, tuple(re.findall(r"-p (\w+=[^\s\\]+)", rest))))
    return sorted(found)


@pytest.mark.parametrize(("name", "given"), documented(), ids=str)
def test_what_the_pages_tell_to_type_is_not_refused(name, given):
    values = options.settings(list(given))
    plan.refuse_beaten(read(find(name), values), values)


def test_pages_tell_of_grids():
    assert {"table1", "table7", "comus_table5", "comus_table10", "differences"} <= {name for name, _ in documented()}


# -- data


def test_the_folders_are_those_of_the_runs_and_the_data_are_prepared_once(grid_file, tmp_path, monkeypatch):
    monkeypatch.setenv("PICIE_RUNS", str(tmp_path / "runs"))
    asked = []
    real = plan.splits
    monkeypatch.setattr(plan, "splits", lambda s: (asked.append(s), real(s))[1])
    folders = plan.prepare(read(grid_file({"a": {}, "b": {"epochs": 1}, "c": {"method": "rgb"}}, (1, 2))))
    assert len(folders) == len(set(folders.values())) == 6
    assert {folder.parent for folder in folders.values()} == {places.runs_root()}
    assert len(asked) == 1
    assert not (tmp_path / "runs").exists()


def test_data_that_are_not_there_are_told_for_all_rows_at_once(grid_file, tmp_path, monkeypatch):
    asked = []
    real = plan.splits
    monkeypatch.setattr(plan, "splits", lambda s: (asked.append(s.dataset), real(s))[1])
    rows = {"a": {}, "b": {"dataset": "camvid", "data_root": str(tmp_path / "no")}, "c": {"dataset": "voc21"}}
    rows["d"] = rows["b"] | {"epochs": 1}
    with pytest.raises(GridError) as caught:
        plan.prepare(read(grid_file(rows)))
    lines = [line for line in str(caught.value).splitlines() if line.startswith("- ")]
    assert sorted(asked) == ["camvid", "scenes", "voc21"]  # once each, also what failed
    assert len(lines) == 2
    assert lines[0].startswith("- b, d: ")
    assert str(tmp_path / "no") in lines[0]
    assert lines[1].startswith("- c: ")


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_a_row_that_needs_labels_is_refused_alone_where_there_are_none(grid_file, tmp_path, order):
    for number in range(4):
        Image.new("RGB", (80, 80), (50 * number,) * 3).save(tmp_path / f"{number}.png")
    rows = {"a": {"method": "picie"}, "b": {"method": "supervised"}}
    file = grid_file({name: rows[name] for name in order})
    with pytest.raises(GridError) as caught:
        plan.prepare(read(file, {"dataset": "folder", "data_root": tmp_path}))
    assert str(caught.value).splitlines()[1:] == [
        "- b: method = 'supervised' needs labels, which folder has not: choose another method"
    ]


def test_a_row_with_more_classes_than_clusters_is_refused_alone(grid_file):
    taught = {"method": "supervised"}
    rows = {name: taught | {"num_clusters": k} for name, k in (("a", 12), ("b", 11), ("c", 13))}
    with pytest.raises(GridError) as caught:
        plan.prepare(read(grid_file(rows)))
    (line,) = str(caught.value).splitlines()[1:]
    assert line.startswith("- b: num_clusters = 11: ")


def test_rows_that_are_one_run_on_these_data_are_refused(grid_file, tmp_path):
    """A run goes by the settings of one: the other row would stay without a score."""
    (tmp_path / "photos").mkdir()
    for grey in (50, 100, 150, 200):
        Image.new("RGB", (48, 40), (grey, grey, grey)).save(tmp_path / "photos" / f"{grey}.png")
    given = {"dataset": "folder", "data_root": tmp_path / "photos"}
    rows = {"a": {"train_images": 50}, "b": {"train_images": None}, "c": {"train_images": 2}}
    with pytest.raises(GridError) as caught:
        plan.prepare(read(grid_file(rows), given))
    (line,) = str(caught.value).splitlines()[1:]
    assert line == "- b: on these data the same run as row 'a'"


def test_weights_that_are_not_there_are_told_once(grid_file, tmp_path):
    rows = {
        "a": {"pretrained": True},
        "b": {"pretrained": True, "epochs": 1},
        "c": {"method": "rgb", "pretrained": True},
        "d": {"method": "pseudomasks", "pretrained": True},
        "e": {"method": "comus", "comus_network": "deeplabv3", "pretrained": True},
        "f": {"method": "comus", "comus_network": "fpn", "pretrained": True},
        "g": {"method": "pseudomasks", "pretext": "untrained", "pretrained": True},
    }
    with pytest.raises(GridError) as caught:
        plan.prepare(read(grid_file(rows), {"weights_file": tmp_path / "no.pth"}))
    lines = [line for line in str(caught.value).splitlines() if line.startswith("- ")]
    assert len(lines) == 1
    assert "a, b, f, g: weights_file" in lines[0]  # the others start from no such weights


@pytest.mark.parametrize(
    ("backbone", "line"),
    [
        ("timm/test_vit", r"- a, b: weights_file = .*no such file; expected weights of timm/test_vit"),
        ("efficientnet_lite0", r"- a, b: weights_file = .*no such file; expected efficientnet-lite0-57934424\.pth"),
    ],
)
def test_weights_of_other_backbones_that_are_not_there_are_told_once_too(grid_file, tmp_path, backbone, line):
    of = {"backbone": backbone, "pretrained": True}
    rows = {"a": of, "b": of | {"frozen": True}, "c": of | {"pretrained": False}, "d": of | {"method": "rgb"}}
    with pytest.raises(GridError) as caught:
        plan.prepare(read(grid_file(rows, seeds=(1, 2)), {"weights_file": tmp_path / "no.pth"}))
    lines = [found for found in str(caught.value).splitlines() if found.startswith("- ")]
    assert len(lines) == 1
    assert re.match(line, lines[0])


def test_weights_of_another_model_are_refused_before_anything_starts(grid_file, tmp_path):
    safetensors.torch.save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    rows = {"a": {"backbone": "timm/test_vit", "pretrained": True}, "b": {"backbone": "timm/test_vit"}}
    with pytest.raises(GridError, match=r"- a: weights_file: .*another model than timm's test_vit"):
        plan.prepare(read(grid_file(rows), {"weights_file": tmp_path / "other.safetensors"}))


def test_installed_weights_are_there(grid_file):
    rows = {"a": {"backbone": "efficientnet_lite0", "pretrained": True}}
    assert [job.row for job in plan.prepare(read(grid_file(rows)))] == ["a"]


def test_a_run_is_looked_for_by_the_split_that_it_learns_from(grid_file, monkeypatch):
    monkeypatch.setattr(plan, "splits", lambda s: (s.learned_split, "val"))
    monkeypatch.setattr(plan, "run_folder", lambda settings, train, val: Path(train))
    of_voc = {"method": "comus", "dataset": "voc21", "comus_later_split": "trainaug", "comus_network": "fpn"}
    rows = {"once": of_voc, "twice": of_voc | {"comus_iterations": 2}}
    found = plan.prepare(read(grid_file(rows)))
    assert {job.row: folder.name for job, folder in found.items()} == {"once": "train", "twice": "trainaug"}
