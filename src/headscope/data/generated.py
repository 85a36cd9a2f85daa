"""Generated data: a rule draws windows on demand, and its lowest possible loss is known.

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

from headscope.data.corpus import Corpus, Source, name_text_in_errors
from headscope.data.tokenizers import CharTokenizer, Tokenizer
from headscope.data.windows import IGNORE, Batch, Windows, concatenate_batches, split_at_multiples
from headscope.errors import UserError

#: The characters for tokens 0, 1, …: letters and digits, which are easy to type in a prompt, then accented letters.
SYMBOLS = string.ascii_letters + string.digits + "".join(c for c in map(chr, range(0xC0, 0x250)) if c.isalpha())
Symbols = Annotated[int, Ge(2), Le(len(SYMBOLS))]  #: V

CHUNK = 64  #: windows drawn together
EPOCH = 65_536  #: windows per epoch, for `trainer.max_epochs` only; training never sees a window twice
VALIDATION = 512  #: windows in the validation split
TRAIN, VAL = 0, 1  #: part of the random seed, so that the two splits are independent

Tokens = NDArray[np.int64]


class Generated(Source):
    """A rule that draws windows. Training never sees a window twice; validation uses a fixed set of other windows.

    A subclass defines `sample` and `optimum`, and stores its arguments in attributes with the same names.
    """

    name: str
    vocab_size: int

    def sample(self, rng: np.random.Generator, n: int, block_size: int) -> tuple[Tokens, Tokens]:
        """Draws x and y, (n, T) each, with tokens from 0 to V - 1; targets of `IGNORE` do not count in the loss."""
        raise NotImplementedError

    def optimum(self, x: Tokens, y: Tokens) -> float:
        """Returns the mean loss of the best predictor on windows (N, T), in nats per target.

        The best predictor knows only the rule and the previous tokens.
        """
        raise NotImplementedError

    def check(self, block_size: int) -> None:
        """Raises a `UserError` if the rule does not fit the context; called before any window is drawn."""

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        self.check(block_size)
        symbols = SYMBOLS[: self.vocab_size]
        tokenizer = tokenizer or CharTokenizer(vocab=list(symbols))
        if not isinstance(tokenizer, CharTokenizer):
            raise UserError(
                f"data={self.name} does not fit the checkpoint's tokenizer: the data need characters;"
                f" use a checkpoint that was trained on data={self.name}, or train without one"
            )
        with name_text_in_errors(f"data={self.name}"):
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
    """The windows of a rule, numbered from 0; each window depends only on the seed and its number.

    Each chunk of `CHUNK` windows has its own random generator, so that windows can be drawn in any order. `ids` (V,)
    maps the tokens of the rule to ids in the vocabulary.
    """

    def __init__(self, rule: Generated, ids: Tokens, block_size: int, split: int, n: int) -> None:
        self.rule, self.ids, self.block_size, self.split, self.n = rule, ids, block_size, split, n
        self._chunk = lru_cache(maxsize=2)(self._draw)  # a batch often begins in the previous batch's last chunk

    def _draw(self, seed: int, chunk: int) -> Batch:
        # NumPy, because torch would start all its threads for microseconds of work, and would wait for busy cores.
        x, y = self.rule.sample(np.random.default_rng([self.split, seed, chunk]), CHUNK, self.block_size)
        targets = np.where(y == IGNORE, IGNORE, self.ids.take(y, mode="clip"))
        return torch.from_numpy(self.ids[x]), torch.from_numpy(targets)

    def __len__(self) -> int:
        return self.n

    def stream(self, seed: int, indices: range, block_size: int) -> Batch:
        chunks = [(self._chunk(seed, chunk), rows) for chunk, rows in split_at_multiples(indices, CHUNK)]
        return concatenate_batches([(x[rows], y[rows]) for (x, y), rows in chunks])

    def once(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        for first in range(rank * batch_size, self.n, world * batch_size):
            yield self.stream(0, range(first, min(first + batch_size, self.n)), self.block_size)
