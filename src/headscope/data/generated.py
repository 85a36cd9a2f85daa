"""Data without a text: windows that are drawn when a step asks for them, from a rule whose optimum is known.

Shapes: N windows, B windows in a batch, T positions (block_size), V vocabulary.
"""

import hashlib
import string
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le
from numpy.typing import NDArray

from headscope.data.corpus import Corpus, Source, fitting
from headscope.data.tokenizers import CharTokenizer, Tokenizer
from headscope.data.windows import IGNORE, Batch, Windows, joined, split_at
from headscope.errors import UserError

#: Tokens, from the first on: letters and digits that a prompt can be typed with, then letters with accents.
SYMBOLS = string.ascii_letters + string.digits + "".join(c for c in map(chr, range(0xC0, 0x250)) if c.isalpha())
Symbols = Annotated[int, Ge(2), Le(len(SYMBOLS))]  #: V

CHUNK = 64  #: windows that are drawn at once
EPOCH = 65_536  #: windows; no window comes twice, so that an epoch is only a number
VALIDATION = 512  #: windows
TRAIN, VAL = 0, 1  #: streams of random numbers that have nothing in common

Tokens = NDArray[np.int64]


class Generated(Source):
    """A rule that windows are drawn by. Training never sees a window twice; validation is a fixed set of others.

    A rule defines `sample` and `optimum`, and keeps its arguments as attributes of their names.
    """

    name: str
    vocab_size: int

    def sample(self, rng: np.random.Generator, n: int, block_size: int) -> tuple[Tokens, Tokens]:
        """Draws x and y, (n, T) each, tokens in [0, V); a y of `IGNORE` does not count."""
        raise NotImplementedError

    def optimum(self, x: Tokens, y: Tokens) -> float:
        """Returns the mean loss of the best predictor on windows (N, T), in nats per target.

        That predictor knows the rule and what came before, and nothing else.
        """
        raise NotImplementedError

    def check(self, block_size: int) -> None:
        """Called before anything is drawn.

        Raises:
            UserError: the rule does not fit the context.
        """

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        self.check(block_size)
        symbols = SYMBOLS[: self.vocab_size]
        tokenizer = tokenizer or CharTokenizer(vocab=list(symbols))
        if not isinstance(tokenizer, CharTokenizer):
            raise UserError(
                f"data={self.name} does not fit the checkpoint's tokenizer: it needs characters;"
                f" use a checkpoint that was trained on data={self.name}, or train without one"
            )
        with fitting(f"data={self.name}"):
            ids = tokenizer.encode(symbols).numpy()  # (V,)
        train = GeneratedWindows(self, ids, block_size, TRAIN, EPOCH)
        val = GeneratedWindows(self, ids, block_size, VAL, VALIDATION)
        as_drawn = GeneratedWindows(self, np.arange(self.vocab_size), block_size, VAL, VALIDATION)
        x, y = (t.numpy() for t in next(as_drawn.once(VALIDATION)))  # (N, T) each
        rule = f"{type(self).__name__} {sorted(vars(self).items())} ".encode()
        sha256 = hashlib.sha256(rule + x.tobytes() + y.tobytes()).hexdigest()
        optimum = self.optimum(x, y)
        note = f"generated; validates on {VALIDATION} windows, whose optimum is {optimum:.4f}"
        return Corpus(self.name, sha256, x.size, tokenizer, train, val, 1.0, note, optimum)


class GeneratedWindows(Windows):
    """The windows of a rule, numbered from 0: the one at a place is a pure function of (seed, place).

    Each chunk of `CHUNK` windows has a random generator of its own, so that any window can be drawn at any time.

    Args:
        rule: that draws them.
        ids: what the tokens of the rule are called in the vocabulary, (V,).
        block_size: T.
        split: TRAIN or VAL.
        n: windows in an epoch; those of the split if it is for validation, which are of seed 0.
    """

    def __init__(self, rule: Generated, ids: Tokens, block_size: int, split: int, n: int) -> None:
        self.rule, self.ids, self.block_size, self.split, self.n = rule, ids, block_size, split, n
        self._chunk = lru_cache(maxsize=2)(self._draw)  # batches follow each other: the next one begins in the last

    def _draw(self, seed: int, chunk: int) -> Batch:
        # In NumPy: torch would use all cores for a millionth of a second of work, and wait for the busy ones.
        x, y = self.rule.sample(np.random.default_rng([self.split, seed, chunk]), CHUNK, self.block_size)
        targets = np.where(y == IGNORE, IGNORE, self.ids.take(y, mode="clip"))
        return torch.from_numpy(self.ids[x]), torch.from_numpy(targets)

    def __len__(self) -> int:
        return self.n

    def stream(self, seed: int, places: range, block_size: int) -> Batch:
        chunks = [(self._chunk(seed, chunk), rows) for chunk, rows in split_at(places, CHUNK)]
        return joined([(x[rows], y[rows]) for (x, y), rows in chunks])

    def once(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        for first in range(rank * batch_size, self.n, world * batch_size):
            yield self.stream(0, range(first, min(first + batch_size, self.n)), self.block_size)
