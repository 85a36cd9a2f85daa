"""The statements of the report are true, and the data support each of them."""

import csv
import json
import re
import shlex
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from headscope.errors import UserError
from headscope.files import write_json
from headscope.render.figures import COLOURS
from headscope.report.charts import charts, loss_by_position
from headscope.report.results import Sweep
from headscope.report.tables import heads_grown, longer_contexts, ranking, roles_confirmed, roles_formed
from headscope.report.writing import assumptions, findings, write_report
from headscope.run.folder import RunFolder
from headscope.sweep.jobs import Job, Manifest
from tests.cli.test_commands import refused
from tests.conftest import shell
from tests.walkthrough.test_command import photograph

ONE_SEED = (
    "a has the lowest loss, but it ran with only one seed, so the difference may be chance; also sweep over seed=1,2,3."
)


def fake(folder, name, overrides, loss, **changed):
    """Writes the files of a job as a run would."""
    summary = {
        "status": "completed", "val_loss": loss, "best_val_loss": loss, "train_seconds": 10.0, "wall_seconds": 12.0,
        "parameters": 1000 + 500 * ("heads=h4" in overrides), "tokens_per_second": 100.0, "steps": 20, "threads": 1,
        "commit": "abc", "overrides": overrides,
        "hardware": {"cpu": "CPU", "gpus": []},
        "data": {"sha256": "1", "tokenizer": "character", "vocab_size": 10, "block_size": 8, "note": ""} | changed,
        "history": [{"step": i, "seconds": i / 2, "val_loss": loss + 2 - i / 10} for i in (10, 20)],
    }  # fmt: skip
    run = RunFolder(folder / name)
    run.record({}, overrides)
    write_json(run.summary_file, summary)


def sweep_of(folder, losses):
    """Writes and returns a sweep over one key; `losses` has the losses of each value by seed."""
    jobs = [Job(f"{v}-{s}", (f"position={v}", f"seed={s}")) for v, seeds in losses.items() for s in seeds]
    for job in jobs:
        values = job.values
        fake(folder, job.name, list(job.overrides), losses[values["position"]][int(values["seed"])])
    Manifest((), tuple(jobs)).write(folder)
    return Sweep(folder)


