"""What a run trains on: a corpus, and the sources that give one."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le
from torch import Tensor

from headscope.data.tokenizers import (
    BytePairTokenizer,
    CharTokenizer,
    LineTokenizer,
    Tokenizer,
    UnknownToken,
    WordTokenizer,
)
from headscope.data.tokenizers.base import count, tokenize
from headscope.data.windows import TextWindows, Windows
from headscope.errors import UserError

Kind = Literal["char", "word", "bpe"]
KINDS: dict[str, type[Tokenizer]] = {"char": CharTokenizer, "word": WordTokenizer, "bpe": BytePairTokenizer}
VocabSize = Annotated[int, Ge(256), Le(65536)]  #: of byte pairs; characters and words bring their own
MOST_VALIDATION = 2_000_000  #: tokens: a tenth of gigabytes would validate for hours and be no more exact


@dataclass(frozen=True)
class Corpus:
    """What a source gives: two splits in windows, and facts about them."""

    name: str
    sha256: str  #: of the text's UTF-8 bytes
    tokens: int  #: in both splits
    tokenizer: Tokenizer
    train: Windows
    val: Windows
    characters: float  #: per token of the validation split
    note: str = ""  #: what a reader of its losses must know
    optimum: float | None = None  #: nats per token of the best predictor on the validation split, where it is known

    def passages(self, n: int, longest: int) -> Tensor:
        """The beginnings of the first validation windows, ids (B, T), B ≤ n: what heads are looked at on."""
        x, _ = next(iter(self.val.once(n)))
        return x[:, :longest]


class Source:
    """Something that gives a corpus."""

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        """Returns both splits in windows of `block_size` tokens.

        Args:
            block_size: T.
            tokenizer: that of an earlier model; None builds one for this text.

        Raises:
            UserError: the text is missing, empty, in another encoding, too short for the context, or has tokens that
                the tokenizer does not know.
        """
        raise NotImplementedError


class TextSource(Source):
    """Running text, split by position: the first 90% train, the rest validates, and no window crosses the border.

    The vocabulary is that of the whole text, so that a character found only in the validation split is known.
    """

    name: str

    def __init__(self, tokenizer: Kind, vocab_size: int) -> None:
        self.kind, self.vocab_size = KINDS[tokenizer], vocab_size

    def read(self) -> str:
        """Returns the whole text."""
        raise NotImplementedError

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        if isinstance(tokenizer, LineTokenizer):  # of a model of lines: running text goes on behind a newline
            tokenizer = CharTokenizer(vocab=tokenizer.vocab)
        by = tokenizer or self.kind
        by.ready()
        text = self.read()
        with fitting(self.name):
            tokenizer, ids = tokenize(text, by, self.vocab_size)
        return self.split(tokenizer, ids, hashlib.sha256(text.encode()).hexdigest(), block_size)

    def split(self, tokenizer: Tokenizer, ids: Tensor, sha256: str, block_size: int) -> Corpus:
        """Returns ids (N,) cut in two by position, each in windows of `block_size` tokens.

        Raises:
            UserError: a split is not longer than the context.
        """
        n = len(ids)
        border = max(n * 9 // 10, n - max(MOST_VALIDATION, block_size + 1))
        longest = n - border - 1  # the validation split is the shorter one
        if longest < block_size:
            shorter = f" or shorten the context to model.block_size={longest}" if longest > 0 else ""
            raise UserError(
                f"{self.name} is too short: it has {count(n, tokenizer.unit)}, and model.block_size={block_size} needs"
                f" at least {10 * block_size + 1:,}; give more text{shorter}"
            )
        train, val = (TextWindows(part, block_size) for part in (ids[:border], ids[border:]))
        characters = len(tokenizer.decode(val.ids.tolist())) / len(val.ids)
        return Corpus(self.name, sha256, n, tokenizer, train, val, characters)


@contextmanager
def fitting(name: str) -> Iterator[None]:
    """Says of a token that an earlier model's vocabulary lacks which text it is in."""
    try:
        yield
    except UnknownToken as e:
        raise UserError(f"{name} does not fit the checkpoint's tokenizer: {e}") from e
