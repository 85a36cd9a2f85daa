"""What the README says of the tree stays true."""

import re

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def test_the_tree_names_every_module_and_nothing_else():
    tree = next(block for block in README.split("```") if "src/headscope/\n" in block)
    folders, found = [], set()
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        for name in line.split():
            if name.endswith("/") and line.split()[0] == name:
                folders[depth:] = [name]
            elif name.endswith(".py"):
                found.add("".join(folders[:depth]) + name)
    there = {str(p.relative_to(ROOT)) for p in (ROOT / "src").rglob("*.py") if p.name != "__init__.py"}
    there |= {p.name for p in ROOT.glob("*.py")}
    there |= {str(p.relative_to(ROOT)) for folder in ("benchmarks", "docs") for p in (ROOT / folder).glob("*.py")}
    assert found == there


def test_every_option_in_the_table_exists_and_none_is_missing():
    for group in (
        "model",
        "heads",
        "position",
        "feedforward",
        "qk_norm",
        "optimizer",
        "schedule",
        "data",
        "experiment",
        "sweep",
        "debug",
        "trainer",
        "callbacks",
        "logger",
    ):
        for option in (ROOT / "conf" / group).glob("*.yaml"):
            assert re.search(rf"\b{option.stem}\b", README), f"{group}={option.stem} is not in the README"


def test_it_can_be_read_in_one_sitting():
    assert len(README.splitlines()) < 350
