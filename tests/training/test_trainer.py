"""The group `trainer`: options passed to Lightning, refused options, and runs with unusual options."""

import inspect
import json
import logging
from dataclasses import fields
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, Timer

from headscope.config.composed import Composed, plain
from headscope.data.windows import IGNORE
from headscope.errors import UserError
from headscope.run.execute import prepared
from headscope.run.summary import write_summary
from headscope.training.hardware import Machine, choose
from headscope.training.options import TrainerOptions
from headscope.training.trainer import build_trainer, warn_about_rankings
from tests.config.test_schema import checked, composed
from tests.conftest import ROOT, shell

TINY = (
    *("data=text", f"data.path={ROOT / 'README.md'}", "model.n_layers=1", "model.d_model=32", "model.n_heads=2"),
    *("model.block_size=16", "trainer=cpu", "trainer.precision=32", "trainer.max_steps=20"),
    *("trainer.val_check_interval=10", "trainer.threads=1", "callbacks=none"),
)


@pytest.fixture(autouse=True)
def _process_as_it_was(monkeypatch):
    """Restores the settings of the process that a run changes."""
    monkeypatch.setattr(logging, "raiseExceptions", True)
    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    yield
    torch.set_float32_matmul_precision(precision)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False


def trainer_of(folder, *overrides):
    config = checked(*TINY, "logger=none", *overrides)
    choice = choose(Machine(cores=2), config.trainer)
    return build_trainer(config.trainer, choice, config.trainer.last_step(100, config.batch_size), folder, [], [])


def fit(folder, *overrides, resume=None):
    """Trains in this process, as `train.py` would; returns the run and its summary."""
    cfg = composed(*TINY, *overrides)
    cfg.paths.run_dir = str(folder)
    composed_run = Composed(plain(cfg), list(overrides), {"position": "sinusoidal"}, resume)
    with prepared(composed_run) as run:
        run.trainer.fit(run.module, run.data, ckpt_path=run.start.resume_from, weights_only=True)
        return run, write_summary(run, "completed")


def weights(run):
    return torch.cat([p.detach().flatten() for p in run.module.model.parameters()])


def test_every_argument_of_lightning_can_be_set_or_is_refused_with_a_reason():
    options = {field.name for field in fields(TrainerOptions)}
    ours = {"fused", "compile", "threads"}
    assert options.isdisjoint(TrainerOptions.REFUSED)
    assert options - ours | TrainerOptions.REFUSED.keys() == inspect.signature(Trainer).parameters.keys()


@pytest.mark.parametrize("name", TrainerOptions.REFUSED)
def test_what_is_refused_is_refused_in_one_line(name):
    with pytest.raises(UserError, match=rf"^trainer\.{name} cannot be set: .+$"):
        checked(f"+trainer.{name}=1")


def timer(trainer):
    return next(c for c in trainer.callbacks if isinstance(c, Timer))


