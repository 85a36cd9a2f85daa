"""Which keys may change when a run is resumed: every key either may change or is refused."""

import json
import shutil

import pytest
import torch

from headscope.config.overrides import changes, flat, may_change
from headscope.errors import UserError
from headscope.run.folder import RunFolder
from tests.cli.test_commands import refused
from tests.config.test_schema import GROUPS, composed
from tests.conftest import fit, shell

TINY = (
    *("data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16"),
    *("trainer.max_steps=20", "trainer.val_check_interval=10", "trainer.threads=1", "callbacks=none"),
)


def every_key():
    from omegaconf import OmegaConf

    found = {}
    for option in GROUPS:
        needs = ["data.path=README.md"] if option.stem == "text" else []
        found |= flat(OmegaConf.to_container(composed(f"{option.parent}={option.stem}", *needs), resolve=True))
    return found


def test_every_key_of_every_option_is_decided():
    keys = every_key()
    assert len(keys) > 60
    for key, value in keys.items():
        assert isinstance(may_change(key), bool)
        before, now = {key: "another"}, {key: value}
        value = value.rpartition(".")[2] if key.endswith("_target_") else value
        if key == "paths.run_dir":
            assert changes(before, now, [key]) == {}
        elif may_change(key):
            assert changes(before, now, [key]) == {key: ("another", value)}
        else:
            with pytest.raises(UserError, match="start a new run from its weights: init="):
                changes(before, now, [key])
        assert changes(now, now, [key]) == {}


def test_a_key_of_a_newer_version_is_a_change_only_if_it_was_typed():
    assert changes({}, {"model.feedforward": "gelu"}, []) == {}
    with pytest.raises(UserError, match="cannot change from unset"):
        changes({}, {"model.feedforward": "gelu"}, ["model"])


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("short") / "run"
    done = shell("train.py", *TINY, "schedule=constant", "logger=none", f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


def groups(folder):
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return saved["optimizer_states"][0]["param_groups"]


def test_the_optimizer_takes_what_the_resume_asks_for(short_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(short_run, folder)
    new = ("optimizer.lr=0.05", "optimizer.weight_decay=0.3", "optimizer.betas=[0.8,0.9]", "batch_size=8")
    done = shell("train.py", f"resume={folder}", "trainer.max_steps=30", *new)
    assert done.returncode == 0, done.stderr
    matrices, vectors = groups(folder)
    assert matrices["lr"] == vectors["lr"] == 0.05
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.3, 0.0)
    assert list(matrices["betas"]) == [0.8, 0.9]
    summary = json.loads((folder / "summary.json").read_text())
    assert {(c["step"], c["key"], c["after"]) for c in summary["changes"]} == {
        (20, "trainer.max_steps", "30"),
        (20, "optimizer.lr", "0.05"),
        (20, "optimizer.weight_decay", "0.3"),
        (20, "optimizer.betas", "[0.8, 0.9]"),
        (20, "batch_size", "8"),
    }


@pytest.mark.parametrize("override", ["seed=2", "position=none", "optimizer._target_=torch.optim.SGD"])
def test_what_cannot_take_effect_is_refused_and_changes_nothing(short_run, override):
    before = {p: p.read_bytes() for p in short_run.rglob("*") if p.is_file() and p.name != ".lock"}
    line = refused(shell("train.py", f"resume={short_run}", "trainer.max_steps=30", override))
    assert "init=" in line or "must be a subclass of" in line
    assert {p: p.read_bytes() for p in short_run.rglob("*") if p.is_file() and p.name != ".lock"} == before


def test_fewer_steps_than_were_done_are_refused(short_run):
    line = refused(shell("train.py", f"resume={short_run}", "trainer.max_steps=10"))
    assert f"the run in {short_run} has already done 20 steps; set trainer.max_steps higher" in line


def test_a_completed_run_is_not_relabelled(short_run):
    line = refused(shell("train.py", f"resume={short_run}", "optimizer.lr=0.05"))
    assert "has completed; add trainer.max_steps=… to train further" in line
    assert "0.05" not in RunFolder(short_run).overrides_file.read_text()


def test_an_unchanged_resume_restores_the_learning_rate_bit_for_bit():
    trainer, module = fit(steps=20)
    group = trainer.optimizers[0].param_groups[0]
    before = dict(group)
    module.on_train_start()
    assert {k: v for k, v in group.items() if k != "params"} == {k: v for k, v in before.items() if k != "params"}


def test_a_class_that_moved_to_another_module_is_the_same():
    moved = {"data._target_": "headscope.data.sources.PyDoc"}, {"data._target_": "headscope.data.pydoc.PyDoc"}
    assert changes(*moved, []) == {}
    other = {"model._target_": "headscope.model.mlp.A"}, {"model._target_": "headscope.model.mlp.B"}
    with pytest.raises(UserError, match="cannot change from A to B"):
        changes(*other, [])
