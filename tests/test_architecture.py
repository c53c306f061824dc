"""The shape of the package: imports point downward and never in a circle, modules are small, and nothing is a pickle.

Rule of imports: a module imports from its own layer or from the layers below it, and no chain of imports leads back to
the module, or to the package, where it began (which is what keeps imports within a layer honest). An import inside a
function or below `TYPE_CHECKING` counts like any other. What ruff can see (docstrings, swallowed exceptions, unpickling
through `pickle`) is in pyproject.toml; the last test here checks that ruff does see it.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "picie_core"

# A module, or a package of modules, in each layer.
LAYERS = (
    "errors suggestions places files provenance draws classes settings",
    "scenes datasets records processes devices views network clustering losses metrics saliency discovery",
    "methods evaluation",
    "training",
    "palettes figures tables studies grid parameters execution segmentation benchmark diagnosis report options demo "
    "cli __main__",
)
LAYER = {part: number for number, parts in enumerate(LAYERS) for part in parts.split()}
LONGEST = 300  # lines of a module
NOT_A_NOUN = {"utils", "util", "common", "helpers", "helper", "misc"}


def modules(package: Path) -> dict[str, ast.Module]:
    """The modules of a package, parsed, by their dotted name in it ("" is the package itself)."""
    return {
        ".".join(path.relative_to(package).with_suffix("").parts).removesuffix("__init__").rstrip("."): ast.parse(
            path.read_text(encoding="utf-8"), str(path)
        )
        for path in sorted(package.rglob("*.py"))
    }


def imported(name: str, tree: ast.Module, known: set[str], package: str, is_package: bool) -> Iterator[tuple[str, int]]:
    """The modules of `package` that module `name` imports, each with the line where it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = [package, *name.split(".")] if name else [package]
            up = parts[: len(parts) - node.level + is_package] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            targets = [f"{base}.{alias.name}" for alias in node.names]  # a module, or a name in `base`
        else:
            continue
        for target in targets:
            if target == package or target.startswith(package + "."):
                inside = target.removeprefix(package).lstrip(".")
                while inside and inside not in known:
                    inside = inside.rpartition(".")[0]
                yield inside, node.lineno


def faults(package: Path) -> list[str]:
    """Where a package breaks the rules of this file, in words."""
    trees = modules(package)
    known, found = set(trees), []
    graph: dict[str, set[str]] = {name: set() for name in trees}
    for name, tree in trees.items():
        part = name.partition(".")[0]
        if name and part not in LAYER:
            found.append(f"{name}: in no layer; put {part!r} into LAYERS of {Path(__file__).name}")
        if NOT_A_NOUN & set(name.split(".")):
            found.append(f"{name}: say what is in it; 'utils' and its like collect what belongs elsewhere")
        is_package = (package / Path(*name.split(".")) / "__init__.py").exists()
        for other, line in imported(name, tree, known, package.name, is_package):
            graph[name].add(other)
            here, there = (LAYER.get(module.partition(".")[0], -1) for module in (name, other))
            if there > here and part in LAYER | {"": -1}:
                found.append(f"{name or package.name}:{line}: layer {here} imports {other!r} of layer {there}")
        found += [f"{name}:{line}: {what}" for what, line in pickles(tree)]
    parts: dict[str, set[str]] = {}
    for name, others in graph.items():
        part = name.partition(".")[0]
        parts.setdefault(part, set()).update({other.partition(".")[0] for other in others} - {part})
    for imports, kind in ((graph, "modules"), (parts, "packages")):
        try:
            TopologicalSorter(imports).prepare()
        except CycleError as error:
            found.append(f"{kind} import each other in a circle: " + " <- ".join(error.args[1]))
    for path in sorted(package.rglob("*.py")):
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST:
            found.append(f"{path.relative_to(package)}: {lines} lines; over {LONGEST} it is two modules")
    return found


