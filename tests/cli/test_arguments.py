"""The arguments that are removed from the command line or refused before Hydra reads it."""

import sys

import pytest

from headscope.cli.command import prepare_arguments, take_prompt
from headscope.errors import UserError
from headscope.sweep.resume import replace_overrides
from tests.conftest import ROOT


def test_new_overrides_replace_old_ones():
    before = ["-m", "position=rope,alibi", "trainer.max_steps=10", "+x=1"]
    assert replace_overrides(before, ["trainer.max_steps=20", "seed=2"]) == [
        "-m", "position=rope,alibi", "+x=1", "trainer.max_steps=20", "seed=2"
    ]  # fmt: skip


def on_the_command_line(monkeypatch, *typed, script="train.py"):
    monkeypatch.setattr(sys, "argv", [str(ROOT / script), *typed])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["--experiment=quickstart"], "experiment=quickstart"),  # argparse would expand it to --experimental-rerun
        (["--max_steps=10"], "max_steps=10"),
        (["--max-new-tokens=10"], "max_new_tokens=10"),
        (["--experiment", "quickstart"], "experiment=…"),
        (["-m", "seed=1,2", "--lr=1"], "lr=1"),
        (["-lr=1"], "lr=1"),
    ],
)
def test_a_key_takes_no_dashes(typed, meant, monkeypatch):
    on_the_command_line(monkeypatch, *typed)
    with pytest.raises(UserError, match=rf"there is no option -.*; keys have no dashes: {meant}$"):
        prepare_arguments(resume=True)


@pytest.mark.parametrize(
    ("typed", "prompt", "left"),
    [
        (["prompt=a, 'b' = ${c}"], "a, 'b' = ${c}", []),
        (["ROMEO:"], "ROMEO:", []),
        (["checkpoint=x", "to be, or not", "seed=2"], "to be, or not", ["checkpoint=x", "seed=2"]),
        (["prompt=a", "prompt=b"], "b", []),
        (["to", "be"], None, ["to", "be"]),
        (["--help"], None, ["--help"]),
        (["seed=1"], None, ["seed=1"]),
    ],
)
def test_a_prompt_needs_no_key(typed, prompt, left, monkeypatch):
    on_the_command_line(monkeypatch, *typed, script="generate.py")
    assert take_prompt() == prompt
    assert sys.argv[1:] == left
