"""From logits to the id of the next token.

Shapes: B texts, n consecutive tokens, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from headscope.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """The options for drawing the next token.

    `top_k` keeps the k most likely tokens; of equally likely tokens, it keeps those with smaller ids. `top_p` keeps the
    smallest set of most likely tokens with at least this probability (Holtzman et al. 2020).
    """

    temperature: Annotated[float, Ge(0)] = 0.8  #: divides the logits; 0 takes the most likely token
    top_k: Annotated[int, Ge(1)] | None = None
    top_p: Annotated[float, Gt(0), Le(1)] | None = None

    def probabilities(self, logits: Tensor) -> Tensor:
        """Returns the probabilities (..., V) with which each token is drawn, for logits (..., V)."""
        if self.temperature == 0:
            return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
        logits = (logits - logits.amax(-1, keepdim=True)).double() / self.temperature
        if self.top_k is None and self.top_p is None:
            return logits.softmax(-1)
        ranked, order = logits.sort(dim=-1, descending=True, stable=True)  # (..., V) each
        if self.top_k is not None:
            ranked[..., self.top_k :] = float("-inf")
        p = ranked.softmax(-1)
        if self.top_p is not None:
            p = p * (p.cumsum(-1) - p < self.top_p)  # keeps a token if the tokens before it do not reach top_p
            p = p / p.sum(-1, keepdim=True)
        return torch.zeros_like(p).scatter(-1, order, p)

    def noise(self, generators: Sequence[torch.Generator], size: int) -> Tensor:
        """Returns random numbers for drawing one token for each of B texts, (B, V).

        Each generator draws V = `size` numbers u, uniform in [0, 1), in float64; the result is Gumbel noise,
        -log(-log u). At temperature 0 nothing is drawn, and the result is zeros (B, 1).
        """
        if self.temperature == 0:
            return torch.zeros(len(generators), 1, dtype=torch.float64)
        u = torch.stack([torch.rand(size, generator=g, dtype=torch.float64) for g in generators])
        return u.log_().neg_().log_().neg_()

    def draw(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Returns ids (...) on the CPU for logits (..., V) and noise of the same shape.

        The token with the largest log p + noise is a sample from p (Gumbel 1954; Maddison et al. 2014). Without top_k
        and top_p, p need not be normalised. With the same noise, slightly different logits nearly always draw the same
        token. Raises UserError if the logits are not finite.
        """
        logits = finite(logits.float().cpu())
        if self.temperature == 0:
            return logits.argmax(-1)
        if self.top_k is None and self.top_p is None:
            return (logits / self.temperature + noise).argmax(-1)
        return (self.probabilities(logits).log() + noise).argmax(-1)


class Draws:
    """Draws the tokens of several texts. Drawing a position again uses the same noise."""

    def __init__(self, sampling: Sampling, generators: Sequence[torch.Generator]) -> None:
        self.sampling, self.generators = sampling, generators
        self._noise: list[Tensor] = []  # (B, V) for each position, the next position first

    def __call__(self, logits: Tensor, ahead: int) -> Tensor:
        """Draws ids (B, n) from logits (B, n, V) of n consecutive positions.

        The first of them is `ahead` positions after the position of the next token to be drawn.
        """
        positions = range(ahead, ahead + logits.shape[1])
        while len(self._noise) < positions.stop:
            self._noise.append(self.sampling.noise(self.generators, logits.shape[-1]))
        return self.sampling.draw(logits, torch.stack([self._noise[i] for i in positions], 1))

    def advance(self, n: int) -> None:
        """Moves the next position n tokens ahead."""
        del self._noise[:n]


def finite(logits: Tensor) -> Tensor:
    """Returns logits of any shape unchanged; raises UserError if one of them is infinite or not a number."""
    if not math.isfinite(logits.detach().sum(dtype=torch.float64)):
        raise UserError(
            "the model's logits are not finite, so no token can be drawn: its weights are damaged or its training"
            " diverged; use an earlier checkpoint, or train with a smaller optimizer.lr"
        )
    return logits
