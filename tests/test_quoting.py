"""Printed commands are quoted as a person would, and mean the same when they are pasted."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from headscope.config.overrides import as_text
from headscope.quoting import command_line


@pytest.mark.parametrize(
    ("recorded", "printed"),
    [
        ("data.path='/a/b.txt'", "data.path=/a/b.txt"),
        ("data.path='/a/my texts/b.txt'", "\"data.path='/a/my texts/b.txt'\""),
        ("name='10'", "name=10"),
        ("name='a, b'", "\"name='a, b'\""),
        ("name='null'", "\"name='null'\""),
        ("data.tokenizer='word'", "data.tokenizer=word"),
        ("+x='1e5'", "\"+x='1e5'\""),
        ("+x='True'", "\"+x='True'\""),
        ("name='it\\'s $5'", "'name='\"'\"'it\\'\"'\"'s $5'\"'\"''"),
        ("optimizer.betas=[0.9, 0.95]", "optimizer.betas='[0.9, 0.95]'"),
        ("optimizer.lr=tag(log, interval(1e-4, 1e-2))", "optimizer.lr='tag(log, interval(1e-4, 1e-2))'"),
        ("position=rope,none", "position=rope,none"),
        ("~experiment", "'~experiment'"),
        ("name=", "name="),
        ("-m", "-m"),
    ],
)
def test_each_argument_has_the_fewest_quotes_and_keeps_its_meaning(recorded, printed):
    assert command_line([recorded]) == printed
    [typed] = as_text(["-m", *shlex.split(printed)])[1:]
    if "=" in typed:
        values = [OverridesParser.create().parse_override(o).value() for o in (typed, recorded)]
        ours, theirs = (repr(getattr(value, "text", value)) for value in values)
        assert ours == theirs
