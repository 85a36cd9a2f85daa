"""Adding a tokenizer takes a class and one row, and a checkpoint stores the tokenizer."""

import sys
from types import ModuleType
from typing import get_args

import pytest

from headscope.checkpoint.format import constructor, describe
from headscope.data.corpus import TokenizerName
from headscope.data.textfiles import TextFiles
from headscope.data.tokenizers import TOKENIZERS, BytePairTokenizer, CharTokenizer, LineTokenizer, WordTokenizer
from headscope.data.tokenizers.base import Tokenizer


class LowerCase(CharTokenizer):
    """Converts text to lower case before splitting it into characters."""

    __module__ = "headscope.data.tokenizers.lowercase"  # as if this class were defined in that folder

    @classmethod
    def of(cls, pieces, vocab_size):
        return super().of((piece.lower() for piece in pieces), vocab_size)

    def encode(self, text):
        return super().encode(text.lower())


def test_one_row_adds_a_tokenizer(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, LowerCase.__module__, ModuleType("lowercase"))
    monkeypatch.setitem(TOKENIZERS, "lowercase", LowerCase)
    text = "To be, or not to BE. " * 20
    (tmp_path / "text.txt").write_text(text)
    made = TextFiles(str(tmp_path / "text.txt"), "lowercase").load(8).tokenizer
    again = constructor(describe(made), Tokenizer, "tokenizer")()
    assert type(again) is LowerCase
    assert again.decode(again.encode(text)) == text.lower()


def test_a_config_accepts_the_registered_names():
    assert get_args(TokenizerName) == tuple(TOKENIZERS)


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        (CharTokenizer, "characters"),
        (LineTokenizer, "characters"),
        (WordTokenizer, "words"),
        (BytePairTokenizer, "byte pairs"),
        (Tokenizer, None),
        (LowerCase, None),  # LowerCase splits text differently than its base class
    ],
)
def test_a_class_does_not_inherit_the_rule_of_splitting(kind, rule):
    assert kind.split_rule == rule
