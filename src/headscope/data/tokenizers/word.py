"""Words as tokens.

Shapes: N tokens.
"""

import re
from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor

from headscope.data.tokenizers.base import Tokenizer


class WordTokenizer(Tokenizer):
    """What stands between white space is a word; a line's end is a word of its own."""

    unit = "word"

    @classmethod
    def of(cls, pieces: Iterable[str], vocab_size: int) -> Self:
        return cls(vocab=sorted({word for piece in pieces for word in cls.split(piece)}))

    @staticmethod
    def split(text: str) -> list[str]:
        """The words of a text, whatever the vocabulary."""
        return re.findall(r"\n|\S+", text)

    def encode(self, text: str) -> Tensor:
        try:
            return torch.tensor([self._id[word] for word in self.split(text)], dtype=torch.int64)
        except KeyError as e:
            raise self._lacks(str(e)) from e

    def decode(self, ids: Iterable[int]) -> str:
        return re.sub(r" ?\n ?", "\n", " ".join(self.vocab[int(i)] for i in ids))
