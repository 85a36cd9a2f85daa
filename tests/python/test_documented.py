"""The documented examples of the public names run, and every public name is documented."""

import doctest
import importlib
import pkgutil
import re

import pytest

import headscope
import headscope.python
from tests.conftest import ROOT, shell

MODULES = [f"headscope.python.{m.name}" for m in pkgutil.iter_modules(headscope.python.__path__)]
FLAGS = doctest.NORMALIZE_WHITESPACE


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_docstrings_run(module, toy_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"headscope": headscope, "folder": toy_run[0]}
    failed, tried = doctest.testmod(importlib.import_module(module), extraglobs=given, optionflags=FLAGS)
    assert failed == 0
    assert tried > 0 or "training" not in module


def test_the_examples_of_the_document_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(ROOT / "docs" / "PYTHON.md"), module_relative=False, optionflags=FLAGS)
    assert failed == 0
    assert tried > 20


def section(title):
    text = (ROOT / "README.md").read_text()
    return re.search(rf"^## {title}\n(.*?)(?=^## )", text, re.M | re.S)[1]


@pytest.mark.parametrize("text", [(ROOT / "docs" / "PYTHON.md").read_text(), section("From Python")])
def test_every_public_name_is_documented_and_no_other(text):
    named = set(re.findall(r"headscope\.(\w+)", text)) - {"html", "heads", "errors"}  # two modules and a file
    assert named == set(headscope.__all__)
    for name in headscope.__all__:
        assert getattr(headscope, name) is not None
        assert name in dir(headscope)


@pytest.mark.slow
def test_the_example_of_the_readme_runs(pydoc_run, capsys):
    code = re.search(r"```python\n(.*?)```", section("From Python"), re.S)[1]
    for shown, instead in (
        ('headscope.train("experiment=quickstart", "position=rope")', "headscope.Run(folder)"),
        ('"outputs/DAY/TIME-NAME"', "folder"),
    ):
        assert shown in code
        code = code.replace(shown, instead)
    exec(code, {"folder": pydoc_run[0]})
    assert capsys.readouterr().out.startswith("ROMEO:")


def test_the_section_of_the_readme_is_short():
    assert len(section("From Python").splitlines()) <= 18


def test_importing_costs_nothing():
    code = "import sys, headscope; print({'torch', 'hydra', 'pydantic', 'lightning'} & sys.modules.keys())"
    assert shell("-c", code).stdout.strip() == "set()"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        headscope.nothing  # noqa: B018
