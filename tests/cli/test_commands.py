"""The commands as a user types them: their output, their files and their error messages."""

import json

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from headscope import checkpoint
from headscope.cli.generate import write
from headscope.config.composed import plain
from headscope.config.generate_keys import GenerateConfig
from headscope.config.schema import parse
from headscope.errors import UserError
from tests.config.test_schema import composed
from tests.conftest import shell
from tests.inside import train

OFFLINE = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}


def refused(done):
    """Checks that a command was refused with one line; returns this line."""
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr + done.stdout
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.n_layerz=3", "there is no key model.n_layerz; did you mean model.n_layers?"),
        (
            "position=ropee",
            "there is no position=ropee; did you mean position=rope? conf/position has alibi, fox, kerple, learned,",
        ),
        ("heads=8", "there is no heads=8; did you mean heads=h8? conf/heads has h1, h2, h4, h6, h8, h12"),
        ("position=rope,none", "position=rope,none has a comma: add -m to sweep over several values"),
        (
            "logger=[csv,tensorbord]",
            "there is no logger=tensorbord; did you mean logger=tensorboard? conf/logger has csv, mlflow, none, tensor",
        ),
        ("heads=h3", "there is no heads=h3; conf/heads has"),
        (
            "experiment=quikstart",
            "there is no experiment=quikstart; did you mean experiment=quickstart? conf/experiment has extrapolation,",
        ),
        ("data.sentences=[a", "cannot read 'data.sentences=[a'; check its brackets"),
        ("nosuchgroup/x=y", "nosuchgroup/x"),
        ("experiment=null", "experiment=null is not possible; ~experiment leaves the group out"),
        ("~position", "position"),
        ("hydra.run.dir=/proc/nowhere/x", "/proc/nowhere cannot be used"),
        ("hydra.run.dir=", "error: hydra.run.dir is the current folder"),
        ("init=", "is a folder without checkpoints"),
        ("model.d_model=100", "error: 8 heads do not divide the width d_model=100; these do: 1, 2, 4"),
        ("data.path=/nonexistent.txt", "error: data.path=/nonexistent.txt does not exist"),
    ],
)
def test_train_refuses_in_one_line(override, message, tmp_path):
    more = {"model.d_model=100": ["heads=h8"], "data.path=/nonexistent.txt": ["data=text"]}.get(
        override, ["data=pydoc"]
    )
    assert message in refused(shell("train.py", f"hydra.run.dir={tmp_path}", *more, override))


def test_no_corpus_and_no_network(tmp_path):
    done = shell("train.py", f"hydra.run.dir={tmp_path}/run", HEADSCOPE_DATA_DIR=str(tmp_path), **OFFLINE)
    assert "tiny_shakespeare.txt could not be downloaded (ProxyError); save " in refused(done)


def test_only_the_quickstart_falls_back_and_says_so(tmp_path):
    done = shell(
        "train.py",
        "experiment=quickstart",
        "trainer.max_steps=3",
        f"hydra.run.dir={tmp_path}/run",
        HEADSCOPE_DATA_DIR=str(tmp_path),
        **OFFLINE,
    )
    assert done.returncode == 0, done.stderr
    assert "training on pydoc instead" in done.stdout
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["name"] == "quickstart-pydoc"
    assert summary["data"]["name"] == "pydoc"
    assert "pydoc" in (tmp_path / "run" / "train.log").read_text()


def test_a_run_explains_itself(pydoc_run):
    folder, output = pydoc_run
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert summary["steps"] == 30
    assert [h["step"] for h in summary["history"]] == [10, 20, 30]
    assert summary["val_loss"] == summary["history"][-1]["val_loss"]
    assert summary["best_val_loss"] == min(h["val_loss"] for h in summary["history"])
    assert summary["train_loss"] == pytest.approx(summary["val_loss"], abs=0.3)
    assert summary["position"] == "rope"
    assert "model.dropout=0.1" in summary["overrides"]
    assert summary["data"]["name"] == "pydoc"
    assert len(summary["data"]["sha256"]) == 64
    assert 0 < summary["train_seconds"] < summary["wall_seconds"]
    assert summary["tokens_per_second"] == pytest.approx(30 * 16 * 64 / summary["train_seconds"], rel=0.01)
    assert summary["parameters"] == 128 * summary["data"]["vocab_size"] * 2 + summary["data"]["vocab_size"] + 791_296
    assert (folder / ".hydra" / "config.yaml").exists()
    assert "val/loss" in (folder / "train.log").read_text()
    assert f"run saved to {folder}" in output
    assert output.count("  python ") == 4, "write, look at what may come next, a page, sweep"