def grid(folder):
    """Writes a sweep of two schemes, two numbers of heads and three seeds; one job failed, and one never started."""
    rng, jobs = np.random.default_rng(0), []
    for i, (p, h, s) in enumerate((p, h, s) for p in ("rope", "none") for h in ("h2", "h4") for s in "123"):
        name, overrides = f"{i:02}", (f"position={p}", f"heads={h}", f"seed={s}", "batch_size=8")
        jobs.append(Job(name, overrides))
        if i == 11:
            (folder / name).mkdir()
            (folder / name / "job.log").write_text("=== x\nrun\nerror: the loss is <not> | finite\nTry less.\n")
        elif i != 10:
            fake(folder, name, overrides, 1.8 + 0.3 * (p == "none") + rng.normal(0, 0.005))
    Manifest(("-m", "position=rope,none", "name='a b'"), tuple(jobs)).write(folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    return grid(tmp_path)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Returns the same sweep with its report, for tests that only read."""
    folder = grid(tmp_path_factory.mktemp("written"))
    write_report(folder)
    return folder


def markdown(folder):
    write_report(folder)
    return (folder / "report.md").read_text()


def page(folder):
    write_report(folder)
    return (folder / "report.html").read_text()


def test_the_report_ranks_and_says_what_is_noise(written):
    sweep = Sweep(written)
    assert sweep.keys == ["position", "heads"]
    assert sweep.ranked[0].values[0] == "rope"
    assert sorted(c.seeds for c in sweep.ranked) == [1, 3, 3, 3]
    text = (written / "report.md").read_text()
    assert "12 jobs: 10 completed, 1 waiting, 1 failed. Swept: 2 of position × 2 of heads × 3 of seed." in text
    assert len(re.findall(r"^- rope, h\d has the lowest loss\.$", text, re.M)) == 1
    assert len(re.findall(r"^- rope, h\d is not distinguishable from the best: a difference of 0\.0", text, re.M)) == 1
    assert len(re.findall(r"^- none, h2 is worse than the best by 0\.[23]", text, re.M)) == 1
    assert "- Not compared, because one seed does not show the noise: none, h4.\n" in text
    assert "false difference among all pairs of the 3 combinations with two or more seeds" in text
    assert "| position | none |" in text
    assert "the loss is &lt;not> \\| finite Try less." in text
    assert "comparable" not in text


def test_the_command_can_be_pasted(written):
    line = re.search(r"```bash\npython train.py (.*)\n```", (written / "report.md").read_text())[1]
    assert shlex.split(line) == ["-m", "position=rope,none", "name=a b"]


@pytest.mark.parametrize(
    ("recorded", "printed"),
    [
        ("data.path='/a/texts/b.txt'", "data.path=/a/texts/b.txt"),
        ("data.path='/a/my texts'", "'data.path=/a/my texts'"),
        ("name='a, b'", "\"name='a, b'\""),
    ],
)
def test_the_command_is_quoted_as_a_person_would(tmp_path, recorded, printed):
    jobs = Manifest.read(sweep_of(tmp_path, {"a": {1: 1.0}}).folder).jobs
    Manifest(("-m", recorded, "seed=1,2"), jobs).write(tmp_path)
    assert f"```bash\npython train.py -m {printed} seed=1,2\n```" in markdown(tmp_path)


def test_every_pair_is_judged_not_only_those_with_the_best(tmp_path):
    """The best combination has one seed; the others differ significantly from each other."""
    losses = {"a": {1: 1.0}, "b": {1: 1.10, 2: 1.11, 3: 1.12}, "c": {1: 1.60, 2: 1.61, 3: 1.62}}
    sweep = sweep_of(tmp_path, losses)
    assert sweep.worse_than("val_loss") == ["", "", "2"]
    assert findings(sweep) == [ONE_SEED]


def test_the_seeds_that_it_would_take_are_named(tmp_path):
    sweep = sweep_of(tmp_path, {"a": {1: 1.0, 2: 1.02, 3: 1.04}, "b": {1: 1.02, 2: 1.04, 3: 1.06}})
    best, first, second = findings(sweep)
    assert best == "a has the lowest loss."
    assert first == (  # Student's interval of 4 degrees of freedom: 2.776 × 0.02 × √(2 / 3)
        "b is not distinguishable from the best: a difference of 0.0200 is within the noise"
        " (95% interval -0.0253 to +0.0653, 3 seeds each)."
    )
    assert second == (
        "Distinguishing these two with 80% power would take about 17 seeds of each, if the measured difference (0.0200)"
        " and standard deviation over seeds (0.0200) are the true ones."
    )


def test_copies_of_a_seed_are_one_sample(tmp_path):
    losses = {"a": {1: 1.0, 2: 1.02, 3: 1.04}, "b": {1: 1.05, 2: 1.07, 3: 1.09}}
    once = findings(sweep_of(tmp_path / "once", losses))
    sweep_of(tmp_path / "copied", losses)
    jobs = list(Manifest.read(tmp_path / "copied").jobs)
    for i in range(30):
        jobs.append(Job(f"copy-{i}", jobs[i % 6].overrides))
        position, seed = jobs[-1].values.values()
        fake(tmp_path / "copied", f"copy-{i}", jobs[-1].overrides, losses[position][int(seed)])
    Manifest((), tuple(jobs)).write(tmp_path / "copied")
    copied = findings(Sweep(tmp_path / "copied"))
    assert copied == ["Omitted: repeated runs with the combination and seed of another run (30).", *once]


def test_what_cannot_be_tested_is_said(tmp_path):
    alone = sweep_of(tmp_path / "alone", {"a": {1: 1.0, 2: 1.1}})
    assert findings(alone) == ["Only one combination completed, so there is nothing to compare."]
    single = sweep_of(tmp_path / "single", {"a": {1: 1.0}, "b": {1: 2.0}})
    assert findings(single) == [ONE_SEED]
    assert single.worse_than("val_loss") == ["", ""]
    assert assumptions(alone) == assumptions(single) == ""
    mixed = sweep_of(tmp_path / "mixed", {"a": {1: 1.0}, "b": {1: 2.0}, "c": {1: 3.0, 2: 3.1}})
    assert findings(mixed) == [ONE_SEED]
    best = sweep_of(tmp_path / "best", {"a": {1: 1.0, 2: 1.1}, "b": {1: 2.0}, "c": {1: 3.0}})
    assert findings(best) == [
        "a has the lowest loss.",
        "Not compared, because one seed does not show the noise: b; c.",
    ]


class Checker(HTMLParser):
    """Checks that all tags are closed in the right order."""

    def __init__(self):
        super().__init__()
        self.open, self.outside, self.ids = [], [], []

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link"):
            self.open.append(tag)
        self.outside += [v for k, v in attrs if k in ("src", "href", "xlink:href") and not v.startswith(("#", "data:"))]
        self.ids += [v for k, v in attrs if k == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_is_well_formed(written):
    html = (written / "report.html").read_text()
    checker = Checker()
    checker.feed(html)
    assert not checker.open
    assert not checker.outside
    assert len(checker.ids) == len(set(checker.ids))
    assert "the loss is &lt;not&gt; | finite" in html
    assert html.count("<svg ") == 3
    assert html.count("<!") == 1, "no doctype of an SVG"
    assert "<?xml" not in html


def test_figures_lie_beside_the_page(written):
    names = {"loss-by-step", "loss-by-seconds", "loss-by-parameters"}
    assert {p.name for p in (written / "figures").iterdir()} == {f"{n}.{s}" for n in names for s in ("png", "pdf")}
    with Image.open(written / "figures" / "loss-by-step.png") as picture:
        assert picture.width > 1000


def test_runs_csv_has_a_row_for_each_job(written):
    with (written / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["job"] for r in rows] == [f"{i:02}" for i in range(12)]
    assert [r["state"] for r in rows] == ["completed"] * 10 + ["waiting", "failed"]
    assert [r["seed"] for r in rows] == ["1", "2", "3"] * 4
    summary = json.loads((written / "03" / "summary.json").read_text())
    assert float(rows[3]["val_loss"]) == summary["val_loss"]
    assert rows[3]["data.vocab_size"] == "10"
    assert rows[11]["val_loss"] == ""
    assert {"position", "heads", "parameters", "train_seconds"} < set(rows[0])
    assert not {"batch_size", "history", "commit", "hardware.gpus"} & set(rows[0]), "only what was swept, and numbers"


def test_the_latex_table_has_the_ranking(written):
    lines = (written / "report.tex").read_text().splitlines()
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert [row.split(" & ")[1:3] for row in body] == [list(c.values) for c in Sweep(written).ranked]


@pytest.mark.parametrize(
    ("changed", "warning"),
    [
        ({"sha256": "2"}, "NOT comparable: the runs differ in data."),
        ({"block_size": 16}, "NOT comparable: the runs differ in context."),
        ({"tokenizer": "word", "vocab_size": 9}, "differ in tokenizer and vocabulary. Across tokenizers"),
        ({"note": "validates on its training sentences"}, "About the data: validates on its training sentences."),
    ],
)
def test_what_cannot_be_compared_is_said(folder, changed, warning):
    fake(folder, "00", ["position=rope", "heads=h2", "seed=1"], 1.8, **changed)
    sweep = Sweep(folder)
    assert [w for w in sweep.warnings() if warning in w]
    if "NOT comparable" in sweep.warnings()[0]:
        assert findings(sweep) == ["The losses are not comparable, so the combinations are not compared."]
        assert not any(sweep.worse_than("val_loss"))
        assert assumptions(sweep) == ""


def test_odd_sweeps_have_a_report(tmp_path):
    """The sweeps have no completed job, values that look equal when shortened, no sizes, or no common validations."""
    jobs = [Job(f"{i}", (f"optimizer.lr={lr}", f"seed={s}")) for i, (lr, s) in enumerate(
        (lr, s) for lr in ("0.00123441", "0.00123442") for s in (1, 2))]  # fmt: skip
    Manifest((), tuple(jobs)).write(tmp_path)
    assert "4 jobs: 4 waiting" in markdown(tmp_path)
    assert "No job has completed" in write_report(tmp_path)
    assert "<table>" in page(tmp_path)
    for job in jobs:
        fake(tmp_path, job.name, list(job.overrides), 1.8)
    summary = tmp_path / "0" / "summary.json"
    content = json.loads(summary.read_text())
    summary.write_text(json.dumps(content | {"history": [], "steps": 10, "parameters": None}))
    assert "differ in steps" in write_report(tmp_path)
    assert "differ in steps" in (tmp_path / "report.md").read_text()
    assert len(Sweep(tmp_path).ranked) == 2
    assert "<svg" in page(tmp_path)
    for job in jobs:
        (tmp_path / job.name / "summary.json").write_text(json.dumps(content | {"history": []}))
    assert "<svg" not in page(tmp_path)


def test_a_loss_that_is_not_finite_does_not_count(tmp_path):
    sweep = sweep_of(tmp_path, {"a": {1: 1.0, 2: 1.1}, "b": {1: float("nan"), 2: float("inf")}})
    assert [c.name for c in sweep.ranked] == ["a"]
    assert "4 completed" in markdown(tmp_path)


def test_the_name_of_a_run_is_no_markup(tmp_path):
    """Also in a folder that another launcher named."""
    name = "<img src=x>"
    sweep_of(tmp_path, {name: {1: 1.0}, "b": {1: 2.0}})
    (tmp_path / "sweep.json").unlink()
    (tmp_path / f"{name}-1").rename(tmp_path / name)
    write_report(tmp_path)
    for file in ("report.md", "report.html"):
        assert name not in (tmp_path / file).read_text()
        assert "&lt;img src=x" in (tmp_path / file).read_text()


@pytest.mark.parametrize("steps", [(10, 20), (1, 100), (10, 20, 100)])
def test_lines_of_few_validations_are_visible(tmp_path, steps):
    """With two validations, the first is in the early part of the axis, which the limits ignored."""
    sweep = sweep_of(tmp_path, {"a": {1: 1.0}, "b": {1: 2.0}})
    for i, r in enumerate(sweep.results):
        file = r.job.run(tmp_path).summary_file
        history = [{"step": s, "seconds": s / 2, "val_loss": 3.0 + i - n} for n, s in enumerate(steps)]
        write_json(file, json.loads(file.read_text()) | {"history": history})
    for name, figure in charts(Sweep(tmp_path)).items():
        if name.startswith("loss-by-s"):
            low, high = figure.axes[0].get_ylim()
            for i in range(2):
                shown = [3.0 + i - n for n in range(len(steps)) if low <= 3.0 + i - n <= high]
                assert len(shown) >= 2, "a line needs two points"


def test_an_implausible_loss_has_no_rank_and_is_marked(tmp_path):
    """A loss of exactly 0 in one combination alone, and in one of three seeds of another."""
    sweep = sweep_of(tmp_path, {"a": {1: 0.0, 2: 0.0}, "b": {1: 1.0, 2: 1.1, 3: 0.0}, "c": {1: 2.0, 2: 2.1}})
    assert [(c.name, c.seeds) for c in sweep.ranked] == [("b", 2), ("c", 2)]
    assert [row[:3] for row in ranking(sweep)[1:]] == [
        ("1", "b", "1.0500"),
        ("2", "c", "2.0500"),
        ("implausible", "a", "0.0000"),
        ("implausible", "b", "0.0000"),
    ]
    printed = write_report(tmp_path)
    reason = "every target has a probability of exactly 1"
    line = f"Not ranked, because the loss is not plausible: a, seed 1; a, seed 2; b, seed 3. Reason: {reason}"
    assert printed.startswith(line)
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert line in text
        assert text.count("completed, implausible") == 3
    assert "b has the lowest loss." in printed


def test_a_sweep_with_implausible_losses_only_ranks_nothing(tmp_path):
    sweep = sweep_of(tmp_path, {"a": {1: 0.0}, "b": {1: 0.0}})
    assert findings(sweep) == ["No job has completed with a plausible loss, so there is nothing to rank."]
    assert "implausible" in markdown(tmp_path)


def test_runs_of_another_launcher_have_a_report_too(folder):
    (folder / "sweep.json").unlink()
    text = markdown(folder)
    assert "10 jobs: 10 completed. Swept: 2 of position × 2 of heads × 3 of seed." in text
    assert "started by another launcher" in text


@pytest.mark.browser
@pytest.mark.parametrize("window", ["1280,2400", "390,3000"])
def test_the_page_opens_without_a_complaint(folder, window, tmp_path):
    write_report(folder)
    assert photograph(folder / "report.html", tmp_path / "shot.png", f"--window-size={window}") == []
    pixels = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB")).reshape(-1, 3)
    colours = {f"#{r:02X}{g:02X}{b:02X}" for r, g, b in np.unique(pixels, axis=0)}
    assert set(COLOURS[:4]) <= colours, "each of the four combinations is drawn"


def test_the_command(folder, tmp_path_factory):
    done = shell("-m", "headscope.report", folder)
    assert done.returncode == 0, done.stderr
    files = {
        p: p.read_bytes() for p in folder.rglob("*") if p.suffix in (".html", ".md", ".tex", ".csv", ".pdf", ".png")
    }
    assert len(files) == 10
    assert done.stdout == write_report(folder) + "\n"
    assert {p: p.read_bytes() for p in files} == files, "the same runs give the same bytes"
    assert "report.html" in done.stdout
    assert "contains no sweep" in refused(shell("-m", "headscope.report", tmp_path_factory.mktemp("empty")))
    with pytest.raises(UserError, match="is not a folder"):
        Sweep(folder / "nothing")


def test_when_roles_formed_is_compared_by_the_rule_of_the_ranking(tmp_path):
    """Roles form at 100 ± 10 and 300 ± 10 in three seeds, and once in one seed: only the first two are compared."""
    steps = {"rope": [90, 100, 110], "none": [290, 300, 310], "alibi": [200, None, None]}
    losses = {"rope": [1.0, 1.1, 1.2], "none": [2.0, 2.1, 2.2], "alibi": [3.0, 3.1, 3.2]}
    sweep = sweep_of(tmp_path, {position: dict(enumerate(x)) for position, x in losses.items()})
    for position, formed in steps.items():
        for seed, step in enumerate(formed):
            file = tmp_path / f"{position}-{seed}" / "summary.json"
            content = json.loads(file.read_text()) | {"roles": {"induction": {"step": step}} if step else {}}
            file.write_text(json.dumps(content))
    header, *rows = roles_formed(Sweep(sweep.folder))
    assert header == ("role", "", "position", "formed", "step", "± sd", "later than")
    assert rows == [
        ("induction", "1", "rope", "3 of 3", "100", "10", ""),
        ("induction", "2", "none", "3 of 3", "300", "10", "1"),
        ("induction", "3", "alibi", "1 of 3", "200", "", ""),
    ]
    write_report(tmp_path)
    assert "When roles formed" in (tmp_path / "report.html").read_text()


def test_losses_beyond_the_trained_context(tmp_path):
    """Two schemes that can read longer texts and one that cannot; only one of them has an extension method."""
    jobs = [Job(f"{p}-{s}", (f"position={p}", f"seed={s}")) for p in ("rope", "alibi", "learned") for s in "123"]
    for job in jobs:
        position, seed = job.values["position"], int(job.values["seed"])
        fake(tmp_path, job.name, list(job.overrides), 1.8 + 0.1 * (position != "rope") + seed / 1000)
        beyond_it = {"rope": 3.0, "alibi": 1.9, "learned": None}[position]
        sliding = {"as trained": {"8": 1.8} | ({"32": beyond_it + seed / 1000} if beyond_it else {})}
        sliding |= {"yarn": {"8": 1.85, "32": 2.0}} if position == "rope" else {}
        lists = {way: [2.0] * (32 if "32" in losses else 8) for way, losses in sliding.items()}
        file = tmp_path / job.name / "summary.json"
        measured = {"trained": 8, "ends": "", "sliding": sliding, "non_overlapping": lists}
        file.write_text(json.dumps(json.loads(file.read_text()) | {"loss_by_position": measured}))
    Manifest((), tuple(jobs)).write(tmp_path)
    sweep = Sweep(tmp_path)
    assert longer_contexts(sweep) == [
        ("", "position", "extension", "8 tokens", "32 tokens", "worse than"),
        ("2", "alibi", "as trained", "1.8000 ± 0.0000", "1.9020 ± 0.0010", ""),
        ("1", "rope", "yarn", "1.8500 ± 0.0000", "2.0000 ± 0.0000", ""),
        ("1", "rope", "as trained", "1.8000 ± 0.0000", "3.0020 ± 0.0010", "2"),
        ("3", "learned", "as trained", "1.8000 ± 0.0000", "–", ""),
    ]
    assert [(s.name, s.x[-1]) for s in loss_by_position(sweep)] == [("rope", 32.0), ("alibi", 32.0), ("learned", 8.0)]
    assert "Beyond the trained context" in page(tmp_path)
    assert (tmp_path / "figures" / "loss-by-position.png").exists()


SHARES = ("place", "structure", "identity", "content")


def head(cost, readable, full, role="local", confirmed=True):
    """Returns the entry of a head in `summary.json`; the cost of a head without shares is within the noise."""
    recovered = {"recovered": None if readable is None else sum(readable), "cost": cost, "sentence": "It looks back."}
    parts = {"parts": readable or [0.0] * 4, "parts_full": full or [0.0] * 4}
    shares = {key: dict(zip(SHARES, x, strict=True)) for key, x in parts.items()}
    return {"head": "L0H0", "role": role, "confirmed": confirmed} | recovered | shares


def with_heads(folder, heads):
    """Writes and returns a sweep whose runs have these heads, by the value of the swept key and the seed."""
    losses = {value: {seed: 1.0 + i + seed / 100 for seed in runs} for i, (value, runs) in enumerate(heads.items())}
    sweep_of(folder, losses)
    for value, runs in heads.items():
        for seed, found in runs.items():
            file = folder / f"{value}-{seed}" / "summary.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | {"heads": found}))
    return Sweep(folder)


NOISE = head(5.0, None, None, "none", None)
FIRST = [head(0.3, [0.8, 0.1, 0.0, 0.0], [0.8, 0.1, 0.0, 0.1]), head(0.1, [0.4, 0.0, 0.2, 0.0], [0.4, 0.0, 0.2, 0.4])]
SECOND = [head(0.5, [0.5, 0.0, 0.0, 0.5], [0.5, 0.0, 0.0, 0.6], "induction"), head(0.1, None, None, "local", False)]
GROWN = {
    "rope": {1: [*FIRST, NOISE], 2: SECOND},
    "none": {1: [head(0.2, [0.1, 0.2, 0.3, 0.1], [0.1, 0.2, 0.3, 0.3], "sink", None)], 2: [NOISE]},
}


def test_the_shares_of_the_heads_are_weighted_by_their_cost(tmp_path):
    """For example, the share of place in the first run is (0.3 × 0.8 + 0.1 × 0.4) / 0.4."""
    assert heads_grown(with_heads(tmp_path, GROWN)) == [
        ("", "position", "runs", "cost", "rule", *SHARES, "unexplained"),
        ("1", "rope", "2", "0.450 ± 0.071", "readable",
         "0.60 ± 0.14", "0.04 ± 0.05", "0.03 ± 0.04", "0.25 ± 0.35", "0.09 ± 0.12"),
        ("1", "rope", "2", "0.450 ± 0.071", "full",
         "0.60 ± 0.14", "0.04 ± 0.05", "0.03 ± 0.04", "0.39 ± 0.30", "-0.05 ± 0.07"),
        ("2", "none", "2", "0.100 ± 0.141", "readable", "0.10", "0.20", "0.30", "0.10", "0.30"),
        ("2", "none", "2", "0.100 ± 0.141", "full", "0.10", "0.20", "0.30", "0.30", "0.10"),
    ]  # fmt: skip


def test_only_confirmed_roles_are_counted(tmp_path):
    """A head in a role that no ablation confirms does not count, and a run without such a head counts as zero."""
    assert roles_confirmed(with_heads(tmp_path, GROWN)) == [
        ("", "position", "runs", "induction", "local"),
        ("1", "rope", "2", "0.5 ± 0.7", "1.0 ± 1.4"),
        ("2", "none", "2", "0.0 ± 0.0", "0.0 ± 0.0"),
    ]


def test_every_file_of_a_report_has_the_heads(tmp_path):
    with_heads(tmp_path, GROWN)
    text, html = markdown(tmp_path), page(tmp_path)
    for heading in ("Which combinations grow which heads", "Confirmed roles"):
        assert f"## {heading}\n" in text
        assert f"<h2>{heading}</h2>" in html
    assert "| 1 | rope | 2 | 0.450 ± 0.071 | readable | 0.60 ± 0.14 |" in text
    with (tmp_path / "runs.csv").open(newline="") as file:
        first, *_, last = csv.DictReader(file)
    assert [float(first[f"heads.readable.{kind}"]) for kind in SHARES] == pytest.approx([0.7, 0.075, 0.05, 0.0])
    assert float(first["heads.cost"]) == pytest.approx(0.4)
    assert (last["heads.cost"], last["heads.full.place"]) == ("0", ""), "no head of this run counts"


def test_runs_without_descriptions_have_no_section_of_heads(tmp_path):
    """Short runs, runs of older versions and models without heads; in a mixed sweep, only described runs count."""
    plain = {"head": "L0H0", "role": "local", "confirmed": True}
    sweep = with_heads(tmp_path / "none", {"rope": {1: [plain]}, "none": {1: []}})
    assert len(heads_grown(sweep)) == len(roles_confirmed(sweep)) == 1
    text = markdown(tmp_path / "none")
    assert "grow which heads" not in text
    assert "Confirmed roles" not in text
    assert "heads." not in (tmp_path / "none" / "runs.csv").read_text()
    sweep = with_heads(tmp_path / "mixed", {"rope": {1: [plain], 2: GROWN["rope"][2]}, "none": {1: [plain]}})
    assert [row[:4] for row in heads_grown(sweep)[1:]] == [("1", "rope", "1", "0.500")] * 2
    assert roles_confirmed(sweep)[1:] == [("1", "rope", "1", "1.0")]
