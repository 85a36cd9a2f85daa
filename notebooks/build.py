"""`python notebooks/build.py` writes a notebook for each source, and for each walk that needs no checkpoint.

The notebooks have no outputs. A walk's notebook comes from its text and its Python file. A source, `source/NAME.py`, is
in the percent format that Jupytext, VS Code and Spyder read: `# %%` begins a code cell, and `# %% [markdown]` begins a
text cell, whose lines are comments.
"""

import inspect
import re
import sys
import textwrap
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from headscope.walkthrough import texts
from headscope.walkthrough.__main__ import WALKS
from headscope.walkthrough.texts import Step, source_of
from headscope.walkthrough.walk import Walk

HERE = Path(__file__).resolve().parent
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
IMPORTS = """\
import torch
from headscope import Page
from headscope.walkthrough.notebook import full_page, mistakes, notice, questions, show
from headscope.walkthrough.plain import *
from headscope.walkthrough.{module} import *

{parameters}
numbers, result = Numbers(), WALK.run(seed)
_ = torch.set_grad_enabled(False)"""
Cell = tuple[str, bool]  #: the text of a cell, and whether it is code


def source_cells(source: Path) -> list[Cell]:
    """Returns the cells of a file in the percent format."""
    cells = []
    for text in re.split(r"^# %%", source.read_text(encoding="utf-8"), flags=re.M)[1:]:
        kind, _, body = text.partition("\n")
        is_code = kind.strip() != "[markdown]"
        cells.append((body if is_code else re.sub(r"^# ?", "", body, flags=re.M), is_code))
    return cells


def module_name(walk: Walk) -> str:
    return walk.compute.__module__.rpartition(".")[2]


def walk_cells(walk: Walk) -> list[Cell]:
    """Returns the cells of a walk: for each step its text, functions, computation and suggested change."""
    result = walk.run(walk.seed)
    parameters = inspect.signature(walk.compute).parameters
    values = [repr(walk.seed if name == "seed" else p.default) for name, p in parameters.items()]
    setup = IMPORTS.format(module=module_name(walk), parameters=f"{', '.join(parameters)} = {', '.join(values)}")
    hint = f"`python -m headscope.walkthrough {walk.name}` runs the same code in the terminal."
    cells, lines = [(f"# {result.question}\n\n{hint}", False), (setup, True)], code_by_step(walk)
    equations = re.findall(r"^Matrices: (.*)", walk.markdown, flags=re.M)
    defined = set()
    for i, (step, equation) in enumerate(zip(result.steps, equations, strict=True), 1):
        formulas = "\n".join(f"    {formula}" for formula in step.formula.split("    "))
        text = step.text.replace("<", "&lt;")
        cells.append((f"## {i}. {step.title}\n\n**{step.question}** {text}\n\n{formulas}", False))
        cells += [(source_of(function), True) for function in step.code if function not in defined]
        defined.update(step.code)
        shown = texts.fill_values(equation, result.numbers)
        cells.append((f'{lines[step.title]}show(*numbers.equation("{shown}"))', True))
        cells.append((f'notice(result, "{step.title}")', True))
        cells += change_cells(walk, step)
    cells += [(f"## {texts.MISTAKES}", False), ("mistakes(result)", True), ("## Can you answer these?", False)]
    cells += [("questions(result)", True), *extra_cells(walk)]
    return [*cells, ("## The whole walk", False), ("Page(full_page(WALK))", True)]


def code_by_step(walk: Walk) -> dict[str, str]:
    """Returns the lines of `compute` for each step, by the title of the step."""
    parts = re.split(r"^ *# %% ?(.*)\n", inspect.getsource(walk.compute), flags=re.M)
    return {title: textwrap.dedent(body) for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def change_cells(walk: Walk, step: Step) -> list[Cell]:
    """Returns the cells for a suggested change, if the step has one."""
    if not (change := step.change):
        return []
    value = walk.read([f"{change.option}={change.value}"])[change.option]
    ask = f"### Change something\n\n{change.ask} Guess the answer before you run the next cell."
    code = f'show(*compute(seed, {change.option}={value!r}).equation("[{change.at[0]}]"))'
    return [(ask, False), (code, True), (change.because, False)]


def extra_cells(walk: Walk) -> list[Cell]:
    """Returns the cells that appear only in the notebook of a walk, not in its page."""
    section = texts.sections(walk.markdown).get(texts.NOTEBOOK, "")
    parts = re.split(r"^```python\n(.*?)^```\n", section.strip() + "\n", flags=re.M | re.S)
    return [(part, bool(i % 2)) for i, part in enumerate(parts) if part.strip()]


#: For each notebook, a function that returns its cells.
BOOKS = {module_name(w): lambda w=w: walk_cells(w) for w in WALKS.values() if "checkpoint" not in w.options}
BOOKS |= {source.stem: lambda source=source: source_cells(source) for source in (HERE / "source").glob("*.py")}


def notebook(name: str) -> nbformat.NotebookNode:
    """Builds a notebook; every call returns the same cells and ids."""
    make = {True: new_code_cell, False: new_markdown_cell}
    cells = [make[is_code](text.strip(), id=f"{name}-{i}") for i, (text, is_code) in enumerate(BOOKS[name]())]
    return new_notebook(cells=cells, metadata=KERNEL)


def content(name: str) -> str:
    """Returns the content of a notebook file."""
    return nbformat.writes(notebook(name), indent=1) + "\n"


if __name__ == "__main__":
    for name in BOOKS:
        (HERE / f"{name}.ipynb").write_text(content(name), encoding="utf-8")
    sys.stdout.write(f"{len(BOOKS)} notebooks\n")
