"""Schemes that add a vector to the embedding at each position.

Shapes: B batch, T positions, C = d_model.
"""

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn

from headscope.model.made_of import Order
from headscope.model.position.base import Position, frequencies


class Sinusoidal(Position):
    """Sines and cosines of the position, added to the embedding (Vaswani et al. 2017, section 3.5).

    PE(p, 2i) = sin(p θᵢ), PE(p, 2i+1) = cos(p θᵢ), θᵢ = base^(-2i/C).
    """

    sines: Tensor

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        block_size: int,
        layer: int | None = None,
        *,
        base: Annotated[float, Gt(0)] = 10000.0,
    ) -> None:
        super().__init__(d_model, n_heads, block_size, layer)
        self.base = base
        if layer is None:
            if d_model % 2:
                raise ValueError(f"sinusoidal positions pair channels: d_model={d_model} must be even")
            self.register_buffer("sines", self._sines(block_size, d_model), persistent=False)

    def _sines(self, block_size: int, d_model: int) -> Tensor:
        angles = torch.outer(torch.arange(block_size, dtype=torch.float64), frequencies(d_model, self.base))
        return torch.stack((angles.sin(), angles.cos()), -1).flatten(1).float()  # (T, C/2, 2) to (T, C)

    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x + self.sines[offset : offset + x.shape[1]]

    def stretch(self, block_size: int, method: str = "as trained") -> None:
        super().stretch(block_size, method)
        if hasattr(self, "sines"):
            self.sines = self._sines(block_size, self.sines.shape[1]).to(self.sines.device)

    def table(self) -> Tensor | None:
        return self.sines

    def made_of(self) -> Order | None:
        return Order(self.scale, table=getattr(self, "sines", None))


class Learned(Position):
    """A trained vector for every position, added to the embedding (Gehring et al. 2017; GPT-2)."""

    def __init__(self, d_model: int, n_heads: int, block_size: int, layer: int | None = None) -> None:
        super().__init__(d_model, n_heads, block_size, layer)
        if layer is None:
            self.vectors = nn.Embedding(block_size, d_model)

    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x + self.vectors.weight[offset : offset + x.shape[1]]

    def stretch(self, block_size: int, method: str = "as trained") -> None:
        if block_size > self.block_size:
            raise ValueError(f"learned positions end with their table of {self.block_size} vectors")

    def table(self) -> Tensor | None:
        return self.vectors.weight.detach()

    def made_of(self) -> Order | None:
        return Order(self.scale, table=self.vectors.weight.detach() if hasattr(self, "vectors") else None)
