"""The text or data that a run trains on: a corpus, and the sources that load one."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Le
from torch import Tensor

from headscope.data.tokenizers import TOKENIZERS, CharTokenizer, LineTokenizer, Tokenizer, UnknownToken
from headscope.data.tokenizers.base import count, tokenize
from headscope.data.windows import TextWindows, Windows
from headscope.errors import UserError

if TYPE_CHECKING:
    TokenizerName = str
else:
    TokenizerName = Literal[tuple(TOKENIZERS)]  #: a config accepts the registered names only
VocabSize = Annotated[int, Ge(256), Le(65536)]  #: largest vocabulary of byte pairs; other tokenizers ignore it
MOST_VALIDATION = 2_000_000  #: tokens; a tenth of several gigabytes would take hours without more precision


@dataclass(frozen=True)
class Corpus:
    """A loaded source: two splits in windows, and facts about them."""

    name: str
    sha256: str  #: of the text in UTF-8
    tokens: int  #: in both splits
    tokenizer: Tokenizer
    train: Windows
    val: Windows
    characters: float  #: per token of the validation split
    note: str = ""  #: shown beside the losses, such as "generated" or lines that occur in both splits
    optimum: float | None = None  #: lowest possible validation loss in nats per token, where it is known

    def passages(self, n: int, longest: int) -> Tensor:
        """Returns the beginnings of the first validation windows, ids (B, T), B ≤ n: the texts that probe heads."""
        x, _ = next(iter(self.val.once(n)))
        return x[:, :longest]


class Source:
    """Base class of the sources of data, which `data=…` chooses from."""

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        """Returns both splits in windows of `block_size` tokens, which the tokenizer of an earlier model may split.

        Raises:
            UserError: the text is missing, empty, too short for the context, in another encoding, or has tokens that
                the tokenizer does not know.
        """
        raise NotImplementedError


class TextSource(Source):
    """Running text, split by position: the first 90% is for training, the rest for validation.

    No window crosses the border. The vocabulary covers the whole text, so that characters found only in the validation
    split are known.
    """

    name: str

    def __init__(self, tokenizer: TokenizerName = "char", vocab_size: VocabSize = 1024) -> None:
        self.kind, self.vocab_size = TOKENIZERS[tokenizer], vocab_size

    def read(self) -> str:
        """Returns the whole text."""
        raise NotImplementedError

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        if isinstance(tokenizer, LineTokenizer):  # in running text a newline ends nothing
            tokenizer = CharTokenizer(vocab=tokenizer.vocab)
        (tokenizer or self.kind).ready()
        with naming_text(self.name):
            tokenizer, ids, sha256 = self.encode(tokenizer or self.kind)
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

    def encode(self, tokenizer: Tokenizer | type[Tokenizer]) -> tuple[Tokenizer, Tensor, str]:
        """Returns the tokenizer, built from the text if only its class is given, the text's ids (N,) and its sha256."""
        text = self.read()
        return *tokenize(text, tokenizer, self.vocab_size), hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def naming_text(name: str) -> Iterator[None]:
    """Adds the name of the text to the error for a token that an earlier model's vocabulary lacks."""
    try:
        yield
    except UnknownToken as e:
        raise UserError(f"{name} does not fit the checkpoint's tokenizer: {e}") from e
