"""docs/ARCHITECTURE.md stays true: its tree names every source file once, and its two paths name existing functions."""

import ast
import re
from collections import Counter

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "ARCHITECTURE.md"
PAGES_SCRIPTS = ROOT / "src" / "headscope" / "render" / "model_page"


def files_in_the_tree():
    """Yields the paths of all Python and JavaScript files in the tree, from the indentation of its lines."""
    (tree,) = [block for block in PAGE.read_text().split("```") if block.lstrip().startswith("src/\n")]
    folders = []
    for line in tree.splitlines():
        name, *_ = line.split() or [""]
        depth = (len(line) - len(line.lstrip())) // 2
        if name.endswith("/"):
            folders[depth:] = [name]
        elif name.endswith((".py", ".js")):
            yield "".join(folders[:depth]) + name


def test_every_source_file_appears_exactly_once():
    sources = [p for p in (ROOT / "src").rglob("*") if p.suffix in (".py", ".js") and p.name != "__init__.py"]
    named = Counter(files_in_the_tree())
    assert sorted(named) == sorted(str(p.relative_to(ROOT)) for p in sources)
    assert not [name for name, times in named.items() if times > 1]


def test_every_line_says_what_its_file_is_for():
    (tree,) = [block for block in PAGE.read_text().split("```") if block.lstrip().startswith("src/\n")]
    for line in tree.splitlines():
        name, *purpose = line.split() or [""]
        assert purpose or not name.endswith((".py", ".js")), f"{name} has no description"


def names_in(path):
    """Returns the functions, classes and methods of a Python file, or the names that a JavaScript file exports."""
    text = path.read_text()
    if path.suffix == ".js":
        return set(re.findall(r"^export (?:async )?(?:function|class|const|let) (\w+)", text, re.M))
    names = set()
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
            methods = [n for n in getattr(node, "body", ()) if isinstance(n, ast.FunctionDef)]
            names |= {f"{node.name}.{method.name}" for method in methods}
    return names


def test_every_function_on_the_two_paths_exists():
    mentioned = re.findall(r"`(?:([\w/]+\.(?:py|js)):)([\w.]+)`", PAGE.read_text())
    assert len(mentioned) > 10
    for file, name in mentioned:
        found = [p for p in (ROOT, ROOT / "src" / "headscope", PAGES_SCRIPTS) if (p / file).is_file()]
        assert found, f"there is no {file}"
        assert name in names_in(found[0] / file), f"{file} has no {name}"
