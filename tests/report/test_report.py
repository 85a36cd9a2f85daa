"""The report: what it says is true, and what it cannot know it does not say."""

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from headscope.report.chart import COLOURS, Series, chart
from headscope.report.page import markdown, page
from headscope.report.results import Sweep, sentence
from headscope.report.statistics import Difference, Group, differences, stretch
from headscope.report.writing import write_report
from headscope.sweep.jobs import Job, Manifest
from tests.cli.test_commands import refused
from tests.conftest import shell
from tests.walkthrough.test_command import photograph


def test_mean_and_deviation():
    group = Group.of([1.0, 2.0, 4.0])
    assert group.mean == pytest.approx(7 / 3)
    assert group.deviation == pytest.approx(np.std([1, 2, 4], ddof=1))
    assert np.isnan(Group.of([1.0]).deviation)


def test_the_stretch_is_students():
    """Student's 97.5% quantiles from its table: 4.303, 2.776 and 2.306 for 2, 4 and 8 degrees of freedom."""
    for free, quantile in ((2, 4.303), (4, 2.776), (8, 2.306)):
        assert stretch(free) == pytest.approx(quantile / 1.960, rel=0.02)


@pytest.mark.parametrize(("k", "n"), [(2, 3), (4, 3), (5, 2), (2, 8)])
def test_equal_combinations_are_rarely_told_apart(k, n):
    """Of combinations that do not differ, one pair fixed beforehand is called different about 1 time in 20."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(300):
        groups = {str(i): rng.normal(2, 0.01, n).tolist() for i in range(k)}
        wrong += differences(groups, "0")["1"].clear
    assert wrong / 300 < 0.10


def test_a_real_difference_is_found():
    rng = np.random.default_rng(1)
    groups = {"a": rng.normal(2.0, 0.01, 3).tolist(), "b": rng.normal(2.1, 0.01, 3).tolist()}
    found = differences(groups, "a")["b"]
    assert found.clear
    assert found.low < 0.1 < found.high


def test_one_seed_says_nothing_of_noise():
    found = differences({"a": [2.0], "b": [2.5]}, "a")["b"]
    assert found.value == 0.5
    assert not found.measured
    assert not found.clear
    assert "so few runs cannot tell" in sentence("a", "b", found, 1)
    assert "not distinguishable" in sentence("a", "b", Difference(0.1, -0.1, 0.3), 3)
    assert "is worse than a by 0.2000" in sentence("a", "b", Difference(0.2, 0.1, 0.3), 3)


def test_a_chart_is_svg_with_marks_dashes_and_names():
    series = [
        Series(f"n{i} & <b>", [1, 2, 3], [3, 2, 1 + i], [2.9, 1.9, 0.9 + i], [3.1, 2.1, 1.1 + i]) for i in range(9)
    ]
    root = ET.fromstring(chart(series, "steps", "loss", "a title"))
    space = "{http://www.w3.org/2000/svg}"
    lines = list(root.iter(f"{space}polyline"))
    assert len(lines) == 9
    assert len({(e.get("stroke"), e.get("stroke-dasharray")) for e in lines if e.get("stroke") in COLOURS}) == 7
    texts = [e.text for e in root.iter(f"{space}text")]
    assert "n0 & <b>" in texts
    assert "n8 & <b>" not in texts, "seven have a name"
    names = sorted(float(e.get("y")) for e in root.iter(f"{space}text") if (e.text or "").startswith("n"))
    assert min(np.diff(names)) >= 13.9, "no name covers another"
    assert chart([], "x", "y", "t") == ""
    assert "<svg" in chart([Series("one", [5.0], [1.0], [1.0], [1.0])], "parameters", "loss", "t", log_x=True)


def fake(folder, name, overrides, loss, **changed):
    """A job's files as a run would leave them."""
    summary = {
        "status": "completed", "val_loss": loss, "best_val_loss": loss, "train_seconds": 10.0, "wall_seconds": 12.0,
        "parameters": 1000, "tokens_per_second": 100.0, "steps": 20, "threads": 1, "commit": "abc",
        "overrides": overrides,
        "hardware": {"cpu": "CPU", "gpus": []},
        "data": {"sha256": "1", "tokenizer": "character", "vocab_size": 10, "block_size": 8, "note": ""} | changed,
        "history": [{"step": i, "seconds": i / 2, "val_loss": loss + 2 - i / 10} for i in (10, 20)],
    }  # fmt: skip
    (folder / name).mkdir(parents=True)
    (folder / name / "summary.json").write_text(json.dumps(summary))


@pytest.fixture
def folder(tmp_path):
    """Two schemes, two widths, three seeds; one job failed, one was never begun."""
    rng, jobs = np.random.default_rng(0), []
    for i, (p, h, s) in enumerate((p, h, s) for p in ("rope", "none") for h in ("h2", "h4") for s in "123"):
        name, overrides = f"{i:02}", (f"position={p}", f"heads={h}", f"seed={s}", "batch_size=8")
        jobs.append(Job(name, overrides))
        if i == 11:
            (tmp_path / name).mkdir()
            (tmp_path / name / "job.log").write_text("=== x\nrun\nerror: the loss is <not> | finite\nTry less.\n")
        elif i != 10:
            fake(tmp_path, name, overrides, 1.8 + 0.3 * (p == "none") + rng.normal(0, 0.005))
    Manifest(("-m", "position=rope,none", "name='a b'"), tuple(jobs)).write(tmp_path)
    return tmp_path


