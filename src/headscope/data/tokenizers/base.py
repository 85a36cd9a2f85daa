"""What every tokenizer does: text to ids and back.

Shapes: N tokens, V vocabulary.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from headscope.errors import UserError

PAD, EOS = "<pad>", "<eos>"
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
