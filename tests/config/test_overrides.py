"""Paths and names reach Hydra as they were typed."""

import pytest
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from headscope.config.overrides import FLAGS, TEXTS, as_text

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


def test_hydras_own_options_are_known():
    """Hydra's parser is private, so this test fails first if Hydra changes it."""
    options = {o for action in get_args_parser()._actions for o in action.option_strings}
    assert options - {"--experimental-rerun"} == FLAGS
