"""The tree in docs/ARCHITECTURE.md names every source file exactly once."""

from collections import Counter

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "ARCHITECTURE.md"


def files_in_the_tree():
    """The paths of all Python and JavaScript files, from the indentation of the tree's lines."""
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
