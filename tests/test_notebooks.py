"""The notebooks are what their sources say, run from top to bottom, and show the numbers that walks are known by."""

import importlib.util
import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

FOLDER = ROOT / "notebooks"
spec = importlib.util.spec_from_file_location("build", FOLDER / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)
NAMES = [source.stem for source in build.SOURCES]


def test_every_walk_that_needs_no_model_has_a_notebook():
    assert NAMES == ["causal_head", "explain", "fox", "friends", "part4", "toy"]
    assert {file.stem for file in FOLDER.glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("source", build.SOURCES, ids=NAMES)
def test_a_notebook_is_what_its_source_says(source):
    file = FOLDER / f"{source.stem}.ipynb"
    assert file.read_text(encoding="utf-8") == build.text(source), "make notebooks"
    nbformat.validate(nbformat.read(file, as_version=4))


@pytest.mark.parametrize("source", build.SOURCES, ids=NAMES)
def test_a_cell_is_a_few_lines_and_every_notebook_asks(source):
    cells = build.notebook(source).cells
    code = [cell.source.splitlines() for cell in cells if cell.cell_type == "code"]
    assert max(len([line for line in lines if not re.match(r"(from|import) |$", line)]) for lines in code) <= 8
    said = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for part in ("## Change something", "ommon mistake", "## Can you answer these?", "**Notice.**"):
        assert part in said


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a notebook in this Python, in an empty folder; returns what it printed and what it showed."""
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))  # a kernel of the person's own is not meant
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    place = tmp_path / "place"
    place.mkdir()

    def run(name):
        book = build.notebook(FOLDER / "source" / f"{name}.py")
        NotebookClient(book, timeout=1200, resources={"metadata": {"path": str(place)}}).execute()
        outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
        assert not [o for o in outputs if o.output_type == "error"]
        red = [o.text for o in outputs if o.get("name") == "stderr"]
        assert all(text.startswith("weights in float16") for text in red), red  # said of a page
        printed = "".join(o.text for o in outputs if o.output_type == "stream")
        return printed, [o.data.get("text/html", "") for o in outputs if o.output_type == "execute_result"]

    return run


#: What each notebook prints.
NUMBERS = {
    "toy": r"P\(cats \| I love\) = (0\.99\d\d|1\.0000)",
    "friends": "",
    "fox": r"by the values: +\w+, 0\.\d{4} away",
    "causal_head": r"0\.0210 0\.0843 0\.0555 0\.2297 0\.0573 0\.0709 0\.2423 0\.2391",
    "part4": r"^4,766,273 parameters$",
    "explain": r"the model needs it\.",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_shows_its_page(run, name):
    printed, shown = run(name)
    assert re.search(NUMBERS[name], printed, re.M), printed
    assert any("<img alt=" in html for html in shown)
    assert any("<iframe" in html for html in shown)