def pickles(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Calls and imports that write or read pickles, each with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] + ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
            if bad := {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"} & set(names):
                yield f"imports {bad.pop()}; files are safetensors, npy, csv, json or yaml", node.lineno
            if isinstance(node, ast.ImportFrom) and node.module == "torch" and {"load", "save"} & set(names):
                yield (
                    "imports torch.load or torch.save by name; call them as torch.load, where they can be seen",
                    node.lineno,
                )
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            keywords = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
            called = ast.unparse(node.func)
            if called == "torch.load" and keywords.get("weights_only") is not True:
                yield "torch.load without weights_only=True runs whatever the file holds", node.lineno
            elif called == "torch.save" or node.func.attr in {"to_pickle", "read_pickle"}:
                yield f"{called} writes or reads a pickle; use safetensors or csv", node.lineno
            elif keywords.get("allow_pickle") is True:
                yield f"{called} with allow_pickle=True", node.lineno


def test_the_package_keeps_its_shape():
    assert not (found := faults(PACKAGE)), "\n".join(found)


def write(package: Path, **sources: str) -> Path:
    for name, source in {"__init__": "", **sources}.items():
        path = package.joinpath(*name.split("__in__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return package


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (
            {"draws": "import numpy\nfrom collections import deque", "views": "from picie_core.draws import uniform"},
            None,
        ),
        (
            {"draws": "", "views": "from .draws import uniform", "cli": "from picie_core import views, __version__"},
            None,
        ),
        ({"draws": "from picie_core.views import warp", "views": ""}, "draws:1: layer 0 imports 'views' of layer 1"),
        ({"draws": "from .views import warp", "views": ""}, "draws:1: layer 0 imports 'views' of layer 1"),
        ({"draws": "from picie_core import views", "views": ""}, "draws:1: layer 0 imports 'views' of layer 1"),
        ({"draws": "def f():\n    import picie_core.views", "views": ""}, "draws:2: layer 0 imports 'views'"),
        ({"__init__": "from picie_core.draws import uniform", "draws": ""}, "picie_core:1: layer -1 imports 'draws'"),
        (
            {"views": "import picie_core.losses", "losses": "import picie_core.views"},
            "modules import each other in a circle",
        ),
        ({"views": "import picie_core.losses", "losses": "import picie_core.metrics", "metrics": ""}, None),
        (
            {
                "methods__in____init__": "from .picie import P",
                "methods__in__picie": "from ..losses import l",
                "losses": "",
            },
            None,
        ),
        (
            {"methods__in____init__": "from .picie import P", "methods__in__picie": "from . import P"},
            "modules import each other in a circle",
        ),
        (
            {
                "methods__in____init__": "",
                "methods__in__picie": "from picie_core import evaluation",
                "evaluation__in____init__": "",
                "evaluation__in__maps": "from picie_core.methods import iic",
                "methods__in__iic": "",
            },
            "packages import each other in a circle",
        ),
        (
            {"methods__in____init__": "", "methods__in__picie": "from ..training import run", "training": ""},
            "methods.picie:1: layer 2",
        ),
        ({"surprises": ""}, "surprises: in no layer"),
        ({"methods__in__utils": ""}, "methods.utils: say what is in it"),
        ({"draws": "x = 1\n" * 301}, "draws.py: 301 lines"),
        ({"draws": "x = 1\n" * 300}, None),
        ({"draws": "import pickle"}, "imports pickle"),
        ({"draws": "from joblib import dump"}, "imports joblib"),
        ({"draws": "import torch\ntorch.load(p)"}, "draws:2: torch.load without weights_only=True"),
        ({"draws": "import torch\ntorch.load(p, weights_only=False)"}, "torch.load without"),
        ({"draws": "import torch\ntorch.load(p, weights_only=True)"}, None),
        ({"draws": "from torch import load"}, "by name"),
        ({"draws": "import torch\ntorch.save(x, p)"}, "torch.save writes"),
        ({"draws": "frame.to_pickle(p)"}, "to_pickle writes"),
        ({"draws": "np.load(p, allow_pickle=True)"}, "allow_pickle=True"),
    ],
)
def test_the_rules_see_what_breaks_them(tmp_path, sources, expected):
    found = faults(write(tmp_path / "picie_core", **sources))
    assert found == [] if expected is None else any(expected in fault for fault in found), found


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ('"""M."""\n\n\ndef public():\n    return 1\n', "D103"),
        ('"""M."""\n\n\nclass Public:\n    x = 1\n', "D101"),
        ('"""M."""\n\n\nclass Public:\n    """C."""\n\n    def method(self):\n        return 1\n', "D102"),
        ("x = 1\n", "D100"),
        ('"""M."""\n\ntry:\n    x = 1\nexcept:\n    x = 2\n', "E722"),
        ('"""M."""\n\ntry:\n    x = 1\nexcept Exception:\n    x = 2\n', "BLE001"),
        ('"""M."""\n\ntry:\n    x = 1\nexcept OSError:\n    pass\n', "SIM105"),
        ('"""M."""\n\nimport numpy as np\n\nnp.random.seed(1)\n', "NPY002"),
        ('"""M."""\n\nimport yaml\n\nyaml.load("x", Loader=yaml.Loader)\n', "S506"),
        ('"""M."""\n\n\ndef _private():\n    return 1\n', None),
    ],
)
def test_ruff_sees_what_is_left_to_it(source, rule):
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise", "--stdin-filename"]
    result = subprocess.run(
        [*command, "picie_core/draws.py", "-"], input=source, text=True, capture_output=True, cwd=ROOT, check=False
    )
    assert (result.returncode == 0) if rule is None else (f" {rule} " in result.stdout), result.stdout + result.stderr
