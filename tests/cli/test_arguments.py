"""Paths, names and prompts reach the run as they were typed."""

import sys

import pytest
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from hypothesis import given
from hypothesis import strategies as st

from headscope.cli.arguments import FLAGS, TEXTS, as_text, for_hydra, take_prompt
from headscope.cli.messages import explain
from headscope.cli.resume import merged
from headscope.errors import UserError
from tests.conftest import ROOT

AWKWARD = [
    "my file, v2=final.txt",
    "2024",
    "run, lr=1e-3 (new)",
    "it's",
    "[a]",
    "{b}",
    "a:b",
    "x y",
    "no\\slash\\",
    "1e5",
]


def parsed(argument):
    override = OverridesParser.create().parse_override(argument)
    return override.get_key_element(), override.value()


@pytest.mark.parametrize("key", sorted(TEXTS - {"data.path", "init"}))
@pytest.mark.parametrize("text", AWKWARD)
def test_text_is_taken_as_typed(key, text):
    (argument,) = as_text([f"{key}={text}"])
    assert parsed(argument) == (key, text)


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1))
def test_any_name_is_taken_as_typed(text):
    (argument,) = as_text([f"name={text}"])
    if text not in ("null", "???") and not (len(text) > 1 and text[0] == text[-1] and text[0] in "'\""):
        assert parsed(argument) == ("name", text)


def test_what_is_no_text_or_was_quoted_stays_as_it_is():
    same = ["-m", "position=rope,alibi", "checkpoint=null", "name='a, b'", "optimizer.betas=[0.9,0.99]", "~sweep"]
    assert as_text(same) == same


def test_a_home_folder_is_expanded_and_starting_points_are_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert as_text(["checkpoint=~/x"]) == [f"checkpoint='{tmp_path}/x'"]
    assert as_text(["data.path=a, b.txt", "+init=c"]) == [f"data.path='{tmp_path}/a, b.txt'", f"+init='{tmp_path}/c'"]


def test_in_a_sweep_a_comma_separates_values_but_not_of_its_folder():
    swept = ["-m", "data.path=a.txt,b.txt", "hydra.sweep.dir=out, 2"]
    assert as_text(swept) == ["-m", "data.path=a.txt,b.txt", "hydra.sweep.dir='out, 2'"]


def test_new_overrides_replace_old_ones():
    before = ["-m", "position=rope,alibi", "trainer.max_steps=10", "+x=1"]
    assert merged(before, ["trainer.max_steps=20", "seed=2"]) == [
        "-m", "position=rope,alibi", "+x=1", "trainer.max_steps=20", "seed=2"
    ]  # fmt: skip


def on_the_command_line(monkeypatch, *typed, script="train.py"):
    monkeypatch.setattr(sys, "argv", [str(ROOT / script), *typed])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["--experiment=quickstart"], "experiment=quickstart"),  # argparse takes it for --experimental-rerun
        (["--max_steps=10"], "max_steps=10"),
        (["--max-new-tokens=10"], "max_new_tokens=10"),
        (["--experiment", "quickstart"], "experiment=…"),
        (["-m", "seed=1,2", "--lr=1"], "lr=1"),
        (["-lr=1"], "lr=1"),
    ],
)
def test_a_key_takes_no_dashes(typed, meant, monkeypatch):
    on_the_command_line(monkeypatch, *typed)
    with pytest.raises(UserError, match=rf"there is no option -.*; keys take no dashes: {meant}$"):
        for_hydra(resume=True)


def test_hydras_own_options_are_known():
    """Hydra's parser is private to it: this fails first if it changes."""
    options = {o for action in get_args_parser()._actions for o in action.option_strings}
    assert options - {"--experimental-rerun"} == FLAGS


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


@pytest.mark.parametrize(
    ("script", "typed", "said"),
    [
        ("train.py", "quickstart", "'quickstart' has no value; write experiment=quickstart"),
        (
            "train.py",
            "none",
            "'none' has no value; write callbacks=none or logger=none or position=none or qk_norm=none",
        ),
        ("train.py", "fast", "'fast' has no value; write KEY=VALUE, as --help shows"),
        ("generate.py", "to", "'to' has no key; put quotes around a whole prompt: prompt='to …'"),
    ],
)
def test_a_word_alone_is_told_its_key(script, typed, said, monkeypatch):
    on_the_command_line(monkeypatch, typed, script=script)
    with pytest.raises(OverrideParseException) as error:
        OverridesParser.create().parse_overrides([typed])
    assert explain(error.value) == said
