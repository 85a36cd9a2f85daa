"""What attention does to the length of queries and keys before they meet.

Shapes: B batch, T positions, H heads, D the width of a head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headscope.model.made_of import Length

EPS = 1e-5  #: under the root of the variance


class QKNorm(nn.Module):
    """Nothing: queries and keys as the projections give them."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys (B, H, T, D), to the same shapes."""
        return q, k

    def made_of(self) -> Length | None:
        """What it is made of, for a program that runs the model elsewhere; None: something else."""
        return Length()


class Unit(QKNorm):
    """Every query and key with mean 0 and variance 1, so length √D: a score is at most √D (Henry et al. 2020).

    LayerNorm without weights, in fp32 at least. On a CPU it takes half the time of `rms_norm`, which PyTorch puts
    together from parts.
    """

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return self._unit(q), self._unit(k)

    @staticmethod
    def _unit(u: Tensor) -> Tensor:
        # One copy lifts to fp32 and lays the heads side by side; the norm would make the second by itself.
        whole = u.to(torch.promote_types(u.dtype, torch.float32), memory_format=torch.contiguous_format)
        return F.layer_norm(whole, u.shape[-1:], eps=EPS)

    def made_of(self) -> Length | None:
        return Length(EPS)
