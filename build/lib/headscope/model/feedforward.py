"""The part of a block that looks at one position at a time.

Shapes: B batch, T positions, C = d_model.
"""

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn


class FeedForward(nn.Module):
    """Widen four times, GELU (Hendrycks & Gimpel 2016), come back: (B, T, C) to (B, T, C), with biases."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, 4 * d_model)
        self.down = nn.Linear(4 * d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.down(F.gelu(self.up(x))))  # (B, T, 4C) between
