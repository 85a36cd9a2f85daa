"""Words as tokens.

Shapes: N tokens.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Self

import torch
from torch import Tensor

from headscope.data.tokenizers.base import Tokenizer


class WordTokenizer(Tokenizer):
    """Words are separated by white space; a newline is also a word."""

    unit = "word"
    split_rule = "words"

    @classmethod
    def of(cls, pieces: Iterable[str], vocab_size: int) -> Self:
        return cls(vocab=sorted({word for piece in pieces for word in cls.split(piece)}))

    @staticmethod
    def split(text: str) -> list[str]:
        """Returns the words of a text, whatever the vocabulary."""
        return re.findall(r"\n|\S+", text)

    def encode(self, text: str) -> Tensor:
        try:
            return torch.tensor([self._id[word] for word in self.split(text)], dtype=torch.int64)
        except KeyError as e:
            raise self._unknown(e.args[0]) from e

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yields words with a space before each, except at the start of a line and before a newline."""
        before = "\n"
        for i in ids:
            word = self.vocab[int(i)]
            yield word if "\n" in (before, word) else f" {word}"
            before = word
