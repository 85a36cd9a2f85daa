"""The committed notebooks equal the output of `make notebooks`, run without errors, and show known numbers."""

import html
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
NAMES = sorted(build.BOOKS)


def test_every_walk_that_needs_no_model_has_a_notebook():
    assert NAMES == ["causal_head", "explain", "fox", "friends", "part4", "toy"]
    assert {file.stem for file in FOLDER.glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_what_build_writes(name):
    file = FOLDER / f"{name}.ipynb"
    assert file.read_text(encoding="utf-8") == build.content(name), "make notebooks"
    nbformat.validate(nbformat.read(file, as_version=4))


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_is_a_few_lines_and_every_notebook_asks(name):
    cells = build.notebook(name).cells
    code = [cell.source.splitlines() for cell in cells if cell.cell_type == "code"]
    assert max(len([line for line in lines if not re.match(r"(from|import) |$", line)]) for lines in code) <= 8
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for part in ("## Change something", "ommon mistake", "## Can you answer these?"):
        assert part in text
    assert "**Notice.**" in text or sum(lines[0].startswith("notice(") for lines in code) >= 6
    assert not re.search(r"\d\.\d{4}", text), "such a number differs between machines, so a code cell must compute it"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a notebook with this Python in an empty folder; returns the printed text and the displayed HTML."""
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))  # so that the user's own kernels are not used
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    place = tmp_path / "place"
    place.mkdir()

    def run(name):
        book = build.notebook(name)
        NotebookClient(book, timeout=1200, resources={"metadata": {"path": str(place)}}).execute()
        outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
        assert not [o for o in outputs if o.output_type == "error"]
        red = [o.text for o in outputs if o.get("name") == "stderr"]
        # The only allowed messages are notes about the page and about the descriptions of the heads.
        assert all(text.startswith(("weights in float16", "describing the heads")) for text in red), red
        printed = "".join(o.text for o in outputs if o.output_type == "stream")
        return printed, [o.data.get("text/html", "") for o in outputs if o.output_type == "execute_result"]

    return run


ROW = "0.0210 0.0843 0.0555 0.2297 0.0573 0.0709 0.2423 0.2391"  #: one row of the attention weights of causal-head
#: A pattern that each notebook must print or show.
NUMBERS = {
    "toy": r"P\(cats \| I love\) = (0\.99\d\d|1\.0000)",
    "friends": r"Alice gives 0\.4062 of her attention to Bob",
    "fox": r"With the values, the prediction is “\w+”, at a distance of 0\.\d{4}",
    "causal_head": r"[^\d.]+".join(map(re.escape, ROW.split())),
    "part4": r"4,766,273 parameters\b",
    "explain": r"(?s)the model needs it\..*A rule in its place wins back (only )?\d+%",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_shows_its_page(run, name):
    printed, shown = run(name)
    text = re.sub(r"<[^>]*>", " ", html.unescape(html.unescape("\n".join([printed, *shown]))))
    assert re.search(NUMBERS[name], text), printed
    assert any("<img alt=" in part for part in shown)
    assert any("<iframe" in part for part in shown)
