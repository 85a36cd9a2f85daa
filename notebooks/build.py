"""`python notebooks/build.py`: makes NAME.ipynb of every source/NAME.py, without outputs.

A source is plain Python in the percent format that Jupytext, VS Code and Spyder read: `# %%` begins a cell of code,
`# %% [markdown]` one of text, whose lines are comments.
"""

import re
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HERE = Path(__file__).resolve().parent
SOURCES = sorted((HERE / "source").glob("*.py"))
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def notebook(source: Path) -> nbformat.NotebookNode:
    """The notebook of a source, the same each time."""
    cells = []
    for text in re.split(r"^# %%", source.read_text(encoding="utf-8"), flags=re.M)[1:]:
        kind, _, body = text.partition("\n")
        if markdown := kind.strip() == "[markdown]":
            body = re.sub(r"^# ?", "", body, flags=re.M)
        make = new_markdown_cell if markdown else new_code_cell
        cells.append(make(body.strip(), id=f"{source.stem}-{len(cells)}"))
    return new_notebook(cells=cells, metadata=KERNEL)


def text(source: Path) -> str:
    """What stands in the notebook's file."""
    return nbformat.writes(notebook(source), indent=1) + "\n"


if __name__ == "__main__":
    for source in SOURCES:
        (HERE / f"{source.stem}.ipynb").write_text(text(source), encoding="utf-8")
    sys.stdout.write(f"{len(SOURCES)} notebooks\n")
