"""Associative recall: pairs of keys and values, then keys whose values the model must predict."""

from typing import Annotated

import numpy as np
from annotated_types import Ge

from headscope.data.generated import Generated, Symbols, Tokens
from headscope.data.windows import IGNORE
from headscope.errors import UserError


class Recall(Generated):
    """A window begins with pairs, key value key value …; after the pairs come keys whose targets are their values.

    Keys are drawn without repetition from the first half of the vocabulary, and values from the second half. Only the
    positions of the keys at the end have targets (multi-query associative recall: Arora et al. 2024, section 3.1).
    """

    name = "recall"

    def __init__(self, vocab_size: Symbols = 64, pairs: Annotated[int, Ge(1)] = 8) -> None:
        if pairs > vocab_size // 2:
            raise UserError(
                f"data.pairs={pairs} needs {pairs} different keys, but only half of the vocabulary are keys;"
                f" use data.vocab_size={2 * pairs} or more"
            )
        self.vocab_size, self.pairs = vocab_size, pairs

    def check(self, block_size: int) -> None:
        if 2 * self.pairs >= block_size:
            raise UserError(
                f"in model.block_size={block_size}, {self.pairs} pairs leave no room for a key after them;"
                f" use model.block_size={2 * self.pairs + 1} or more, or fewer pairs"
            )

    def sample(self, rng: np.random.Generator, n: int, block_size: int) -> tuple[Tokens, Tokens]:
        half = self.vocab_size // 2
        keys = rng.permuted(np.tile(np.arange(half), (n, 1)), axis=1)[:, : self.pairs]  # (n, P)
        values = rng.integers(half, self.vocab_size, (n, self.pairs))
        pair_indices = rng.integers(self.pairs, size=(n, block_size - 2 * self.pairs))
        pairs = np.stack((keys, values), -1).reshape(n, -1)  # (n, 2P)
        x = np.concatenate((pairs, np.take_along_axis(keys, pair_indices, 1)), 1)  # (n, T)
        ignored = np.full_like(pairs, IGNORE)
        return x, np.concatenate((ignored, np.take_along_axis(values, pair_indices, 1)), 1)

    def optimum(self, x: Tokens, y: Tokens) -> float:
        """Returns 0, because every value occurs earlier in its window."""
        return 0.0
