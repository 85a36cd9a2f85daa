"""A run that a limit ended names the limit, and the override that it names continues the run."""

import json
import shlex

import pytest

from headscope.errors import UserError
from headscope.run.limits import check_completed
from tests.inside import train

TINY = (
    *("data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16"),
    *("trainer=cpu", "trainer.max_steps=12", "trainer.val_check_interval=2", "trainer.threads=1"),
    *("callbacks=none", "logger=none"),
)
STOPPING = (
    "+callbacks.{0}._target_=lightning.pytorch.callbacks.EarlyStopping",
    *("+callbacks.{0}.monitor=val/loss", "+callbacks.{0}.min_delta=100", "+callbacks.{0}.patience=1"),
)


def stopping(name):
    return [option.format(name) for option in STOPPING]


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


ENDED = {
    "max_time": (
        ["+trainer.max_time=00:00:00:01", "trainer.max_steps=1000000"],
        *("trainer.max_time", "trainer.max_time has elapsed", "+trainer.max_time=…"),
        ["+trainer.max_time=00:01:00:00", "trainer.max_steps=1"],
    ),
    "max_epochs": (
        ["+trainer.max_epochs=2", "+trainer.limit_train_batches=2"],
        *("trainer.max_epochs", "trainer.max_epochs is reached", "+trainer.max_epochs=…"),
        ["+trainer.max_epochs=100"],
    ),
    "early_stopping": (
        ["callbacks=early_stopping", "callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=100"],
        "callbacks.early_stopping",
        "callbacks.early_stopping stopped it, because the loss no longer improved",
        *("callbacks.early_stopping=null", ["callbacks.early_stopping=null"]),
    ),
    "a callback of the user": (
        [*stopping("slow"), "callbacks.slow.patience=100", "+callbacks.slow.mode=max", *stopping("mine")],
        *("callbacks.mine", "callbacks.mine stopped it, because the loss no longer improved", "callbacks.mine=null"),
        ["callbacks.mine=null"],
    ),
    "a trial run": (
        ["+trainer.fast_dev_run=3"],
        "trainer.fast_dev_run",
        *("trainer.fast_dev_run allows no more steps", "+trainer.fast_dev_run=false", ["+trainer.fast_dev_run=false"]),
    ),
}


@pytest.mark.parametrize("name", ENDED)
def test_a_limit_is_named_with_the_override_that_continues_the_run(name, tmp_path):
    options, limit, reason, advice, continuing = ENDED[name]
    folder = tmp_path / "run"
    code, printed = train(*TINY, *options, f"hydra.run.dir={folder}")
    assert code == 0, printed
    steps = summary(folder)["steps"]
    assert summary(folder)["ended_by"] == limit
    assert f": {reason}; continue with: python train.py resume={folder} {advice}" in printed
    code, printed = train(f"resume={folder}")
    assert (code, f"{folder} has completed, because {reason}; add {advice} to train further" in printed) == (0, True)
    if limit.startswith("trainer."):
        code, printed = train(f"resume={folder}", "optimizer.lr=1e-4")
        assert (code, f"because {reason}; add {advice} to train further with optimizer.lr" in printed) == (2, True)
    if "trainer.max_steps=1" in continuing:  # so many steps that only a second ends them
        continuing = [*continuing[:-1], f"trainer.max_steps={steps + 4}"]
    code, printed = train(f"resume={folder}", *continuing)
    assert code == 0, printed
    assert summary(folder)["steps"] > steps, "the advice has an effect"
    assert summary(folder)["ended_by"] == "trainer.max_steps"


def test_all_steps_are_a_limit_that_is_not_worth_a_line(tmp_path):
    code, printed = train(*TINY, "+trainer.max_time=00:01:00:00", f"hydra.run.dir={tmp_path}/run")
    assert code == 0
    assert "ended before" not in printed
    assert summary(tmp_path / "run")["ended_by"] == "trainer.max_steps"


@pytest.mark.parametrize("key", ["trainer.max_time", "trainer.max_steps", "callbacks.early_stopping", "callbacks"])
@pytest.mark.parametrize("typed", ["seed=1", "trainer.max_tim=1", "callback=none", "trainer.max_steps_=3"])
def test_another_override_continues_nothing(key, typed):
    with pytest.raises(UserError, match=f"to train further with {shlex.quote(typed)}$"):
        check_completed("R", {"ended_by": key}, [typed])


def test_a_run_of_an_earlier_version_was_ended_by_its_steps():
    assert check_completed("R", {}, []) == "R has completed; add trainer.max_steps=… to train further"
    assert not check_completed("R", {}, ["trainer.max_steps=5"])
