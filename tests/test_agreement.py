"""Every place that describes the heads of one checkpoint gives the same roles, scores and costs."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator

import headscope
from headscope.heads import describe, table
from headscope.heads.kept import texts
from headscope.heads.replacing import describe_attention
from headscope.heads.sentences import sentences
from headscope.heads.token_classes import Vocabulary
from tests.conftest import shell
from tests.inside import train

STEPS = 200


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trains two layers; returns the run, its last checkpoint, and what Python reports about its heads."""
    folder, threads = tmp_path_factory.mktemp("agreement"), torch.get_num_threads()
    done = shell(
        "train.py",
        *("data=pydoc", "model.d_model=32", "model.n_layers=2", "model.block_size=32"),
        *(
            "position=alibi",
            "optimizer.lr=3e-3",
            f"trainer.max_steps={STEPS}",
            "trainer.val_check_interval=100",
            "trainer.threads=1",
        ),
        f"callbacks.heads.describe_from={STEPS}",
        f"hydra.run.dir={folder}",
    )
    assert done.returncode == 0, done.stderr
    last = folder / "checkpoints" / "last.ckpt"
    torch.set_num_threads(1)
    trained = headscope.load(last)
    reports = trained.heads().reports
    vocabulary = Vocabulary(trained.tokenizer.shown)
    descriptions = describe_attention(
        trained.model, *texts(trained.about, len(vocabulary.text)), vocabulary, "character"
    )
    torch.set_num_threads(threads)
    assert {report.role for report in reports} > {"none"}, "without any role, the tests would compare nothing"
    assert any(report.confirmed for report in reports)
    return SimpleNamespace(folder=folder, last=last, reports=reports, descriptions=descriptions)


def test_the_text_in_tensorboard(run):
    events = EventAccumulator(str(run.folder), size_guidance=STORE_EVERYTHING_SIZE_GUIDANCE).Reload()
    logged = events.Tensors("watch_heads/text_summary")[-1]
    assert logged.step == STEPS
    lines = [line.strip() for line in logged.tensor_proto.string_val[0].decode().splitlines()]
    for line in table.as_text(run.reports).splitlines():
        assert line in lines


def test_the_scalars_in_tensorboard(run):
    events = EventAccumulator(str(run.folder), size_guidance=STORE_EVERYTHING_SIZE_GUIDANCE).Reload()
    for report in run.reports:
        for score in ("previous_token", "induction", "local"):
            logged = events.Scalars(f"watch_heads/{report.name}/{score}")[-1]
            assert (logged.step, f"{logged.value:.6g}") == (STEPS, f"{report.scores[score]:.6g}")


def test_the_table_in_the_runs_folder(run):
    header, *lines = (run.folder / "heads.csv").read_text(encoding="utf-8").splitlines()
    wanted = table.to_csv(table.rows(run.reports, STEPS, run.descriptions)).splitlines()
    assert [header, *lines[-len(run.reports) :]] == wanted


def test_every_place_has_the_stability(run):
    """The number of text samples with the same role is a share in files, and a count in texts."""
    assert {r.samples for r in run.reports} == {10}
    rows = table.from_csv((run.folder / "heads.csv").read_text(encoding="utf-8"))[-len(run.reports) :]
    heads = json.loads((run.folder / "summary.json").read_text())["heads"]
    lines = table.as_text(run.reports).splitlines()[1:]
    for r, row, head, line in zip(run.reports, rows, heads, lines, strict=False):
        assert row["stability"] == head["stability"] == r.stability == r.same_role / 10
        assert row["rests_on_first"] == head["rests_on_first"] == r.rests_on_first
        assert line.split()[-1] == f"{r.same_role}/10"
        assert f"in {r.same_role} of 10 text samples." in sentences(r, "character")


def test_the_summary(run):
    heads = json.loads((run.folder / "summary.json").read_text())["heads"]
    assert heads == [
        {"head": r.name, "role": r.role, "confirmed": r.confirmed, "score": r.evidence.value if r.evidence else None}
        | {"rests_on_first": r.rests_on_first, "stability": r.stability}
        | d.facts()
        for r, d in zip(run.reports, run.descriptions, strict=True)
    ]
    assert any(d.matters for d in run.descriptions)