def test_the_report_ranks_and_says_what_is_noise(folder):
    sweep = Sweep(folder)
    assert sweep.keys == ["position", "heads"]
    assert sweep.ranked[0].values[0] == "rope"
    assert sorted(len(c.losses) for c in sweep.ranked) == [1, 3, 3, 3]
    text = markdown(sweep)
    assert "12 jobs: 10 completed, 1 waiting, 1 failed. Swept: 2 of position × 2 of heads × 3 of seed." in text
    assert len(re.findall(r"^- rope, h\d is not distinguishable from rope, h\d", text, re.M)) == 1
    assert len(re.findall(r"^- none, h\d is worse than rope, h\d by 0\.[23]", text, re.M)) == 2
    assert "| position | none |" in text
    assert "python train.py -m position=rope,none 'name='\"'\"'a b'\"'\"''" in text
    assert "the loss is <not> \\| finite Try less." in text
    assert "comparable" not in text


class Checker(HTMLParser):
    """Every tag that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open, self.outside = [], []

    def handle_starttag(self, tag, attrs):
        if tag != "meta":
            self.open.append(tag)
        self.outside += [v for k, v in attrs if k in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_is_well_formed(folder):
    html = page(Sweep(folder))
    checker = Checker()
    checker.feed(html)
    assert not checker.open
    assert not checker.outside
    assert "the loss is &lt;not&gt; | finite" in html
    assert html.count("<svg viewBox") == 3


@pytest.mark.parametrize(
    ("changed", "warning"),
    [
        ({"sha256": "2"}, "NOT comparable: the runs differ in data."),
        ({"block_size": 16}, "NOT comparable: the runs differ in context."),
        ({"tokenizer": "word", "vocab_size": 9}, "differ in tokenizer and vocabulary. Across tokenizers"),
        ({"note": "validates on its training sentences"}, "Of the data: validates on its training sentences."),
    ],
)
def test_what_cannot_be_compared_is_said(folder, changed, warning):
    (folder / "00" / "summary.json").unlink()
    (folder / "00").rmdir()
    fake(folder, "00", ["position=rope", "heads=h2", "seed=1"], 1.8, **changed)
    assert warning in markdown(Sweep(folder))
    assert warning in write_report(folder)


def test_odd_sweeps_have_a_report(tmp_path):
    """Nothing completed; values that look the same when they are shortened; no validation in common."""
    jobs = [Job(f"{i}", (f"optimizer.lr={lr}", f"seed={s}")) for i, (lr, s) in enumerate(
        (lr, s) for lr in ("0.00123441", "0.00123442") for s in (1, 2))]  # fmt: skip
    Manifest((), tuple(jobs)).write(tmp_path)
    assert "4 jobs: 4 waiting" in markdown(Sweep(tmp_path))
    assert "<table>" in page(Sweep(tmp_path))
    for job in jobs:
        fake(tmp_path, job.name, list(job.overrides), 1.8)
    summary = tmp_path / "0" / "summary.json"
    content = json.loads(summary.read_text())
    summary.write_text(json.dumps(content | {"history": [], "steps": 10}))
    assert "steps differ" in markdown(Sweep(tmp_path))
    assert len(Sweep(tmp_path).ranked) == 2
    assert "<svg" in page(Sweep(tmp_path))


def test_runs_of_another_launcher_have_a_report_too(folder):
    (folder / "sweep.json").unlink()
    text = markdown(Sweep(folder))
    assert "10 jobs: 10 completed. Swept: 2 of position × 2 of heads × 3 of seed." in text
    assert "started by another launcher" in text


@pytest.mark.browser
@pytest.mark.parametrize("window", ["1200,2000", "420,2000"])
def test_the_page_opens_without_a_complaint(folder, window, tmp_path):
    (folder / "report.html").write_text(page(Sweep(folder)))
    assert photograph(folder / "report.html", tmp_path / "shot.png", f"--window-size={window}") == []
    pixels = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB")).reshape(-1, 3)
    colours = {f"#{r:02X}{g:02X}{b:02X}" for r, g, b in np.unique(pixels, axis=0)}
    assert set(COLOURS[:4]) <= colours, "each of the four combinations is drawn"


def test_the_command(folder, tmp_path_factory):
    done = shell("-m", "headscope.report", folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").read_text() == page(Sweep(folder))
    assert "report.html" in done.stdout
    assert "holds no sweep" in refused(shell("-m", "headscope.report", tmp_path_factory.mktemp("empty")))
    assert "is no folder" in refused(shell("-m", "headscope.report", folder / "nothing"))
