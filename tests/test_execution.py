"""`execution`: names and values checked before a kernel starts, and what a notebook leaves behind when it fails."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from children import gone, heed, wait_for

from picie_core import execution, parameters
from picie_core.execution import NotebookError, execute, find
from picie_core.parameters import route, settings_of
from picie_core.settings import Settings, SettingsError

ROOT = Path(__file__).parent.parent
PARAMETERS = """\
dataset = "scenes"  # which; a comment with 'quotes' = and signs
data_root = None
seed = 1
examples = 6
shown: bool = True
title = "a # b"
# any other setting
overrides = {
    "image_size": 64,  # small
    "train_images": 48,
}
"""


def notebook(path, *sources, parameters=PARAMETERS):
    """A notebook with a cell of parameters and others."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    if parameters is not None:
        tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
        cells = [nbformat.v4.new_markdown_cell("# 00 · A notebook"), tagged, *cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture
def small(tmp_path):
    return notebook(tmp_path / "00_small.ipynb", "pass")


@pytest.fixture
def workbook(tmp_path, monkeypatch):
    """A home with notebooks of its own."""
    for name in ("00_run", "03_picie", "04_main_results", "plan"):
        notebook(tmp_path / "notebooks" / f"{name}.ipynb", "pass")
    monkeypatch.setenv("PICIE_HOME", str(tmp_path))
    return tmp_path / "notebooks"


# -- which notebook


@pytest.mark.parametrize(
    ("name", "file"),
    [("03", "03_picie"), ("3", "03_picie"), ("0", "00_run"), ("picie", "03_picie"), ("03_picie", "03_picie"),
     ("03_picie.ipynb", "03_picie"), ("main_results", "04_main_results"), ("00", "00_run")],
)  # fmt: skip
def test_a_notebook_is_found_by_number_or_name_from_anywhere(workbook, monkeypatch, name, file):
    monkeypatch.chdir("/")
    assert find(name) == workbook / f"{file}.ipynb"


def test_a_notebook_is_found_by_its_path(workbook, monkeypatch):
    monkeypatch.chdir(workbook)
    assert find("plan.ipynb") == workbook / "plan.ipynb"
    assert find(str(workbook / "plan.ipynb")) == workbook / "plan.ipynb"


@pytest.mark.parametrize("name", ["05", "plan", "results", "pici", "", "notebooks", "04_main"])
def test_a_name_that_is_none_is_told_those_there_are(workbook, name):
    with pytest.raises(NotebookError, match=r"no notebook .*; there are: 00_run, 03_picie, 04_main_results .or give"):
        find(name)


def test_a_name_of_two_notebooks_is_not_guessed(workbook):
    notebook(workbook / "05_picie.ipynb")
    with pytest.raises(NotebookError, match="'picie' is more than one notebook: 03_picie, 05_picie"):
        find("picie")


def test_a_home_without_notebooks_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PICIE_HOME", str(tmp_path))
    with pytest.raises(NotebookError, match=f"there are: none in {tmp_path}/notebooks"):
        find("03")


# -- its parameters


def test_parameters_are_names_and_values(small):
    assert parameters.of(small) == {
        "dataset": "scenes", "data_root": None, "seed": 1, "examples": 6, "shown": True, "title": "a # b",
        "overrides": {"image_size": 64, "train_images": 48},
    }  # fmt: skip


def test_a_notebook_without_a_cell_of_parameters_has_none(tmp_path):
    assert parameters.of(notebook(tmp_path / "a.ipynb", "pass", parameters=None)) == {}


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_papermill_sees_the_same_names_in_our_notebooks(path):
    assert list(parameters.of(path)) == list(papermill.inspect_notebook(str(path)))


@pytest.mark.parametrize("content", ["# a README", "[]", "{}", '{"cells": [1]}', '{"worksheets": []}'])
def test_what_is_no_notebook_is_named(tmp_path, content):
    (tmp_path / "a.ipynb").write_text(content)
    with pytest.raises(NotebookError, match=r"a\.ipynb is not a notebook"):
        parameters.of(tmp_path / "a.ipynb")


@pytest.mark.parametrize("source", ["seed = 1 + x", "seed", "a = b = 1", "import os", "seed = (", "a.b = 2"])
def test_parameters_are_literals(tmp_path, source):
    with pytest.raises(NotebookError, match="the parameters cell may hold `name = literal` only"):
        parameters.of(notebook(tmp_path / "a.ipynb", parameters=source))


# -- the way of a value


def test_the_settings_of_a_notebook_are_those_of_its_parameters_and_its_overrides(small):
    given = {"dataset": "scenes", "data_root": None, "seed": 3, "image_size": 64, "train_images": 48}
    assert settings_of(parameters.of(small) | {"seed": 3}) == Settings(**given)


def test_nothing_given_is_nothing_injected(small):
    assert route(small, {}) == {}


def test_own_parameters_go_by_name_and_settings_into_the_overrides_that_are_there(small):
    assert route(small, {"seed": "3", "epochs": "2", "image_size": "96"}) == {
        "seed": 3, "overrides": {"image_size": 96, "train_images": 48, "epochs": 2},
    }  # fmt: skip


def test_the_notebooks_overrides_stay_also_when_only_its_own_parameters_are_given(small):
    assert route(small, {"dataset": "scenes_b"})["overrides"] == {"image_size": 64, "train_images": 48}


def test_one_override_is_undone_by_its_value_and_all_by_none_at_all(small):
    assert route(small, {"train_images": "none"})["overrides"] == {"image_size": 64, "train_images": None}
    assert route(small, {"overrides": "{}"}) == {"overrides": {}}
    assert route(small, {"overrides": "{'epochs': 3}", "seed": "2", "batch_size": "4"}) == {
        "seed": 2, "overrides": {"epochs": 3, "batch_size": 4},
    }  # fmt: skip
    assert route(small, {"overrides": {"learning_rate": "1e-3"}}) == {"overrides": {"learning_rate": 0.001}}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("learning_rate", "1e-3", 0.001), ("geometric", "false", False), ("geometric", "True", True), ("epochs", "7", 7),
     ("train_images", "none", None), ("train_images", "None", None), ("mse", "none", "none"), ("precision", "32", "32"),
     ("epochs", 7, 7), ("workers", "", None)],
)  # fmt: skip
def test_a_text_becomes_the_settings_type(small, name, text, value):
    found = route(small, {name: text})["overrides"][name]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("examples", "8", 8), ("shown", "false", False), ("shown", "no", False), ("title", "8", "8"),
     ("title", "none", "none"), ("examples", 9, 9)],
)  # fmt: skip
def test_a_parameter_that_is_no_setting_becomes_of_its_defaults_type(small, name, text, value):
    found = route(small, {name: text})[name]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("name", ["data_root", "runs_root", "weights_file"])