def test_tensorboard_gets_the_losses(pydoc_run):
    events = EventAccumulator(str(pydoc_run[0])).Reload()
    assert [e.step for e in events.Scalars("train/loss")] == [10, 20, 30]
    assert [e.step for e in events.Scalars("val/loss")] == [10, 20, 30]
    assert {p.name.split(".")[0] for p in pydoc_run[0].iterdir()} == {
        "",  # the folder .hydra
        "checkpoints",
        "events",
        "film",
        "heads",
        "pictures",
        "progress",
        "projector",
        "projector_config",
        "summary",
        "train",
    }


def test_validating_a_checkpoint_gives_the_loss_of_its_run(pydoc_run, tmp_path):
    folder, _ = pydoc_run
    loss = json.loads((folder / "summary.json").read_text())["val_loss"]
    checkpoint = f"checkpoint={folder}/checkpoints/last.ckpt"
    done = shell("train.py", "task=validate", "data=pydoc", checkpoint, f"hydra.run.dir={tmp_path}")
    assert f"val/loss {loss:.4f}" in done.stdout, done.stderr


def test_a_model_validates_on_any_data_that_fits_its_vocabulary(pydoc_run, tmp_path):
    checkpoint = f"checkpoint={pydoc_run[0]}/checkpoints/last.ckpt"
    (tmp_path / "fits.txt").write_text("The operator is not a name. " * 200)
    (tmp_path / "not.txt").write_text("Snow \N{SNOWMAN} falls. " * 200)
    text = ("train.py", "task=validate", "data=text", checkpoint, f"hydra.run.dir={tmp_path}/run")
    done = shell(*text, f"data.path={tmp_path}/fits.txt")
    assert "val/loss" in done.stdout, done.stderr
    assert "unknown character '\N{SNOWMAN}': the model's vocabulary has" in refused(
        shell(*text, f"data.path={tmp_path}/not.txt")
    )


def test_a_model_whose_loss_is_not_finite_is_measured_in_one_line(toy_run, tmp_path):
    best = next(toy_run[0].rglob("best.ckpt"))
    saved = torch.load(best, weights_only=True)
    saved["state_dict"] = {name: weight * float("nan") for name, weight in saved["state_dict"].items()}
    torch.save(saved, tmp_path / "bad.ckpt")
    code, printed = train("experiment=toy", "task=validate", f"checkpoint={tmp_path}/bad.ckpt", cwd=tmp_path)
    assert code == 3
    assert "error: the validation loss is not finite: the model's weights are damaged" in printed


def test_a_new_run_starts_from_old_weights(pydoc_run, tmp_path):
    init = f"init={pydoc_run[0]}/checkpoints/last.ckpt"
    loss = json.loads((pydoc_run[0] / "summary.json").read_text())["val_loss"]
    run = ("train.py", "data=pydoc", "position=rope", init, f"hydra.run.dir={tmp_path}/run", "trainer.max_steps=1")
    assert "does not fit: embedding.weight is (103, 128) in the checkpoint and (103, 64) in this model" in refused(
        shell(*run, "model.d_model=64")
    )
    done = shell(*run, "optimizer.lr=1e-12", "optimizer.weight_decay=0")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["val_loss"] == pytest.approx(loss, abs=1e-4)


def test_generate_writes_text_and_nothing_else_to_standard_output(pydoc_run):
    prompt = "A comma, a 'quote', {x} and\na line"
    best = f"checkpoint={pydoc_run[0]}/checkpoints/best.ckpt"
    command = ("generate.py", f"prompt={prompt}", best, "max_new_tokens=80")
    done = shell(*command, "seed=1", "top_k=20", "top_p=0.9")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(prompt)
    assert len(done.stdout) == len(prompt) + 80 + 1
    assert "trained on pydoc" in done.stderr
    assert shell(*command, "seed=1", "top_k=20", "top_p=0.9").stdout == done.stdout
    assert shell(*command, "seed=2", "top_k=20", "top_p=0.9").stdout != done.stdout


@pytest.mark.parametrize("place", ["", "checkpoints", "checkpoints/best.ckpt"])
def test_a_run_s_folder_is_its_best_checkpoint(place, pydoc_run):
    best = pydoc_run[0] / "checkpoints" / "best.ckpt"
    assert checkpoint.find(pydoc_run[0] / place) == best
    assert checkpoint.load(pydoc_run[0] / place).about == checkpoint.load(best).about


