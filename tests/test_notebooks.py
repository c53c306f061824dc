"""The form of the committed notebooks, so that nbval has something to compare and a reader something to see.

nbval never compares a cell that was not executed, and a stripped notebook passes it without a word; this guard is what
makes its green mean something. `faults` says in words where a notebook breaks the habits; the tests below break one
habit at a time in a small notebook and see that it notices.
"""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbval.plugin import get_sanitize_patterns

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST_CELL, LONGEST_NOTEBOOK = 15, 120  # lines of code; blank lines and comments are free
COMPARED = "nbval-check-output"
ABSOLUTE = re.compile(r"/[\w.+-]+/|/(?:home|root|tmp|data|mnt|opt|work|scratch)$|~|[A-Za-z]:[\\/]")
# What IPython makes of `!command`, `x = !command`, `%%bash`, `%pip` ...
SHELL = re.compile(
    r"get_ipython\(\)\.(?:system|getoutput|run_(?:cell|line)_magic\('(?:bash|sh|script|system|sx|pip|conda|run)')"
)


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def code_lines(source: str) -> int:
    """The lines of code in a cell: neither blank nor a comment alone."""
    return sum(1 for line in source.splitlines() if line.strip() and not line.strip().startswith("#"))


def cell_faults(cell: NotebookNode) -> Iterator[str]:
    """Where one code cell breaks the habits."""
    if (lines := code_lines(cell.source)) > LONGEST_CELL:
        yield f"{lines} lines of code; more than {LONGEST_CELL} belong in the package"
    python = TransformerManager().transform_cell(cell.source)
    if SHELL.search(python):
        yield "a shell command; it works on one kind of machine only"
    for node in ast.walk(ast.parse(python)):
        if isinstance(node, ast.ClassDef):
            yield f"class {node.name}; classes belong in the package"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and ABSOLUTE.match(node.value):
            yield f"literal path {node.value!r}; places are settings"
    if any(output.output_type == "error" for output in cell.outputs):
        yield "was committed with an error in its output"
    if COMPARED in tags(cell) and (cell.execution_count is None or not any(map(has_content, cell.outputs))):
        yield f"is tagged {COMPARED} and has no output: nbval compares nothing. Run the notebook, then commit it"
    if "injected-parameters" in tags(cell):
        yield "holds parameters that papermill injected; commit the notebook, not an executed copy"


def has_content(output: NotebookNode) -> bool:
    """Whether an output shows anything."""
    return bool(output.get("text", "").strip() or output.get("data"))


def parameter_faults(cell: NotebookNode) -> Iterator[str]:
    """Where the parameters cell holds more than names and literal values."""
    for statement in ast.parse(cell.source).body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name()], value=value)
                | ast.AnnAssign(target=ast.Name(), value=ast.expr() as value)
            ):
                try:
                    ast.literal_eval(value)
                except ValueError:
                    yield f"parameters: {ast.unparse(statement)!r} is not a literal, which papermill needs"
            case _:
                yield f"parameters: {ast.unparse(statement)!r} is not `name = value`"


def faults(notebook: NotebookNode) -> list[str]:
    """Where a notebook breaks the habits, in words, with the number of the cell from 1 on."""
    found = []
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            found += [f"cell {number}: {fault}" for fault in cell_faults(cell)]
    if (lines := sum(code_lines(cell.source) for cell in code)) > LONGEST_NOTEBOOK:
        found.append(f"{lines} lines of code; more than {LONGEST_NOTEBOOK} are not a notebook any more")
    parameters = [cell for cell in code if "parameters" in tags(cell)]
    if len(parameters) == 1:
        found += parameter_faults(parameters[0])
    else:
        found.append(f"{len(parameters)} cells are tagged 'parameters'; papermill needs one")
    if not any(COMPARED in tags(cell) for cell in code):
        found.append(f"no cell is tagged {COMPARED}: nbval compares nothing in it")
    if (counts := [cell.execution_count for cell in code]) != list(range(1, len(code) + 1)):
        found.append(f"execution counts are {counts}: run it once from top to bottom in a fresh kernel, then commit it")
    return found