def test_a_relative_path_is_the_callers_not_the_kernels(small, tmp_path, monkeypatch, name):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))

    def routed(text):
        found = route(small, {name: text})
        return found.get(name, found["overrides"].get(name))

    assert routed("../data") == str(tmp_path / "data")
    assert routed("~/data") == str(tmp_path / "me" / "data")
    assert routed("none") is None


def test_every_mistake_is_told_at_once_and_the_nearest_name(small):
    given = {"sed": "1", "learning_rat": "1", "epochs": "two", "examples": "many", "image_size": "65", "zzz": "1"}
    with pytest.raises(SettingsError) as caught:
        route(small, given)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(given)
    assert lines[0].startswith(
        "00_small.ipynb has no parameter 'sed': did you mean 'seed'? Its own: dataset, data_root"
    )
    assert "did you mean 'learning_rate'?" in lines[1]
    assert lines[2].startswith("epochs = 'two'")
    assert lines[3].startswith("examples = 'many'")
    assert lines[3].endswith("the notebook's own value is 6")
    assert "multiple of 32" in lines[4]
    assert "did you mean" not in lines[5]


@pytest.mark.parametrize("value", ["3", "none", "{'epochs'", "epochs=3", 7, "{1: 2}", "{[]: 2}"])
def test_overrides_are_settings_by_name(small, value):
    with pytest.raises(SettingsError, match=r"overrides = .*: expected settings by name"):
        route(small, {"overrides": value})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_overclusters": "10", "num_clusters": "20"}, "overclustering needs more than num_clusters"),
        ({"base_size": "32"}, "base_size = 32 is smaller than image_size = 64"),  # 64 is the notebook's own
        ({"dataset": "cityscape27"}, "did you mean 'cityscapes27'"),
        ({"overrides": "{'epoch': 3}"}, "no setting is called 'epoch': did you mean 'epochs'"),
        ({"overrides": "{'epochs': -1}"}, "epochs = -1"),
    ],
)
def test_what_does_not_go_together_is_refused_before_a_kernel_starts(small, monkeypatch, tmp_path, given, message):
    monkeypatch.setattr(papermill, "execute_notebook", lambda *a, **k: pytest.fail("a kernel was started"))
    with pytest.raises(SettingsError, match=message):
        execute(small, given, tmp_path / "out" / "a.ipynb")
    assert not (tmp_path / "out").exists()