def test_a_folder_without_a_run_is_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"is a folder without checkpoints/best.ckpt; use a run's folder"):
        checkpoint.load(tmp_path)


def test_every_command_takes_a_run_s_folder(pydoc_run, tmp_path):
    folder = pydoc_run[0]
    printed = shell("generate.py", "The", f"checkpoint={folder}", "max_new_tokens=5")
    assert printed.stdout.startswith("The"), printed.stderr
    assert f"{folder}/checkpoints/best.ckpt" in printed.stderr
    small = ("data=pydoc", "position=rope", "trainer.max_steps=1", "trainer.val_check_interval=1")
    for arguments in ((f"init={folder}",), ("task=validate", f"checkpoint={folder}")):
        code, printed = train(
            *small, *arguments, "logger=none", "callbacks=none", f"hydra.run.dir={tmp_path}/{len(arguments)}"
        )
        assert code == 0, printed
    unlike = ("data=pydoc", "position=rope", "position.base=500", "trainer.max_steps=1", "trainer.val_check_interval=1")
    more = ("logger=none", "callbacks=none", f"hydra.run.dir={tmp_path}/unlike")
    code, printed = train(*unlike, f"init={folder}", *more)
    assert code == 0
    assert "was trained with position=Rotary(base=10000.0), here Rotary(base=500.0)" in printed


def test_generate_reads_a_prompt_from_a_file_and_a_pipe(pydoc_run, tmp_path):
    best = f"checkpoint={pydoc_run[0]}/checkpoints/best.ckpt"
    (tmp_path / "p.txt").write_text("The operator\n")
    for done in (
        shell("generate.py", best, f"prompt_file={tmp_path}/p.txt", "max_new_tokens=5"),
        shell("generate.py", best, "max_new_tokens=5", stdin="The operator\n"),
    ):
        assert done.stdout.startswith("The operator"), done.stderr
        assert len(done.stdout) == len("The operator") + 6
    two = shell("generate.py", best, "prompt=The", "num_samples=2", "max_new_tokens=5")
    assert two.stdout.count("The") >= 2
    assert "sample 2 of 2" in two.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prompt=\N{SNOWMAN}"], "unknown character '\N{SNOWMAN}'"),
        (["temperature=-1"], "temperature=-1 must be at least 0"),
        (["top_p=0"], "top_p=0 must be above 0 or null"),
        (["prompt_file=/nonexistent"], "prompt_file=/nonexistent does not exist"),
        (["prompt_file=/"], "prompt_file=/ is not a file"),
        (["prompt=a", "prompt_file=-"], "prompt=… and prompt_file=- are two prompts"),
        (["out=x.txt"], "out=x.txt needs show=attention, heads or page; to save generated text, add > FILE"),
        (["show=next", "out=x.txt"], "out=x.txt needs show="),
        (["checkpoint=/nonexistent.ckpt"], "there is no checkpoint at /nonexistent.ckpt"),
        (["paths.runs=/nonexistent"], "no run in /nonexistent/ has a checkpoint"),
    ],
)
def test_generate_refuses_in_one_line(arguments, message, pydoc_run, monkeypatch, capsys):
    """Runs in this process, because starting a new process for every mistake would be slow."""
    given = [f"checkpoint={pydoc_run[0]}/checkpoints/best.ckpt"]
    given = given if not arguments[0].startswith(("checkpoint", "paths")) else []
    typed = [a.removeprefix("prompt=") for a in arguments if a.startswith("prompt=")]
    rest = [a for a in arguments if not a.startswith("prompt=")]
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UserError) as error:
        write(parse(plain(composed(*given, *rest, name="generate")), GenerateConfig), typed[0] if typed else None)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not capsys.readouterr().out


def test_generate_names_the_run_that_it_chose_in_an_error(pydoc_run, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    config = parse(plain(composed(f"paths.runs={pydoc_run[0]}", name="generate")), GenerateConfig)
    with pytest.raises(UserError, match=rf"; the checkpoint is that of the newest run, {pydoc_run[0]}/checkpoints/"):
        write(config, "\N{SNOWMAN}")


def test_generate_leaves_with_one_line_and_2(pydoc_run):
    done = shell("generate.py", f"checkpoint={pydoc_run[0]}/checkpoints/best.ckpt", "prompt=a ${x}")
    assert "unknown character '$': the model's vocabulary has" in refused(done)
    assert "did you mean max_new_tokens?" in refused(shell("generate.py", "max_new_token=3"))
    assert "'show' has no value; write show=…, or prompt=show" in refused(shell("generate.py", "show"))
