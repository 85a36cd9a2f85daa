"""Logits to the next id.

Shapes: B sequences, V vocabulary.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        temperature: logits are divided by it; 0 takes the most likely token.
        top_k: keep the k most likely.
        top_p: keep the most likely that together have at least this probability (Holtzman et al. 2020).
    """

    temperature: Annotated[float, Ge(0)] = 0.8
    top_k: Annotated[int, Ge(1)] | None = None
    top_p: Annotated[float, Gt(0), Le(1)] | None = None

    def probabilities(self, logits: Tensor) -> Tensor:
        """What is drawn from, (B, V), rows sum to one, from logits (B, V)."""
        if self.temperature == 0:
            return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
        logits = (logits - logits.amax(-1, keepdim=True)).double() / self.temperature
        if self.top_k is not None:
            kth = logits.topk(min(self.top_k, logits.shape[-1])).values[..., -1:]  # (B, 1)
            logits = logits.masked_fill(logits < kth, float("-inf"))
        p = logits.softmax(-1)
        if self.top_p is not None:
            ranked, order = p.sort(stable=True, descending=True)  # (B, V) each
            needed = ranked.cumsum(-1) - ranked < self.top_p  # those before it do not reach top_p yet
            p = p * torch.zeros_like(needed).scatter(-1, order, needed)
            p = p / p.sum(-1, keepdim=True)
        return p

    def draw(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Ids (B,) from logits (B, V), with a generator on the CPU: a seed draws the same on every device."""
        p = self.probabilities(logits.float().cpu())
        return p.multinomial(1, generator=generator).squeeze(-1)
