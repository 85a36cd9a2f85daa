"""The part of a block that looks at one position at a time: one class per kind.

Shapes: B batch, T positions, C = d_model, F the width between.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from headscope.model.made_of import Between, Curve


class FeedForward(nn.Module):
    """Widen, bend, come back: (B, T, C) to (B, T, C). What bends is left to the kinds.

    A kind has `up` and `down`, as linear layers: the model starts `down` at zero.

    Args:
        d_model: C.
        width: F; None is 4 C.
        bias: whether both layers have one.
    """

    def __init__(self, d_model: int, width: int | None = None, bias: bool = False) -> None:
        super().__init__()
        width = width or 4 * d_model
        self.up = nn.Linear(d_model, width, bias)
        self.down = nn.Linear(width, d_model, bias)

    def activation(self, x: Tensor) -> Tensor:
        """What happens between, (B, T, F) to the same shape."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.down(self.activation(self.up(x))))

    def made_of(self) -> Between | None:
        """What it is made of, for a program that runs the model elsewhere; None: something else."""
        return None

    def _two_matrices(self, curve: Curve) -> Between:
        """The same for a kind whose `activation` is a curve."""
        return Between(curve, self.up.weight, self.down.weight, self.up.bias, self.down.bias)


class GELU(FeedForward):
    """x Φ(x), with biases (Hendrycks & Gimpel 2016), as Part 4 has it."""

    def __init__(self, d_model: int) -> None:
        super().__init__(d_model, bias=True)

    def activation(self, x: Tensor) -> Tensor:
        return F.gelu(x)

    def made_of(self) -> Between | None:
        return self._two_matrices("gelu")


class _SquareOfPositive(torch.autograd.Function):
    """max(x, 0)² with its gradient 2 max(x, 0): two passes each way, where autograd's own needs six in all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = x.clamp_min(0)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (positive,) = ctx.saved_tensors
        return torch.mul(positive, gradient).mul_(2)


class SquaredReLU(FeedForward):
    """max(x, 0)² (So et al. 2021, Primer, section 4.2)."""

    def __init__(self, d_model: int) -> None:
        super().__init__(d_model)

    def activation(self, x: Tensor) -> Tensor:
        return cast(Tensor, _SquareOfPositive.apply(x))  # type: ignore[no-untyped-call]

    def made_of(self) -> Between | None:
        return self._two_matrices("squared relu")


class SwiGLU(FeedForward):
    """silu(x W) ⊙ x V (Shazeer 2020, eq. 6), 8/3 C wide: three matrices with the parameters of two of 4 C."""

    def __init__(self, d_model: int) -> None:
        width = 8 * d_model // 3
        super().__init__(d_model, width)
        self.gate = nn.Linear(d_model, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.down(F.silu(self.gate(x)) * self.up(x)))

    def made_of(self) -> Between | None:
        return Between("silu", self.up.weight, self.down.weight, gate=self.gate.weight)