def test_the_descriptions_in_tensorboard_and_python(run):
    events = EventAccumulator(str(run.folder), size_guidance=STORE_EVERYTHING_SIZE_GUIDANCE).Reload()
    logged = events.Tensors("watch_descriptions/text_summary")[-1]
    words = logged.tensor_proto.string_val[0].decode().split()  # lines are wrapped
    assert words == " ".join(d.sentence for d in run.descriptions).split()
    assert "watch_descriptions" in events.Tags()["images"]
    kept = headscope.load(run.last).heads().descriptions  # read from the run's folder
    assert [d.facts() for d in kept] == [d.facts() for d in run.descriptions]


def test_show_heads(run, tmp_path):
    done = shell("generate.py", f"checkpoint={run.last}", "show=heads", f"out={tmp_path}", "threads=1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(table.as_text(run.reports) + "\n")
    assert "\n".join(d.sentence for d in run.descriptions) in done.stdout
    rows = table.rows(run.reports, STEPS, run.descriptions)
    assert (tmp_path / "heads.csv").read_text(encoding="utf-8") == table.to_csv(rows)


def test_both_panels_of_the_page(run, tmp_path):
    done = shell("generate.py", f"checkpoint={run.last}", "show=page", f"out={tmp_path / 'page.html'}", "threads=1")
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = json.loads(re.search(r'<script type="application/json" id="described">(.*?)</script>', html)[1])
    assert page["heads"] == [
        {
            "layer": r.layer,
            "head": r.head,
            "role": "" if r.role == "none" else r.role,
            "confirmed": r.confirmed,
            "cost": r.evidence.cost if r.evidence else 0,
            "sentence": sentences(r, "character"),
        }
        for r in run.reports
    ]
    frame, titles = page["film"]["frames"][-1], table.role_labels(run.reports)
    assert frame["step"] == STEPS
    assert frame["roles"] == [[titles.get((layer, head), "") for head in range(4)] for layer in range(2)]
    first = headscope.load(run.last).about["passages"][0]
    assert page["film"]["ids"] == page["text"] == first


def test_a_resumed_run_keeps_its_probe_texts(run, tmp_path):
    folder = tmp_path / "resumed"
    shutil.copytree(run.folder, folder)
    last = folder / "checkpoints" / "last.ckpt"
    saved = torch.load(last, weights_only=True)
    texts = [list(range(i, i + 32)) for i in range(8)]  # runs of earlier versions have eight texts
    saved["headscope"]["about"]["passages"] = texts
    torch.save(saved, last)
    done = shell("train.py", f"resume={folder}", f"trainer.max_steps={STEPS + 1}")
    assert done.returncode == 0, done.stderr
    trained = headscope.load(last)
    assert trained.about["step"] == STEPS + 1
    assert trained.about["passages"] == texts


def test_a_model_with_special_tokens_has_the_same_roles_during_training_and_later(tmp_path):
    """Every command leaves the special tokens of the tokenizer out of the repeated texts."""
    names = [a + b + c for a in ("em", "av", "mi", "lu") for b in ("ar", "io", "na") for c in ("el", "us")]
    (tmp_path / "names.txt").write_text("\n".join(names))
    sizes = ("model.d_model=32", "model.n_layers=2", "model.block_size=12", "heads=h2", "optimizer.lr=1e-2")
    steps = ("trainer.max_steps=30", "trainer.val_check_interval=30", "trainer.threads=1", "logger=none")
    folder, threads = tmp_path / "run", torch.get_num_threads()
    data = ("data=lines", f"data.path={tmp_path}/names.txt", "trainer.accelerator=cpu")
    code, printed = train(*data, *sizes, *steps, f"hydra.run.dir={folder}")
    assert code == 0, printed
    torch.set_num_threads(1)
    trained = headscope.load(folder / "checkpoints" / "last.ckpt")
    reports = trained.heads().reports
    torch.set_num_threads(threads)
    assert trained.tokenizer.special == [trained.tokenizer.start]
    lines = (folder / "heads.csv").read_text(encoding="utf-8").splitlines()
    assert lines[-len(reports) :] == table.to_csv(table.rows(reports, 30)).splitlines()[1:]
    ids = torch.tensor(trained.about["passages"])
    assert describe(trained.model, ids, special=trained.tokenizer.special) == reports != describe(trained.model, ids)
