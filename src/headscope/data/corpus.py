"""The data that a run trains on: the corpus, and the sources that load it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

from headscope.data.tokenizers import TOKENIZERS, CharTokenizer, LineTokenizer, Tokenizer, UnknownToken
from headscope.data.tokenizers.base import count, tokenize
from headscope.data.windows import IGNORE, TextWindows, Windows
from headscope.errors import UserError

if TYPE_CHECKING:
    TokenizerName = str
else:
    TokenizerName = Literal[tuple(TOKENIZERS)]  #: a config accepts the registered names only
#: The text for validation: with `last`, the last tenth of the text; with `interleaved`, the last tenth of each section.
Split = Literal["last", "interleaved"]
VocabSize = Annotated[int, Ge(256), Le(65536)]  #: maximum vocabulary size; only the byte-pair tokenizer uses it
SECTIONS = 100  #: maximum number of sections of an interleaved split
SHORTEST = 4  #: minimum number of validation windows per section
CANDIDATES = 10  #: number of validation windows from which each probe text is chosen
SAMPLE_SEED = 20_000_003  #: seed of `sample`; training uses small seeds, so the first steps read other windows
MAX_VALIDATION = 2_000_000  #: maximum number of validation tokens; more would take hours and gain little precision


@dataclass(frozen=True)
class Corpus:
    """A loaded source: two splits in windows, with information about them."""

    name: str
    sha256: str  #: checksum of the text in UTF-8
    tokens: int  #: number of tokens in both splits
    tokenizer: Tokenizer
    train: Windows
    val: Windows
    characters: float  #: mean number of characters per token in the validation split
    note: str = ""  #: shown next to the losses; for example, that the data are generated
    optimum: float | None = None  #: lowest possible validation loss in nats per token, if known

    def passages(self, n: int, longest: int) -> Tensor:
        """Returns the probe texts for heads: the beginnings of the first validation windows, ids (B, T), B ≤ n.

        Windows that begin with the same token twice are used only if there are too few others, because an attention
        sink divides its weight among equal first tokens.
        """
        x, _ = next(iter(self.val.once(CANDIDATES * n)))
        is_doubled = (x[:, :1] == x[:, 1:2]).any(-1)  # (B,)
        chosen = is_doubled.int().argsort(stable=True)[:n]
        return x[chosen, :longest]


def sample(windows: Windows, n: int, longest: int, block_size: int) -> Tensor:
    """Returns n random windows of a split without padding, cut to the same length: ids (n, T), T ≤ `longest`.

    The n windows with the fewest padded targets of twice as many are used.
    """
    x, y = windows.stream(SAMPLE_SEED, range(2 * n), block_size)
    lengths = (y != IGNORE).sum(1)  # (2 n,)
    chosen = lengths.argsort(descending=True, stable=True)[:n]
    return x[chosen, : min(int(lengths[chosen].min()), longest)]


class Source:
    """Base class of data sources; `data=…` chooses one."""

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        """Returns both splits in windows of `block_size` tokens, tokenized with the given tokenizer or a new one.

        Raises:
            UserError: the text is missing, empty or too short for the context, has an unsupported encoding, or has
                tokens that the tokenizer does not know.
        """
        raise NotImplementedError


class TextSource(Source):
    """Running text, split by position: the last 10%, at most 2 million tokens, is for validation.

    With `split` interleaved, the text is first cut into sections, and each section is split in this way. The training
    parts of all sections, one after the other, are then the training text; likewise for validation. No window is in
    both texts. The vocabulary covers the whole text, and therefore includes characters that occur only in the
    validation split.
    """

    name: str

    def __init__(self, tokenizer: TokenizerName = "char", vocab_size: VocabSize = 1024, split: Split = "last") -> None:
        self.kind, self.vocab_size, self.split = TOKENIZERS[tokenizer], vocab_size, split

    def read(self) -> str:
        """Returns the complete text."""
        raise NotImplementedError

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        if isinstance(tokenizer, LineTokenizer):  # in running text, a newline is an ordinary character
            tokenizer = CharTokenizer(vocab=tokenizer.vocab)
        (tokenizer or self.kind).ready()
        with name_text_in_errors(self.name):
            tokenizer, ids, sha256 = self.encode(tokenizer or self.kind)
        n = len(ids)
        border = max(n * 9 // 10, n - max(MAX_VALIDATION, block_size + 1))
        longest = n - border - 1  # the validation split is shorter, and a window has one more token than its context
        if longest < block_size:
            shorter = f" or shorten the context to model.block_size={longest}" if longest > 0 else ""
            raise UserError(
                f"{self.name} is too short: it has {count(n, tokenizer.unit)}, and model.block_size={block_size} needs"
                f" at least {10 * block_size + 1:,}; use more text{shorter}"
            )
        sections = 1
        if self.split == "interleaved":
            sections = min(max((n - border) // (SHORTEST * block_size), 1), SECTIONS)
        train, val = (TextWindows(part, block_size) for part in split_sections(ids, n - border, sections))
        note = "" if self.split == "last" else f"validates on the last tenth of each of {count(sections, 'section')}"
        characters = len(tokenizer.decode(val.ids.tolist())) / len(val.ids)
        return Corpus(self.name, sha256, n, tokenizer, train, val, characters, note)

    def encode(self, tokenizer: Tokenizer | type[Tokenizer]) -> tuple[Tokenizer, Tensor, str]:
        """Returns the tokenizer (built from the text if a class is given), and the ids (N,) and sha256 of the text."""
        text = self.read()
        return *tokenize(text, tokenizer, self.vocab_size), hashlib.sha256(text.encode()).hexdigest()


def split_sections(ids: Tensor, validation: int, sections: int) -> tuple[Tensor, Tensor]:
    """Returns the training text and the validation text, which has about `validation` tokens: the ends of sections."""
    parts, length = ids.tensor_split(sections), validation // sections
    return torch.cat([part[:-length] for part in parts]), torch.cat([part[-length:] for part in parts])


@contextmanager
def name_text_in_errors(name: str) -> Iterator[None]:
    """Adds the name of the text to the error for a token that is not in the checkpoint's vocabulary."""
    try:
        yield
    except UnknownToken as e:
        raise UserError(f"{name} does not fit the checkpoint's tokenizer: {e}") from e
