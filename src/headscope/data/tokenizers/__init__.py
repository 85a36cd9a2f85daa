"""Text to ids and back: one class and one file per kind of tokenizer."""

from headscope.data.tokenizers.base import EOS, PAD, Tokenizer, UnknownToken
from headscope.data.tokenizers.bytepair import BytePairTokenizer
from headscope.data.tokenizers.char import CharTokenizer
from headscope.data.tokenizers.line import LineTokenizer
from headscope.data.tokenizers.word import WordTokenizer

__all__ = [
    "EOS",
    "PAD",
    "BytePairTokenizer",
    "CharTokenizer",
    "LineTokenizer",
    "Tokenizer",
    "UnknownToken",
    "WordTokenizer",
]
