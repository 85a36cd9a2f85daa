"""Text to ids and back.

Shapes: N tokens, V vocabulary.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from headscope.errors import UserError

PAD, EOS = "<pad>", "<eos>"
CODES = 0x110000  #: code points there are
PIECE = 1 << 20  #: characters that are tokenised at a time


class Tokenizer:
    """A vocabulary, and the rule that cuts text into its pieces.

    Args:
        vocab: every token once; a token's id is its place.

    Raises:
        ValueError: a token that is no text, or stands twice.
    """

    unit = "token"

    def __init__(self, *, vocab: Sequence[str]) -> None:
        self.vocab = list(vocab)
        self._id = {token: i for i, token in enumerate(self.vocab)}
        if len(self._id) != len(self.vocab) or not all(isinstance(token, str) for token in self.vocab):
            raise ValueError("a vocabulary is a list of different texts")

    @classmethod
    def ready(cls) -> None:
        """Called before any work.

        Raises:
            UserError: a library that this kind needs is not installed.
        """

    @classmethod
    def of(cls, pieces: Iterable[str], vocab_size: int) -> Self:
        """A tokenizer for a text; the vocabulary in an order that the text alone decides.

        Args:
            pieces: the text, cut between tokens.
            vocab_size: for kinds that choose how many tokens they have.
        """
        raise NotImplementedError

    def encode(self, text: str) -> Tensor:
        """Ids (N,), int64.

        Raises:
            UserError: a token that the vocabulary lacks, named.
        """
        raise NotImplementedError

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""
        raise NotImplementedError

    def show(self, i: int) -> str:
        """What a token writes, for labels."""
        return self.vocab[i]

    @property
    def end(self) -> int | None:
        """The id of the token that ends a text, if there is one."""
        return self._id.get(EOS)

    @property
    def arguments(self) -> dict[str, Any]:
        """What the constructor takes to make this again: plain data."""
        return {"vocab": self.vocab}

    def _lacks(self, token: str) -> UserError:
        sample = "such as " + " ".join(repr(t) for t in self.vocab[-5:])
        few = " ".join(self.vocab) if len(self.vocab) <= 12 else f"{len(self.vocab)} of them, {sample}"
        return UserError(f"{self.unit} {token} is not in the model's vocabulary ({few}); write the text without it")

    def __len__(self) -> int:
        return len(self.vocab)


class CharTokenizer(Tokenizer):
    """Every character is a token."""

    unit = "character"

    def __init__(self, *, vocab: Sequence[str]) -> None:
        super().__init__(vocab=vocab)
        if any(len(token) != 1 for token in self.vocab):
            raise ValueError("a character is one")

    @classmethod
    def of(cls, pieces: Iterable[str], vocab_size: int) -> Self:
        seen = torch.zeros(CODES, dtype=torch.bool)
        for piece in pieces:
            seen[code_points(piece)] = True
        return cls(vocab=[chr(c) for c in seen.nonzero().flatten().tolist()])

    @cached_property
    def _table(self) -> Tensor:
        """(CODES,): the id of a code point, -1 where there is none."""
        table = torch.full((CODES,), -1)
        table[[ord(token) for token in self.vocab]] = torch.arange(len(self))
        return table

    def encode(self, text: str) -> Tensor:
        ids = self._table[code_points(text)]
        if (ids < 0).any():
            raise self._lacks(repr(text[int((ids < 0).int().argmax())]))
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.vocab[int(i)] for i in ids)


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


def code_points(text: str) -> Tensor:
    """(N,) int64."""
    if not text:
        return torch.empty(0, dtype=torch.int64)
    return torch.frombuffer(bytearray(text, "utf-32-le"), dtype=torch.int32).long()


def between_tokens(chunks: Iterable[str]) -> Iterator[str]:
    """The same text in pieces that end between two tokens of any kind: at a line's end, or else before a space."""
    rest = ""
    for chunk in chunks:
        rest += chunk
        end = rest.rfind("\n") + 1
        end = end if end > 0 else rest.rfind(" ")
        end = end if end > 0 else len(rest)
        yield rest[:end]
        rest = rest[end:]
    yield rest


def tokenize(text: str, by: Tokenizer | type[Tokenizer], vocab_size: int = 1024) -> tuple[Tokenizer, Tensor]:
    """A tokenizer and a text's ids (N,), in the narrowest integer type that holds the vocabulary.

    Args:
        text: anything.
        by: a tokenizer, or a kind of one, which is made of all of the text.
        vocab_size: see `Tokenizer.of`.

    Raises:
        UserError: a token that the given tokenizer lacks.
    """
    pieces = list(between_tokens(text[i : i + PIECE] for i in range(0, len(text), PIECE)))
    tokenizer = by.of(pieces, vocab_size) if isinstance(by, type) else by
    dtype = narrowest(len(tokenizer))
    return tokenizer, torch.cat([tokenizer.encode(piece).to(dtype) for piece in pieces])


def narrowest(vocab_size: int) -> torch.dtype:
    """The smallest integer type that holds the ids of a vocabulary."""
    return next((t for t in (torch.uint8, torch.int16) if vocab_size <= torch.iinfo(t).max + 1), torch.int32)
