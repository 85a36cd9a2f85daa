"""Tokenizers with a simple rule, which splits text into characters or words."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from headscope.data.tokenizers.base import EOS, Tokenizer

CODES = 0x110000  #: number of code points in Unicode
LINE_END = re.compile(r"\r\n|\n|\r")  #: other Unicode line separators are ordinary characters
BORDER = "\n"  #: comes before and after every line of a `LineTokenizer`; no line contains it


class CharTokenizer(Tokenizer):
    """Every character is a token."""

    unit = "character"
    split_rule = "characters"

    def __init__(self, *, vocab: Sequence[str]) -> None:
        super().__init__(vocab=vocab)
        if any(len(token) != 1 for token in self.vocab):
            raise ValueError("each token must be a single character")

    @classmethod
    def of(cls, pieces: Iterable[str], vocab_size: int) -> Self:
        seen = torch.zeros(CODES, dtype=torch.bool)
        for piece in pieces:
            seen[code_points(piece)] = True
        return cls(vocab=[chr(c) for c in seen.nonzero().flatten().tolist()])

    @cached_property
    def _table(self) -> Tensor:
        """The id of each code point, (CODES,); -1 for code points that are not in the vocabulary."""
        table = torch.full((CODES,), -1)
        table[[ord(token) for token in self.vocab]] = torch.arange(len(self))
        return table

    def encode(self, text: str) -> Tensor:
        ids = self._table[code_points(text)]
        if (ids < 0).any():
            raise self._unknown(text[int((ids < 0).int().argmax())])
        return ids

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        return (self.vocab[int(i)] for i in ids)


def code_points(text: str) -> Tensor:
    """Returns the code point of each character, (N,) int64."""
    if not text:
        return torch.empty(0, dtype=torch.int64)
    # Python decodes invalid UTF-8 in arguments as lone surrogates, which are characters outside the vocabulary.
    return torch.frombuffer(bytearray(text, "utf-32-le", "surrogatepass"), dtype=torch.int32).long()


class LineTokenizer(CharTokenizer):
    """Every character is a token, and each text is one line between two newlines."""

    split_rule = "characters"

    def __init__(self, *, vocab: Sequence[str]) -> None:
        super().__init__(vocab=vocab)
        if BORDER not in self._id:
            raise ValueError("the vocabulary of a line tokenizer must contain a newline")

    @property
    def start(self) -> int:
        return self._id[BORDER]

    end = start

    def examples(self, text: str) -> list[Tensor]:
        """Returns one example per line that is not blank, each between two newlines."""
        return [self.encode(f"{BORDER}{line}{BORDER}") for line in LINE_END.split(text) if line.strip()]


class WordTokenizer(Tokenizer):
    """Words are separated by whitespace, and each newline is also a word."""

    unit = "word"
    split_rule = "words"

    @classmethod
    def of(cls, pieces: Iterable[str], vocab_size: int) -> Self:
        return cls(vocab=sorted({word for piece in pieces for word in cls.split(piece)}))

    @staticmethod
    def split(text: str) -> list[str]:
        """Returns the words of a text, including words that are not in the vocabulary."""
        return re.findall(r"\n|\S+", text)

    def encode(self, text: str) -> Tensor:
        try:
            return torch.tensor([self._id[word] for word in self.split(text)], dtype=torch.int64)
        except KeyError as e:
            raise self._unknown(e.args[0]) from e

    def examples(self, text: str) -> list[Tensor]:
        """Returns one example per sentence, with the end token, if the vocabulary was built from sentences.

        Such a vocabulary has a padding token and an end token; each line of the text is then a sentence.
        """
        if self.pad is None or self.end is None:
            return super().examples(text)
        return [self.encode(f"{line} {EOS}") for line in text.splitlines() if line.strip()]

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yields each word, with a space before it unless it is the first word of its line. Newlines get no space."""
        before = "\n"
        for i in ids:
            word = self.vocab[int(i)]
            yield word if "\n" in (before, word) else f" {word}"
            before = word
