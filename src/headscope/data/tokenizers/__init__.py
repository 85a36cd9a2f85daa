"""Text to ids and back: one file per class of tokenizer."""

from headscope.data.tokenizers.base import EOS, PAD, Tokenizer, UnknownToken
from headscope.data.tokenizers.bytepair import BytePairTokenizer
from headscope.data.tokenizers.char import CharTokenizer
from headscope.data.tokenizers.line import LineTokenizer
from headscope.data.tokenizers.word import WordTokenizer

#: The values of `data.tokenizer`. A new tokenizer needs one row here; checkpoints find its class by name.
TOKENIZERS: dict[str, type[Tokenizer]] = {"char": CharTokenizer, "word": WordTokenizer, "bpe": BytePairTokenizer}

__all__ = ["EOS", "PAD", "TOKENIZERS", "BytePairTokenizer", "CharTokenizer", "LineTokenizer", "Tokenizer"]
__all__ += ["UnknownToken", "WordTokenizer"]