def test_a_refused_value_that_is_the_notebooks_own_is_said_to_be(small):
    hint = r"\n00_small sets image_size itself: -p overrides=\{\} drops what it sets"
    with pytest.raises(SettingsError, match=hint):
        route(small, {"base_size": "32"})
    for given in ({"base_size": "32", "image_size": "64"}, {"base_size": "32", "overrides": "{'image_size': 64}"}):
        with pytest.raises(SettingsError, match="image_size = 64") as refused:
            route(small, given)
        assert "itself" not in str(refused.value)


def test_a_notebook_of_several_seeds_refuses_one_and_what_names_none(tmp_path):
    several = notebook(tmp_path / "05.ipynb", parameters="seeds = '1'\noverrides = {}")
    assert route(several, {"seeds": "1-3", "epochs": "2"}) == {"seeds": "1-3", "overrides": {"epochs": 2}}
    for given in ({"seed": "4"}, {"overrides": "{'seed': 4}"}):
        with pytest.raises(SettingsError, match=r"seed: 05\.ipynb takes seeds=4"):
            route(several, given)
    for given in ("3-1", "", "one", "1,1"):
        with pytest.raises(SettingsError, match=rf"^seeds = '{given}'"):
            route(several, {"seeds": given})


def test_a_notebook_without_overrides_takes_its_own_parameters_alone(tmp_path):
    plain = notebook(tmp_path / "a.ipynb", parameters="seed = 1\ndataset = 'scenes'")
    assert route(plain, {"seed": "2"}) == {"seed": 2}
    with pytest.raises(SettingsError, match=r"epochs: a\.ipynb has no `overrides`; it takes its own .*: seed, dataset"):
        route(plain, {"epochs": "2"})


# -- execution


def run(path, given=None, output=None):
    return execute(path, given or {}, output or path.parent / "out" / path.name, quiet=True)


def printed(path):
    """What the cells of an executed notebook wrote."""
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", ())]
    return "".join(output.get("text", "") for output in outputs)


def test_the_last_words_of_a_notebook_are_its_last_print(tmp_path):
    path = notebook(tmp_path / "notebooks" / "00_a.ipynb", "print('first')", "print('run a'); print('run b')", "1 + 1")
    assert execution.last_words(run(path)) == "run a\nrun b"
    assert execution.last_words(path) == ""  # never executed


