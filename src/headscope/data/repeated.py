"""Repeated random tokens: a task that an induction head solves."""

import math
from typing import Annotated

import numpy as np
from annotated_types import Ge

from headscope.data.generated import Generated, Symbols, Tokens
from headscope.errors import UserError

Period = Annotated[int, Ge(1)]


class Repeated(Generated):
    """Each window draws a period p, then p independent tokens, which are repeated until the window is full.

    The period is hidden, and all periods from shortest to longest are equally likely. Positions therefore do not show
    where the repetition begins: the model has to find an earlier occurrence of the last tokens and copy the token
    after it (Olsson et al. 2022).
    """

    name = "repeated"

    def __init__(self, vocab_size: Symbols = 62, shortest: Period = 8, longest: Period = 24) -> None:
        if shortest > longest:
            raise UserError(f"data.shortest={shortest} must be at most data.longest={longest}")
        self.vocab_size, self.shortest, self.longest = vocab_size, shortest, longest

    def check(self, block_size: int) -> None:
        if self.longest > block_size:
            raise UserError(
                f"data.longest={self.longest} does not fit model.block_size={block_size}: nothing would be repeated;"
                f" use data.longest={block_size} or less, or a larger model.block_size"
            )

    def sample(self, rng: np.random.Generator, n: int, block_size: int) -> tuple[Tokens, Tokens]:
        periods = rng.integers(self.shortest, self.longest, (n, 1), endpoint=True)
        tokens = rng.integers(self.vocab_size, size=(n, self.longest))
        window = np.take_along_axis(tokens, np.arange(block_size + 1) % periods, axis=1)  # (n, T + 1)
        return window[:, :-1], window[:, 1:]

    def optimum(self, x: Tokens, y: Tokens) -> float:
        """Returns the loss of the exact Bayes mixture over periods.

        The probability of a window is p(x) = 1/K Σ_L V^-L [x has period L]. The product of the predictions is this
        probability divided by 1/V, the probability of the first token, which is not a target. The sum includes every
        period that fits the whole window, even a period that fits only by chance.
        """
        window = np.concatenate((x, y[:, -1:]), axis=1)  # (N, T + 1)
        periods = np.arange(self.shortest, self.longest + 1)
        fits = np.stack([(window[:, p:] == window[:, :-p]).all(1) for p in periods], axis=1)  # (N, K), K periods
        log_terms = np.where(fits, -periods * math.log(self.vocab_size), -np.inf)  # (N, K), ln V^-L
        log_p = np.logaddexp.reduce(log_terms, axis=1) - math.log(len(periods))  # (N,)
        return float((-log_p - math.log(self.vocab_size)).mean() / x.shape[1])