@pytest.mark.parametrize(
    ("option", "reached", "value"),
    [
        ("+trainer.limit_train_batches=4", lambda t: t.limit_train_batches, 4),
        ("+trainer.limit_val_batches=4", lambda t: t.limit_val_batches, 4),
        ("+trainer.fast_dev_run=true", lambda t: t.fast_dev_run, 1),
        ("+trainer.fast_dev_run=3", lambda t: t.max_steps, 3),
        ("+trainer.min_steps=5", lambda t: t.min_steps, 5),
        ("+trainer.max_epochs=2", lambda t: t.max_steps, 13),
        ("+trainer.max_time=00:00:10:00", lambda t: timer(t).time_remaining(), 600),
        ("+trainer.max_time={minutes: 2}", lambda t: timer(t).time_remaining(), 120),
        ("+trainer.detect_anomaly=true", lambda t: t._detect_anomaly, True),
        ("+trainer.deterministic=true", lambda t: torch.are_deterministic_algorithms_enabled(), True),
        ("+trainer.deterministic=warn", lambda t: torch.is_deterministic_algorithms_warn_only_enabled(), True),
        ("+trainer.benchmark=true", lambda t: torch.backends.cudnn.benchmark, True),
        ("+trainer.inference_mode=false", lambda t: t.validate_loop.inference_mode, False),
        ("trainer.log_every_n_steps=7", lambda t: t.log_every_n_steps, 7),
        ("trainer.accumulate_grad_batches=4", lambda t: t.val_check_interval, 40),
        ("trainer.profiler=advanced", lambda t: type(t.profiler).__name__, "AdvancedProfiler"),
        ("trainer.precision=bf16", lambda t: t.precision, "bf16-mixed"),
        ("trainer.precision=64", lambda t: t.precision, "64-true"),
    ],
)
def test_options_reach_lightning(option, reached, value, tmp_path):
    assert reached(trainer_of(tmp_path, option)) == value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["+trainer.fast_dev_run=0"], "trainer.fast_dev_run=0 must be true or false or at least 1"),
        (["+trainer.limit_val_batches=0"], "trainer.limit_val_batches=0 must be at least 1 or null"),
        (["+trainer.limit_train_batches=0.5"], "trainer.limit_train_batches=0.5 must be an integer or null"),
        (["+trainer.detect_anomaly=1"], "trainer.detect_anomaly=1 must be true or false"),
        (
            ["+trainer.deterministic=wran"],
            "trainer.deterministic=wran must be true or false or warn; did you mean trainer.deterministic=warn?",
        ),
        (["+trainer.max_epoch=3"], "there is no key trainer.max_epoch; did you mean trainer.max_epochs?"),
        (["+trainer.max_time=soon"], "trainer.max_time=soon must be DD:HH:MM:SS and above zero, as in 00:01:30:00"),
        (["+trainer.max_time=00:00:00:00"], "must be DD:HH:MM:SS and above zero"),
        (["+trainer.max_time={fortnights: 2}"], "trainer.max_time=fortnights must be one of weeks, days, hours"),
        (["+trainer.max_time={days: 0}"], "trainer.max_time=0 must be at least 1"),
        (["+trainer.min_steps=30"], "trainer.min_steps=30 must be at most trainer.max_steps=20"),
        (
            ["+trainer.limit_train_batches=5", "trainer.accumulate_grad_batches=2"],
            "must be a multiple of trainer",
        ),
    ],
)
def test_nonsense_is_refused_in_one_line(options, message, tmp_path):
    with pytest.raises(UserError) as error:
        trainer_of(tmp_path, *options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("limit", [None, 3, 1000])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize(("windows", "batch_size", "epochs"), [(100, 16, 2), (96, 16, 1), (5, 8, 3)])
def test_an_epoch_visits_every_window_once_or_as_many_batches_as_it_may(windows, batch_size, epochs, accumulate, limit):
    options = checked(f"+trainer.max_epochs={epochs}", f"trainer.accumulate_grad_batches={accumulate}").trainer
    options = TrainerOptions(**vars(options) | {"limit_train_batches": limit and limit // accumulate * accumulate})
    last = options.last_step(windows, batch_size)
    seen_in_epochs = epochs * min(windows, batch_size * (options.limit_train_batches or windows))
    assert last == next(step for step in count() if step * batch_size * accumulate >= seen_in_epochs)


def test_max_steps_ends_a_run_that_max_epochs_would_not():
    assert checked("+trainer.max_epochs=1000", "trainer.max_steps=20").trainer.last_step(10_000, 16) == 20


def test_a_run_in_epochs_of_a_few_batches_learns_what_one_stream_does(tmp_path):
    """The end of one of Lightning's epochs has no effect, because the order of the data is a function of the step."""
    whole, summary = fit(tmp_path / "whole")
    parts, again = fit(tmp_path / "parts", "+trainer.limit_train_batches=4")
    assert torch.equal(weights(whole), weights(parts))
    assert [h["step"] for h in summary["history"]] == [h["step"] for h in again["history"]] == [10, 20]
    assert parts.trainer.current_epoch == 5
    _, summary = fit(tmp_path / "short", "+trainer.limit_train_batches=4", "+trainer.max_epochs=3")
    assert summary["steps"] == 12


def test_options_that_only_look_change_no_weight(tmp_path):
    plain, _ = fit(tmp_path / "plain")
    options = ("+trainer.detect_anomaly=true", "+trainer.deterministic=true", "+trainer.inference_mode=false")
    watched, _ = fit(tmp_path / "watched", *options)
    assert torch.equal(weights(plain), weights(watched))


def test_validation_on_some_batches_is_their_mean(tmp_path):
    (tmp_path / "text.txt").write_text("Some words to read, again and again. " * 3000)
    options = ("+trainer.limit_val_batches=2", "trainer.max_steps=2", f"data.path={tmp_path}/text.txt")
    run, summary = fit(tmp_path / "run", *options)
    model, nats, targets = run.module.model.eval(), 0.0, 0
    batches = list(run.data.val_dataloader())
    assert len(batches) == 3
    for x, y in batches[:2]:
        logs = model(x).double().log_softmax(-1)  # (B, T, V)
        counted = y != IGNORE
        nats -= logs[counted].gather(1, y[counted][:, None]).sum().item()
        targets += int(counted.sum())
    assert summary["val_loss"] == pytest.approx(nats / targets, abs=1e-5)


def test_a_trial_run_is_one_step_with_all_its_callbacks(tmp_path):
    run, summary = fit(tmp_path, "callbacks=default", "+trainer.fast_dev_run=true", "trainer.accumulate_grad_batches=4")
    assert summary["steps"] == 1
    assert [h["step"] for h in summary["history"]] == [1]
    assert run.folder.best.exists()
    assert not list(tmp_path.glob("events*")), "Lightning must replace the logger by a logger that does nothing"


@pytest.mark.parametrize("added", [{}, {"filename": "mine"}, {"every_n_train_steps": 5, "save_top_k": -1}], ids=str)
def test_lightnings_own_checkpoints_are_saved_beside_ours(added, tmp_path):
    """Lightning refuses a ModelCheckpoint unless checkpointing is enabled; if it is, Lightning adds another one."""
    options = [f"+callbacks.mine.{key}={value}" for key, value in added.items()]
    run, _ = fit(tmp_path, "+callbacks.mine._target_=lightning.pytorch.callbacks.ModelCheckpoint", *options)
    (theirs,) = run.trainer.checkpoint_callbacks
    saved = {Path(file).resolve() for file in tmp_path.rglob("*.ckpt")}
    assert Path(theirs.best_model_path or theirs.last_model_path).resolve() in saved
    assert {run.folder.last, run.folder.best, run.folder.previous} < saved
    assert len(saved) == 3 + (4 if "save_top_k" in added else 1)


MINE = "+callbacks.mine._target_=lightning.pytorch.callbacks.ModelCheckpoint"
RANKED = (MINE, "+callbacks.mine.monitor=val/loss")


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ([*RANKED, "+callbacks.mine.every_n_train_steps=5"], "every_n_train_steps=5"),
        ([*RANKED, "+callbacks.mine.every_n_train_steps=10", "+callbacks.mine.save_top_k=3"], "every_n_train_steps=10"),
        (RANKED, ""),
        ([MINE, "+callbacks.mine.every_n_train_steps=5"], ""),
    ],
    ids=["between", "at validations", "after validations", "unranked"],
)
def test_a_checkpoint_that_is_ranked_by_the_previous_validation_is_warned_of(options, warned, tmp_path, caplog):
    run, _ = fit(tmp_path, *options, "trainer.max_steps=40")
    lines = [record.message for record in caplog.records if "ranks each file" in record.message]
    assert len(lines) == bool(warned)
    assert all("\n" not in line and f"ModelCheckpoint with {warned}: " in line for line in lines)
    (mine,) = run.trainer.checkpoint_callbacks
    losses = {int(entry["step"]): entry["val_loss"] for entry in run.history.history}
    for file, loss in mine.best_k_models.items():
        step = torch.load(file, weights_only=True)["global_step"]
        at_that_step = pytest.approx(loss.item(), abs=1e-6) == losses.get(step)
        assert at_that_step == (not warned), "what the warning says is true"


def test_a_time_interval_is_warned_of_too(caplog):
    warn_about_rankings([ModelCheckpoint(monitor="val/loss", train_time_interval=timedelta(minutes=5))])
    assert "train_time_interval=0:05:00: Lightning ranks each file by val/loss of the previous" in caplog.text


def test_without_one_there_are_only_ours(tmp_path):
    run, _ = fit(tmp_path)
    assert not run.trainer.checkpoint_callbacks
    assert len(list(tmp_path.rglob("*.ckpt"))) == 3


def test_a_run_ends_when_its_time_is_up(tmp_path):
    _, summary = fit(tmp_path, "+trainer.max_time={seconds: 1}", "trainer.max_steps=1000000")
    assert 0 < summary["steps"] < 1_000_000
    assert summary["history"][-1]["step"] == summary["steps"], "the last step validates"


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_a_resumed_run_in_another_precision_is_the_same_to_the_bit(precision, tmp_path):
    options = (f"trainer.precision={precision}", "schedule=constant")
    whole, summary = fit(tmp_path / "whole", *options)
    fit(tmp_path / "parts", *options, "trainer.max_steps=10")
    parts, again = fit(tmp_path / "parts", *options, resume=str(tmp_path / "parts"))
    assert weights(whole).dtype == {"bf16-true": torch.bfloat16, "64-true": torch.float64}[precision]
    assert torch.equal(weights(whole), weights(parts))
    assert [h["val_loss"] for h in summary["history"]] == [h["val_loss"] for h in again["history"]]
    assert summary["val_loss"] < summary["history"][0]["val_loss"]


def test_the_command_completes_a_trial_run(tmp_path):
    done = shell("train.py", *TINY, "+trainer.fast_dev_run=true", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert f"run saved to {tmp_path}/run" in done.stdout
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "completed"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("trainer.limit_val_batches=4", "trainer.limit_val_batches is not in conf/trainer; add it with +,"),
        ("trainer.logger=x", "trainer.logger cannot be set: loggers have their own group"),
    ],
)
def test_the_command_says_how_to_add_an_option(key, message):
    done = shell("train.py", key)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
