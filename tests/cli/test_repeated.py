"""Every command on generated data: the optimum is recorded, and everything else works as for text."""

import csv
import json

import pytest
import torch

import headscope
from headscope.data.repeated import Repeated
from headscope.report.charts import charts
from headscope.report.results import Sweep
from headscope.run.folder import RunFolder
from tests.cli.test_commands import refused
from tests.conftest import shell

DATA = ("data=repeated", "data.vocab_size=12", "data.shortest=3", "data.longest=9")
SMALL = ("model.d_model=16", "model.n_heads=2", "model.n_layers=1", "model.block_size=20", "trainer.threads=1")
RUN = ("train.py", *DATA, *SMALL, "schedule=constant", "trainer.val_check_interval=10")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Returns the folder and the output of a run of 20 steps."""
    folder = tmp_path_factory.mktemp("repeated") / "run"
    done = shell(*RUN, "logger=csv", "trainer.max_steps=20", f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def weights(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def losses(folder):
    return [h["val_loss"] for h in RunFolder(folder).summary()["history"]]


def test_the_optimum_is_in_the_summary_and_beside_the_loss(run):
    folder, output = run
    optimum = Repeated(12, 3, 9).load(20).optimum
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["optimum"] == optimum
    assert summary["val_loss"] > optimum
    with (folder / "metrics.csv").open(newline="") as f:
        rows = {int(row["step"]): row for row in csv.DictReader(f)}
    assert {step: float(row["val/optimum"]) for step, row in rows.items() if row["val/loss"]} == {
        10: optimum,
        20: optimum,
    }
    assert f"generated; validates on 512 windows, whose optimum is {optimum:.4f}" in output


def test_sentences_have_no_optimum(toy_run):
    assert json.loads((toy_run[0] / "summary.json").read_text())["optimum"] is None


def test_a_prompt_is_its_tokens(run):
    checkpoint = f"checkpoint={run[0]}/checkpoints/best.ckpt"
    done = shell("generate.py", checkpoint, "prompt=abcdabcd", "max_new_tokens=30")
    assert done.returncode == 0, done.stderr
    text = done.stdout.strip()
    assert text.startswith("abcdabcd")
    assert len(text) == 38
    assert set(text) <= set("abcdefghijkl")
    assert "unknown character 'z'" in refused(shell("generate.py", checkpoint, "prompt=abz"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.vocab_size=1", "data.vocab_size=1 must be at least 2"),
        ("data.shortest=10", "data.shortest=10 must be at most data.longest=9"),
        ("data.longest=21", "data.longest=21 does not fit model.block_size=20: nothing would be repeated"),
    ],
)
def test_what_cannot_be_learned_is_refused(override, message, tmp_path):
    assert message in refused(shell(*RUN, override, f"hydra.run.dir={tmp_path}/run"))
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.slow
def test_a_resumed_run_sees_the_windows_it_would_have_seen(run, tmp_path):
    once, twice = tmp_path / "once", tmp_path / "twice"
    for folder, steps in ((once, 30), (twice, 13)):
        done = shell(*RUN, "logger=csv", f"trainer.max_steps={steps}", f"hydra.run.dir={folder}")
        assert done.returncode == 0, done.stderr
    done = shell("train.py", f"resume={twice}", "trainer.max_steps=30")
    assert done.returncode == 0, done.stderr
    for name, weight in weights(once).items():
        assert torch.equal(weight, weights(twice)[name]), name
    line = refused(shell("train.py", f"resume={twice}", "trainer.max_steps=40", "data.longest=8"))
    assert "repeated is not the text that" in line


@pytest.mark.slow
def test_another_run_starts_from_its_weights_and_validates_them(run, tmp_path):
    best = run[0] / "checkpoints" / "last.ckpt"
    other = ("data.vocab_size=10", "data.longest=5", "trainer.max_steps=1", "optimizer.lr=1e-9")
    done = shell(*RUN, *other, f"init={best}", "logger=none", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    _, tokenizer, _ = headscope.load(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert tokenizer.vocab == list("abcdefghijkl"), "the vocabulary is that of the weights"
    assert RunFolder(tmp_path / "run").summary()["optimum"] == Repeated(10, 3, 5).load(20).optimum
    done = shell("train.py", "task=validate", f"checkpoint={best}", *DATA, f"hydra.run.dir={tmp_path}/val")
    assert f"val/loss {losses(run[0])[-1]:.4f} nats per character" in done.stdout
    line = refused(shell(*RUN, "data.vocab_size=13", f"init={best}", f"hydra.run.dir={tmp_path}/more"))
    assert "data=repeated does not fit the checkpoint's tokenizer: unknown character 'm'" in line


@pytest.mark.slow
def test_two_processes_see_the_windows_of_one(run, tmp_path):
    two = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_steps=20", "logger=none")
    done = shell(*RUN, *two, "trainer.threads=1", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "run") == pytest.approx(losses(run[0]), abs=1e-4)
    # Lightning would advise `sync_dist`, but our losses are already summed over processes.
    assert "sync_dist" not in done.stdout + done.stderr


@pytest.mark.slow
def test_the_report_of_a_sweep_draws_the_optimum(tmp_path):
    quick = ("trainer.max_steps=2", "trainer.val_check_interval=1", "logger=none", "callbacks=none")
    done = shell("train.py", "-m", *RUN[1:], *quick, "position=rope,none", f"hydra.sweep.dir={tmp_path}/s")
    assert done.returncode == 0, done.stderr
    optimum = Repeated(12, 3, 9).load(20).optimum
    figure = charts(Sweep(tmp_path / "s"))["loss-by-step"]
    assert [text.get_text() for text in figure.legends[0].texts][-1] == "optimum"
    assert any(list(line.get_ydata()) == [optimum, optimum] for line in figure.axes[0].lines)
    assert (tmp_path / "s" / "report.html").exists()
