"""Schemes that add a vector to the embedding at each position.

Shapes: B batch, T positions, C = d_model.
"""

import torch
from torch import Tensor, nn

from headscope.model.position.base import Base, Position, frequencies


class Sinusoidal(Position):
    """Sines and cosines of the position, added to the embedding (Vaswani et al. 2017, section 3.5).

    PE(p, 2i) = sin(p θᵢ), PE(p, 2i+1) = cos(p θᵢ), θᵢ = base^(-2i/C).
    """

    sines: Tensor

    def __init__(
        self, d_model: int, n_heads: int, block_size: int, layer: int | None = None, *, base: Base = 10000.0
    ) -> None:
        self.base = base
        super().__init__(d_model, n_heads, block_size, layer)

    def init_embedding(self) -> None:
        if self.d_model % 2:
            raise ValueError(f"sinusoidal positions fill pairs of channels, so d_model={self.d_model} must be even")
        self.register_buffer("sines", self._sines(), persistent=False)

    def _sines(self) -> Tensor:
        angles = torch.outer(torch.arange(self.block_size, dtype=torch.float64), frequencies(self.d_model, self.base))
        return torch.stack((angles.sin(), angles.cos()), -1).flatten(1).float()  # (T, C/2, 2) to (T, C)

    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x + self.sines[offset : offset + x.shape[1]]

    def stretch(self, block_size: int, method: str = "as trained") -> None:
        super().stretch(block_size, method)
        if self.layer is None:
            self.sines = self._sines().to(self.sines.device)

    def table(self) -> Tensor | None:
        return self.sines


class Learned(Position):
    """A trained vector for every position, added to the embedding (Gehring et al. 2017; GPT-2)."""

    def init_embedding(self) -> None:
        self.vectors = nn.Embedding(self.block_size, self.d_model)

    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x + self.vectors.weight[offset : offset + x.shape[1]]

    def stretch(self, block_size: int, method: str = "as trained") -> None:
        if self.layer is None and block_size > (longest := len(self.vectors.weight)):
            raise ValueError(f"the table of learned positions has only {longest} vectors")
        super().stretch(block_size, method)

    def table(self) -> Tensor | None:
        return self.vectors.weight.detach()