WARNED = """\
import logging, sys
from tqdm import tqdm
logging.getLogger("picie_core").warning("2 files not looked at")
list(tqdm(range(3), file=sys.stderr))
logging.getLogger("picie_core").warning("2 files not looked at")
logging.getLogger("picie_core").warning("1 image left out")
"""


def test_what_a_notebook_warned_of_is_told_once_and_not_its_progress(tmp_path, caplog):
    path = notebook(tmp_path / "notebooks" / "00_a.ipynb", WARNED)
    run(path)
    assert not caplog.messages  # quiet
    execute(path, {}, tmp_path / "out" / "a.ipynb")
    assert caplog.messages == ["2 files not looked at", "1 image left out"]


REPORT = """\
import json, os
places = {name: value for name, value in os.environ.items() if name.startswith("PICIE_")}
print(json.dumps({"cwd": os.getcwd(), "seed": seed, "overrides": overrides, "places": places}))
"""


def test_an_executed_notebook_is_another_file_with_what_was_given(tmp_path, monkeypatch):
    path = notebook(tmp_path / "{seed} {note}books" / "00_a.ipynb", REPORT)  # braces are for papermill to fill
    before = path.read_bytes()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    for name, place in (("HOME", "home"), ("RUNS", "my runs"), ("PREPARED", "prepared")):
        monkeypatch.setenv(f"PICIE_{name}", place)
    output = Path("deep/{er}/out.ipynb")  # relative to the working directory, and so is every place above
    environment = dict(os.environ)

    assert run(path, {"seed": "5", "learning_rate": "1e-3"}, output) == output
    found = json.loads(printed(tmp_path / output))
    assert found["seed"] == 5
    assert found["overrides"] == {"image_size": 64, "train_images": 48, "learning_rate": 0.001}
    assert found["cwd"] == str(path.parent)
    places = {"HOME": "home", "RUNS": "my runs", "PREPARED": "prepared"}
    elsewhere = {f"PICIE_{name}": str(tmp_path / place) for name, place in places.items()}
    assert {name: found["places"].get(name) for name in elsewhere} == elsewhere
    assert path.read_bytes() == before
    assert [p.name for p in (tmp_path / "deep" / "{er}").iterdir()] == ["out.ipynb"]
    assert (tmp_path / output).stat().st_mode & 0o777 == 0o644
    assert dict(os.environ) == environment


FAILING = ("print('so far')", "raise ValueError('the cat is on the keyboard')", "print('never')")


def test_a_failing_cell_is_named_and_its_notebook_kept(tmp_path):
    path = notebook(tmp_path / "00_a.ipynb", *FAILING)
    output = tmp_path / "out" / "a.ipynb"
    output.parent.mkdir()
    output.write_text("an older output")
    with pytest.raises(NotebookError) as caught:
        run(path, output=output)
    failed = tmp_path / "out" / "a.failed.ipynb"
    assert str(caught.value) == (
        f"00_a.ipynb failed in cell [3]: ValueError: the cat is on the keyboard\nOpen {failed}"
    )  # fmt: skip
    assert output.read_text() == "an older output"
    assert "so far" in printed(failed)
    assert "never" not in printed(failed)
    assert "the cat is on the keyboard" in failed.read_text()
    assert {p.name for p in output.parent.iterdir()} == {"a.ipynb", "a.failed.ipynb"}

    notebook(path, "print('mended')")
    run(path, output=output)
    assert printed(output) == "mended\n"
    assert [p.name for p in output.parent.iterdir()] == ["a.ipynb"]  # the evidence of what is mended is gone


