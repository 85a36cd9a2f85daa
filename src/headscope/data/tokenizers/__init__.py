"""Tokenizers: text to ids and back."""

from headscope.data.tokenizers.base import EOS, PAD, Tokenizer, UnknownToken
from headscope.data.tokenizers.bytepair import BytePairTokenizer
from headscope.data.tokenizers.simple import CharTokenizer, LineTokenizer, WordTokenizer

#: The values of `data.tokenizer`. A new tokenizer needs one row here; checkpoints find its class by name.
TOKENIZERS: dict[str, type[Tokenizer]] = {"char": CharTokenizer, "word": WordTokenizer, "bpe": BytePairTokenizer}

__all__ = ["EOS", "PAD", "TOKENIZERS", "BytePairTokenizer", "CharTokenizer", "LineTokenizer", "Tokenizer"]
__all__ += ["UnknownToken", "WordTokenizer"]
