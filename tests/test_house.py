"""Checks which packages may import which, and which commands must not import torch."""

import ast
import sys

import pytest

from tests.conftest import ROOT, shell

SRC = ROOT / "src" / "headscope"
ROOMS = {path.name for path in SRC.iterdir() if (path / "__init__.py").exists()}
#: Packages of the project that each package (room) may import, besides itself and SHARED.
MAY = {
    "model": set(),
    "data": set(),
    "render": set(),
    "generation": set(),
    "portable": {"model"},
    "heads": {"model"},
    "show": {"model", "heads", "portable", "render", "generation"},
    "training": {"model", "data"},
    "walkthrough": {
        "model",
        "portable",
        "render",
        "heads",
        "generation",
        "show",
        "checkpoint",
        "data",
        "config",
        "run",
    },
    "checkpoint": {"model", "portable", "data"},
    "config": {"model", "data", "training", "generation"},
    "run": {"model", "data", "heads", "training", "checkpoint", "config"},
    "watch": {"model", "data", "heads", "render", "generation", "training", "config", "run", "show"},
    "sweep": {"config", "run"},
    "report": {"config", "run", "sweep", "render"},
    "cli": ROOMS - {"python"},
    "python": ROOMS - {"cli"},
}
HYDRA = {"config", "cli", "sweep", "python"}
#: Packages that never import Lightning.
LIGHT = {"model", "portable", "generation", "heads", "render", "show", "checkpoint", "walkthrough", "sweep", "report"}
#: what every package may import
SHARED = {"annotations", "errors", "files", "installed", "packing", "plugins", "quoting", "shell", "waiting"}


def imports(path):
    """Yields the module of every import in a file, except imports that only type checkers see."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=lambda p: str(p.relative_to(SRC)))
def test_a_room_imports_only_what_it_may(path):
    room = path.relative_to(SRC).parts[0].removesuffix(".py")
    for module in imports(path):
        top, *rest = module.split(".")
        if top == "headscope" and rest and room in MAY:
            assert rest[0] in MAY[room] | SHARED | {room}, f"{room} imports {module}"
        if top in ("hydra", "omegaconf"):
            assert room in HYDRA, f"{room} imports {module}"
        if room == "model":
            assert top in {"torch", "annotated_types", "headscope"} | sys.stdlib_module_names, f"model imports {module}"
        if room in LIGHT:
            assert top not in ("lightning", "pytorch_lightning"), f"{room} imports {module}"


@pytest.mark.parametrize("command", ["train.py", "generate.py"])
@pytest.mark.parametrize("flag", ["--help", "--cfg"])
def test_asking_imports_no_torch(command, flag):
    argv = [command, flag, *(["job"] if flag == "--cfg" else [])]
    code = (
        f"import runpy, sys; sys.argv = {argv!r}\n"
        f"try: runpy.run_path({command!r}, run_name='__main__')\n"
        "finally: print('HEAVY' if {'torch', 'pydantic', 'unittest.mock'} & sys.modules.keys() else 'LIGHT')"
    )
    assert shell("-c", code).stdout.splitlines()[-1] == "LIGHT"


def test_training_loads_no_plots_and_no_sound():
    code = (
        "import sys; from headscope.cli.early import import_lightning; import_lightning()\n"
        "import headscope.cli.train, torchmetrics, scipy, matplotlib\n"
        "print(sorted({'scipy.signal', 'matplotlib.pyplot'} & sys.modules.keys()))"
    )
    done = shell("-c", code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
