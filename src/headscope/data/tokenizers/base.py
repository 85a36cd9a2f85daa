"""The base class of all tokenizers, which turn text into ids and back.

Shapes: N tokens, V vocabulary.
"""

import re
import reprlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from headscope.errors import UserError

PAD, EOS = "<pad>", "<eos>"
PIECE = 1 << 20  #: number of characters tokenized at a time


class UnknownToken(UserError):
    """A text has a token that is not in the vocabulary."""


class Tokenizer:
    """A vocabulary, and a rule that splits text into its tokens. The id of a token is its index in `vocab`.

    `split_rule` names the rule for the JavaScript of `show=page`, which splits text into "characters", "words" or "byte
    pairs". With None, the default, the text on the page cannot be edited. A subclass does not inherit the rule, because
    it may split text differently.
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
            raise ValueError("a vocabulary must be a list of distinct strings")

    @classmethod
    def ready(cls) -> None:
        """Raises `UserError` if a library that this class needs is not installed; called before a text is read."""

    @classmethod
    def of(cls, pieces: Iterable[str], vocab_size: int) -> Self:
        """Builds a tokenizer for a text, which comes in pieces that begin and end between two tokens.

        `vocab_size` is the maximum vocabulary size, for classes that choose their tokens.
        """
        raise NotImplementedError

    def encode(self, text: str) -> Tensor:
        """Returns the ids (N,) of a text, int64; raises `UnknownToken` for a token that is not in the vocabulary."""
        raise NotImplementedError

    def examples(self, text: str) -> list[Tensor]:
        """Returns a text as training reads it: the ids (N,) of each example, with the tokens before and after it.

        Running text is one example. Raises `UnknownToken` like `encode`.
        """
        return [self.encode(text)]

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yields the text of each id as soon as the id arrives; the joined pieces equal `decode(ids)`.

        A piece is empty while a character is incomplete. One more piece may come after the piece of the last id.
        """
        raise NotImplementedError

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """Returns the text of ids: a list, a tensor (N,) from `encode`, or a batch with one text, (1, N)."""
        return "".join(self.stream(ids.flatten().tolist() if isinstance(ids, Tensor) else ids))

    def show(self, i: int) -> str:
        """Returns the text of one token, for labels in pictures."""
        return self.vocab[i]

    @property
    def shown(self) -> list[str]:
        """`show` of every token."""
        return [self.show(i) for i in range(len(self))]

    @property
    def pad(self) -> int | None:
        """The id of the padding token, if there is one."""
        return self._id.get(PAD)

    @property
    def start(self) -> int | None:
        """The id of the token that comes before every text but is not part of it, if there is one."""
        return None

    @property
    def end(self) -> int | None:
        """The id of the token that ends a text, if there is one."""
        return self._id.get(EOS)

    @property
    def special(self) -> list[int]:
        """The ids of tokens that are not part of a text: for padding, and before and after a text."""
        return sorted({i for i in (self.pad, self.start, self.end) if i is not None})

    @property
    def opening(self) -> int:
        """The id from which generation starts without a prompt: a newline, or the first token that is not special."""
        try:
            return int(self.encode("\n")[0])
        except UnknownToken:
            return next((i for i, token in enumerate(self.vocab) if token not in (PAD, EOS)), 0)

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor arguments that rebuild this tokenizer, as plain data."""
        return {"vocab": self.vocab}

    def _unknown(self, token: str) -> UnknownToken:
        by_use = sorted(self.vocab, key=lambda t: (not t.isalnum(), not t.islower()))  # letters and digits come first
        shown = self.vocab if len(self) <= 12 else by_use[:5]
        examples = ("" if shown is self.vocab else "such as ") + " ".join(map(readable, shown))
        return UnknownToken(
            f"unknown {self.unit} {readable(token)}: the model's vocabulary has {count(len(self), self.unit)}"
            f" ({examples}); write the text without it"
        )

    def __len__(self) -> int:
        return len(self.vocab)


def readable(token: str) -> str:
    """Returns a token in quotes, shortened if it is long; escaped if it starts with a combining mark."""
    is_mark = token != "" and unicodedata.category(token[0]).startswith("M")
    return ascii(token) if is_mark else reprlib.repr(token)


def count(n: int, unit: str) -> str:
    """Returns a number with its unit, such as "1 word" or "2 words"."""
    return f"{n:,} {unit}" + "s" * (n != 1)


def between_tokens(chunks: Iterable[str]) -> Iterator[str]:
    """Yields the same text in pieces that begin and end between two tokens: after a newline, or before spaces.

    Only a piece without newlines and spaces may end elsewhere. Consecutive spaces are never separated, because they may
    be one byte-pair token.
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
    """Returns the tokenizer (built from the text if a class is given) and the ids (N,) in the smallest type."""
    pieces = list(between_tokens(text[i : i + PIECE] for i in range(0, len(text), PIECE)))
    if isinstance(tokenizer, type):
        tokenizer = tokenizer.of(pieces, vocab_size)
    dtype = smallest_dtype(len(tokenizer))
    return tokenizer, torch.cat([tokenizer.encode(piece).to(dtype) for piece in pieces])


def smallest_dtype(vocab_size: int) -> torch.dtype:
    """Returns the smallest integer type that can represent all ids of a vocabulary."""
    return next((t for t in (torch.uint8, torch.int16) if vocab_size <= torch.iinfo(t).max + 1), torch.int32)