def noise_command() -> list[str]:
    """The command of the pre-commit hook that strips noise metadata, with this interpreter's nbstripout."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    (entry,) = [hook["entry"] for hook in hooks if hook["id"] == "nbstripout"]
    return [sys.executable, "-m", "nbstripout", *shlex.split(entry)[1:]]


def noisy(*paths: Path) -> list[Path]:
    """Those of the notebooks that the pre-commit hook would change."""
    command = [*noise_command(), "--verify", *map(str, paths)]
    shown = subprocess.run(command, text=True, capture_output=True, check=False).stdout
    return [path for path in paths if f"would have stripped {path}\n" in shown]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebooks_keep_the_habits(path):
    found = faults(nbformat.read(path, as_version=4))
    assert not found, "\n".join(found)


def test_committed_notebooks_hold_no_noise():
    assert not noisy(*NOTEBOOKS), "strip it: .venv/bin/pre-commit run nbstripout --all-files"


# --- the guard itself ------------------------------------------------------------------------------------------------


def sound() -> NotebookNode:
    """A notebook that keeps every habit."""
    shown = new_output("stream", text="300 images\n")
    cells = [
        new_markdown_cell("# What is it? It costs a minute."),
        new_code_cell(
            "seed = 1  # of every draw\noverrides = {}", execution_count=1, metadata={"tags": ["parameters"]}
        ),
        new_code_cell("%matplotlib inline\nprint(n / 2, 'images/s')", execution_count=2),
        new_code_cell("print('300 images')", execution_count=3, outputs=[shown], metadata={"tags": [COMPARED]}),
    ]
    return new_notebook(cells=cells)


def test_a_sound_notebook_has_no_fault():
    assert faults(sound()) == []


@pytest.mark.parametrize(
    ("cell", "changes", "expected"),
    [
        (3, {"outputs": []}, "cell 4: is tagged nbval-check-output and has no output"),
        (3, {"outputs": [new_output("stream", text="\n")]}, "cell 4: is tagged nbval-check-output and has no output"),
        (3, {"execution_count": None}, "cell 4: is tagged nbval-check-output and has no output"),
        (3, {"execution_count": 9}, "execution counts are [1, 2, 9]"),
        (3, {"metadata": {}}, "no cell is tagged nbval-check-output"),
        (3, {"outputs": [new_output("error", ename="E", evalue="", traceback=[])]}, "with an error in its output"),
        (1, {"metadata": {}}, "0 cells are tagged 'parameters'"),
        (2, {"metadata": {"tags": ["parameters"]}}, "2 cells are tagged 'parameters'"),
        (1, {"source": "seed = int(1)"}, "'seed = int(1)' is not a literal"),
        (1, {"source": "import os"}, "'import os' is not `name = value`"),
        (1, {"source": "seed: int = 1\nsizes = [1, -2]"}, None),
        (2, {"metadata": {"tags": ["injected-parameters"]}}, "cell 3: holds parameters that papermill injected"),
        (2, {"source": "x = 1\n" * 16}, "cell 3: 16 lines of code"),
        (2, {"source": "# why\n\nx = 1\n" * 15}, None),
        (2, {"source": "class Net:\n    pass"}, "cell 3: class Net"),
        (2, {"source": "!ls"}, "cell 3: a shell command"),
        (2, {"source": "found = !ls"}, "cell 3: a shell command"),
        (2, {"source": "%%bash\nls"}, "cell 3: a shell command"),
        (2, {"source": "%pip install torch"}, "cell 3: a shell command"),
        (2, {"source": "print(not x, 'wow!')"}, None),
        (2, {"source": "open('/" + "home/ada/x.csv')"}, "cell 3: literal path"),
        (2, {"source": "open('~/x.csv')"}, "cell 3: literal path"),
        (2, {"source": "open('C:/x.csv')"}, "cell 3: literal path"),
        (2, {"source": "open(f'/data/{name}')"}, "cell 3: literal path"),
        (2, {"source": "open('/' + 'x')\nPath('/tmp')"}, "literal path '/tmp'"),
        (
            2,
            {"source": "print('a' + '/' + 'b', 'reports/tables', 'https://example.org', f'{s} s/image', '/image')"},
            None,
        ),
    ],
)
def test_the_guard_sees_a_broken_notebook(cell, changes, expected):
    notebook = sound()
    for name, value in changes.items():
        notebook.cells[cell][name] = nbformat.from_dict(value)
    found = faults(notebook)
    assert found == [] if expected is None else any(expected in fault for fault in found), found


def test_the_guard_counts_the_lines_of_a_whole_notebook():
    notebook = sound()
    notebook.cells += [new_code_cell("x = 1\n" * 15, execution_count=n) for n in range(4, 12)]
    assert faults(notebook) == ["125 lines of code; more than 120 are not a notebook any more"]


NOISE = {
    "execution": ("cell", {"execution": {"iopub.status.busy": "2026-01-01T00:00:00Z"}}),
    "papermill_cell": ("cell", {"papermill": {"duration": 1.2}}),
    "scrolled": ("cell", {"scrolled": True}),
    "papermill": ("notebook", {"papermill": {"output_path": "x.ipynb"}}),
    "widgets": ("notebook", {"widgets": {"application/vnd.jupyter.widget-state+json": {}}}),
    "version": ("notebook", {"language_info": {"name": "python", "version": "3.11.7"}}),
}
SIGNAL = {
    "kernel": ("notebook", {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}),
    "tags": ("cell", {"tags": ["hide-input"]}),
}


@pytest.mark.slow
def test_the_hook_takes_noise_out_and_leaves_the_rest(tmp_path):
    for name, (where, metadata) in (NOISE | SIGNAL).items():
        notebook = sound()
        target = notebook if where == "notebook" else notebook.cells[2]
        target.metadata.update(nbformat.from_dict(metadata))
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    paths = sorted(tmp_path.iterdir())
    assert {path.stem for path in noisy(*paths)} == NOISE.keys()
    subprocess.run([*noise_command(), *map(str, paths)], check=True)
    assert not noisy(*paths)
    for path in paths:  # outputs, counts and tags are still there
        assert faults(nbformat.read(path, as_version=4)) == []


@pytest.mark.parametrize(
    ("mine", "yours"),
    [
        (
            "epoch 1:  50%|###  | 1/2 [00:01<00:01, 1.0s/it]\rdone 100%|#| 2/2\n",
            "epoch 1: 100%|######| 2/2 [00:09<00:00]\n",
        ),
        ("made 2026-01-31 12:30:05 in 3.2 s", "made 2027-12-01 01:02:03 in 14 ms"),
        ("at 1,812.5 images/s", "at 7 images/s"),
        ("<Run object at 0x7f3a5c001d90>", "<Run object at 0x10a2b3c4d>"),
        ("in /" + "home/ada/picie/reports/runs", "in /" + "opt/ci/reports/runs"),
    ],
)
def test_nbval_compares_neither_time_nor_place(mine, yours):
    assert sanitized(mine) == sanitized(yours)


@pytest.mark.parametrize(
    ("mine", "yours"), [("300 images", "301 images"), ("digest a1b2c3d4", "digest a1b2c3d5"), ("27.0 %", "27.1 %")]
)
def test_nbval_compares_what_counts(mine, yours):
    assert sanitized(mine) != sanitized(yours)


def sanitized(text: str) -> str:
    """A text as nbval compares it."""
    for pattern, replacement in get_sanitize_patterns((ROOT / "tests" / "nbval.cfg").read_text(encoding="utf-8")):
        text = re.sub(pattern, replacement, text)
    return text
