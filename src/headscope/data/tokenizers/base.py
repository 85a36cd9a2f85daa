"""The base class of tokenizers: text to ids and back.

Shapes: N tokens, V vocabulary.
"""

import re
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from headscope.errors import UserError

PAD, EOS = "<pad>", "<eos>"
PIECE = 1 << 20  #: characters tokenized at a time


class UnknownToken(UserError):
    """A text has a token that is not in the vocabulary."""


class Tokenizer:
    """A vocabulary, and a rule that splits text into its tokens. The id of a token is its index in `vocab`.

    `split_rule` names the rule for the page of `show=page`, whose JavaScript splits text by "characters", "words" or
    "byte pairs". None, the default, makes the page keep its texts as they are. A subclass does not inherit the rule,
    because it may split differently.
    """

    unit = "token"
    split_rule: ClassVar[str | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.split_rule = vars(cls).get("split_rule")

    def __init__(self, *, vocab: Sequence[str]) -> None:
        self.vocab = list(vocab)
        self._id = {token: i for i, token in enumerate(self.vocab)}
        if len(self._id) != len(self.vocab) or not all(isinstance(token, str) for token in self.vocab):
            raise ValueError("a vocabulary is a list of different strings")

    @classmethod
    def ready(cls) -> None:
        """Raises a `UserError` if a library of this class is not installed; called before a text is read."""

    @classmethod
    def of(cls, pieces: Iterable[str], vocab_size: int) -> Self:
        """Builds a tokenizer for a text, which is cut between tokens; its vocabulary depends on the text alone.

        `vocab_size` is the largest vocabulary, for classes that choose their tokens.
        """
        raise NotImplementedError

    def encode(self, text: str) -> Tensor:
        """Returns ids (N,), int64; raises `UnknownToken` for a token that is not in the vocabulary."""
        raise NotImplementedError

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yields the text of each id as soon as the id arrives; the joined pieces equal `decode(ids)`.

        A piece is empty while a character is incomplete. One more piece may follow the last id.
        """
        raise NotImplementedError

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """Returns the text of ids: a list, a tensor (N,) as `encode` returns it, or a batch of one, (1, N)."""
        return "".join(self.stream(ids.flatten().tolist() if isinstance(ids, Tensor) else ids))

    def show(self, i: int) -> str:
        """Returns the text of one token, for labels in pictures."""
        return self.vocab[i]

    @property
    def pad(self) -> int | None:
        """The id of the padding token, if there is one."""
        return self._id.get(PAD)

    @property
    def start(self) -> int | None:
        """The id of the token that precedes every text without belonging to it, if there is one."""
        return None

    @property
    def end(self) -> int | None:
        """The id of the token that ends a text, if there is one."""
        return self._id.get(EOS)

    @property
    def opening(self) -> int:
        """The id to start from without a prompt: a newline, or the first token that is not special."""
        try:
            return int(self.encode("\n")[0])
        except UnknownToken:
            return next((i for i, token in enumerate(self.vocab) if token not in (PAD, EOS)), 0)

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor arguments that rebuild this tokenizer, as plain data."""
        return {"vocab": self.vocab}

    def _unknown(self, token: str) -> UnknownToken:
        shown = self.vocab if len(self.vocab) <= 12 else self.vocab[-5:]
        known = ("" if shown is self.vocab else "such as ") + " ".join(map(reprlib.repr, shown))
        return UnknownToken(
            f"unknown {self.unit} {reprlib.repr(token)}: the model's vocabulary has {count(len(self), self.unit)}"
            f" ({known}); write the text without it"
        )

    def __len__(self) -> int:
        return len(self.vocab)


def count(n: int, unit: str) -> str:
    """Returns a number with its unit: "1 word", "2 words"."""
    return f"{n:,} {unit}" + "s" * (n != 1)


def between_tokens(chunks: Iterable[str]) -> Iterator[str]:
    """Yields the same text in pieces that no token crosses: a piece ends after a newline, or before a run of spaces.

    Only a chunk with neither is cut at an arbitrary place. A run of spaces is never cut, because it may be one
    byte-pair token.
    """
    rest = ""
    for chunk in chunks:
        rest += chunk
        end = rest.rfind("\n") + 1
        if not end and (before_spaces := re.match(r".*\S(?=[ \t])", rest)):
            end = before_spaces.end()
        end = end or len(rest)
        yield rest[:end]
        rest = rest[end:]
    yield rest


def tokenize(text: str, tokenizer: Tokenizer | type[Tokenizer], vocab_size: int = 1024) -> tuple[Tokenizer, Tensor]:
    """Returns a tokenizer, built from the text if only its class is given, and the ids (N,) in the narrowest type."""
    pieces = list(between_tokens(text[i : i + PIECE] for i in range(0, len(text), PIECE)))
    if isinstance(tokenizer, type):
        tokenizer = tokenizer.of(pieces, vocab_size)
    dtype = narrowest(len(tokenizer))
    return tokenizer, torch.cat([tokenizer.encode(piece).to(dtype) for piece in pieces])


def narrowest(vocab_size: int) -> torch.dtype:
    """Returns the smallest integer type that holds the ids of a vocabulary."""
    return next((t for t in (torch.uint8, torch.int16) if vocab_size <= torch.iinfo(t).max + 1), torch.int32)
