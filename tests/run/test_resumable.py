"""A `last.ckpt` with a state of training that does not fit is refused before the first step."""

import shutil

import pytest
import torch

from tests.inside import train


def resumed_with(one_step, folder, change):
    """Resumes a copy of the run whose checkpoints were changed; returns the exit code and the text."""
    shutil.copytree(one_step, folder)
    for path in [*(folder / "checkpoints").glob("*.ckpt")]:
        if path.name == "best.ckpt":
            continue
        content = torch.load(path, weights_only=True)
        change(content)
        torch.save(content, path)
    return train(f"resume={folder}", "trainer.max_steps=3")


def shrink(content):
    for state in content["optimizer_states"][0]["state"].values():
        state["exp_avg"] = torch.zeros(1, 1)


def scalar(content):
    for state in content["optimizer_states"][0]["state"].values():
        state["exp_avg"] = torch.zeros(())


def repeat(content):
    for state in content["optimizer_states"][0]["state"].values():
        state["exp_avg_sq"] = torch.zeros(()).expand(state["exp_avg_sq"].shape)


def textual(content):
    for state in content["optimizer_states"][0]["state"].values():
        state["exp_avg"] = "zeros"


@pytest.mark.parametrize("change", [shrink, scalar, repeat, textual])
def test_a_state_of_the_optimizer_that_does_not_fit_is_refused_before_the_first_step(one_step, tmp_path, change):
    code, printed = resumed_with(one_step, tmp_path / "run", change)
    assert code in (2, 3)
    assert "of the optimizer in last.ckpt does not fit the model" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(lr_schedulers=[{"other": 1}]),
        lambda content: content.update(callbacks=5),
        lambda content: content.pop("loops"),
        lambda content: content.update(optimizer_states=[]),
    ],
)
def test_a_missing_or_foreign_entry_is_a_damaged_checkpoint(one_step, tmp_path, change):
    code, printed = resumed_with(one_step, tmp_path / "run", change)
    assert code == 2
    assert "cannot be read; restore one of them" in printed
