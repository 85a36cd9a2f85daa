"""From logits to the next id.

Shapes: B sequences, V vocabulary.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from headscope.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        temperature: divides the logits; 0 takes the most likely token.
        top_k: keep the k most likely tokens; of equally likely ones, those with smaller ids.
        top_p: keep the smallest set of most likely tokens with at least this probability (Holtzman et al. 2020).
    """

    temperature: Annotated[float, Ge(0)] = 0.8
    top_k: Annotated[int, Ge(1)] | None = None
    top_p: Annotated[float, Gt(0), Le(1)] | None = None

    def probabilities(self, logits: Tensor) -> Tensor:
        """Returns the distribution to draw from, (B, V), rows sum to one, for logits (B, V)."""
        if self.temperature == 0:
            return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
        logits = (logits - logits.amax(-1, keepdim=True)).double() / self.temperature
        if self.top_k is None and self.top_p is None:
            return logits.softmax(-1)
        ranked, order = logits.sort(dim=-1, descending=True, stable=True)  # (B, V) each
        if self.top_k is not None:
            ranked[:, self.top_k :] = float("-inf")
        p = ranked.softmax(-1)
        if self.top_p is not None:
            p = p * (p.cumsum(-1) - p < self.top_p)  # a token is needed if those before it do not reach top_p
            p = p / p.sum(-1, keepdim=True)
        return torch.zeros_like(p).scatter(-1, order, p)

    def draw(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns ids (B,) for logits (B, V). The generator is on the CPU: a seed draws the same on every device.

        Raises:
            UserError: the logits are not finite.
        """
        p = self.probabilities(finite(logits).float().cpu())
        return p.multinomial(1, generator=generator).squeeze(-1)


def finite(logits: Tensor) -> Tensor:
    """Returns logits of any shape as they are.

    Raises:
        UserError: one of them is infinite or not a number.
    """
    if not logits.isfinite().all():
        raise UserError(
            "the model's logits are not finite, so that no token can be drawn: its weights are damaged or its training"
            " diverged; use an earlier checkpoint, or train with a smaller optimizer.lr"
        )
    return logits
