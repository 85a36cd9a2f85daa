"""A printed command is short, and means the same when it is typed."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from headscope.config.overrides import as_text
from headscope.shell import shell_command


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["data.path='/a/my file.txt'", "seed=1,2,3"], "'data.path=/a/my file.txt' seed=1,2,3"),
        (["name='run'", "hydra.run.dir='out'"], "name=run hydra.run.dir=out"),
        (["checkpoint='a, b.ckpt'"], "\"checkpoint='a, b.ckpt'\""),
        (["name='null'", "init='???'"], "\"name='null'\" \"init='???'\""),
        (["name='it\\'s'"], "'name='\"'\"'it\\'\"'\"'s'\"'\"''"),
        (["optimizer.betas=[0.9,0.99]", "~callbacks.samples"], "'optimizer.betas=[0.9,0.99]' '~callbacks.samples'"),
        (["prompt=it's"], '"prompt=it\'s"'),
        (["name='$HOME'"], "'name=$HOME'"),
    ],
)
def test_words_are_quoted_as_a_person_would(words, printed):
    assert shell_command(words) == printed


def values(words):
    parsed = OverridesParser.create().parse_overrides(as_text(words))
    return [(o.get_key_element(), o.value()) for o in parsed]


texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.sampled_from("'\"\\ ,$!`~{}[]"), max_size=9
)


@given(st.lists(st.tuples(st.sampled_from(["name", "checkpoint", "out"]), texts), max_size=3))
def test_any_name_is_the_same_when_its_printed_command_is_typed(typed):
    words = as_text([f"{key}={text}" for key, text in typed if "${" not in text])
    printed = shell_command(words)
    assert values(shlex.split(printed)) == values(words)