def test_a_full_disk_is_told_with_the_file_that_it_has_no_room_for(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")  # as of an open file: without a name

    monkeypatch.setattr(papermill, "execute_notebook", full)
    with pytest.raises(OSError, match=r"No space left.*make room, then do the same again.*executed\.ipynb'"):
        execute(notebook(tmp_path / "small.ipynb", "pass"), {}, tmp_path / "executed.ipynb")
    assert [file.name for file in tmp_path.iterdir()] == ["small.ipynb"]


def test_a_kernel_that_dies_leaves_its_notebook_too(tmp_path):
    path = notebook(
        tmp_path / "00_a.ipynb", "print('so far')", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    with pytest.raises(
        execution.KernelDiedError, match=r"00_a\.ipynb: Kernel died.*out of memory.*\nOpen .*00_a\.failed\.ipynb"
    ):
        run(path)
    failed = tmp_path / "out" / "00_a.failed.ipynb"
    assert printed(failed) == "so far\n"
    assert [p.name for p in failed.parent.iterdir()] == [failed.name]


EXECUTE = """\
import sys
from pathlib import Path
from picie_core.execution import execute
execute(Path(sys.argv[1]), {}, Path(sys.argv[2]), quiet=True)
"""


def test_a_kill_in_the_middle_leaves_the_older_output_and_no_kernel(tmp_path):
    mark = tmp_path / "kernel"
    path = notebook(
        tmp_path / "00_a.ipynb",
        f"import os, pathlib, time\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(60)",
    )
    output = tmp_path / "a.ipynb"
    output.write_text("an older output")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PICIE_HOME": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", EXECUTE, str(path), str(output)], cwd="/", env=environment)
    try:
        kernel = int(wait_for(lambda: mark.is_file() and mark.read_text()))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert output.read_text() == "an older output"
    assert not (tmp_path / "a.failed.ipynb").exists()
    wait_for(lambda: gone(kernel), 20)  # it notices that its parent is no more


def test_an_attempt_does_not_outlive_its_process(tmp_path, monkeypatch):
    """Ctrl-C: neither an output nor the hidden attempt stays."""

    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(execution.papermill, "execute_notebook", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(notebook(tmp_path / "00_a.ipynb", "pass"))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "again"),
    [
        ((), "the same command"),
        (("-p", "fresh=false"), "the same command"),
        (("-p", "fresh=true"), "without fresh=true the same command"),
    ],
)
@pytest.mark.slow
def test_ctrl_c_ends_picie_run_with_one_line_and_no_kernel(tmp_path, given, again):
    mark = tmp_path / "kernel"
    path = notebook(
        tmp_path / "00_a.ipynb",
        f"import os, pathlib, time\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(60)",
    )
    call = [sys.executable, "-m", "picie_core", "run", str(path), "--output", str(tmp_path / "out" / "a.ipynb"), *given]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PICIE_HOME": str(tmp_path)}
    process = subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
        preexec_fn=heed,
    )  # fmt: skip
    try:
        kernel = int(wait_for(lambda: mark.is_file() and mark.read_text()))
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all in its foreground
        printed, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert printed == ""
    assert "Traceback" not in said
    assert said.splitlines()[-1] == f"stopped: each run keeps what its last epoch made; {again} goes on"
    assert list((tmp_path / "out").iterdir()) == []
    wait_for(lambda: gone(kernel), 20)


# -- the notebook that every row of a grid is


@pytest.mark.parametrize("method", ["pseudomasks", "supervised"])
@pytest.mark.slow
def test_notebook_00_takes_methods_whose_predictions_are_not_k_clusters(method, tmp_path):
    """Pseudo-masks have a background beside their K clusters; a grid's row ended in 00's last assertion."""
    clusters = {"pseudomasks": 2, "supervised": 12}[method]
    given = {"dataset": "scenes", "method": method, "num_clusters": clusters, "runs_root": str(tmp_path / "runs")}
    given |= {"image_size": 32, "base_size": 32, "train_images": 12, "val_images": 4, "epochs": 1, "threads": 1}
    given |= {"comus_neighbors": 4, "comus_crop_size": 32} if method == "pseudomasks" else {"batch_size": 6}
    executed = execute(find("00"), given, tmp_path / "00.ipynb", quiet=True)
    assert "accuracy" in executed.read_text(encoding="utf-8")
