"""Feed-forward networks, which process each position separately: one class per kind.

Shapes: B batch, T positions, C = d_model, F width of the hidden layer.
"""

from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from headscope.model.position.base import accept_old_names


class FeedForward(nn.Module):
    """Maps x (B, T, C) to down(activation(up(x))), (B, T, C). Each subclass chooses the activation function.

    `up` and `down` are linear layers, and the model initialises `down` with zeros. Parameters listed in
    `no_weight_decay` are exempt from weight decay. `width` is F, by default 4 C. With `bias`, both layers have biases.
    """

    no_weight_decay: ClassVar[tuple[str, ...]] = ()
    undecayed = no_weight_decay  #: the old name

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        accept_old_names(cls, {"bend": "activation", "undecayed": "no_weight_decay"})

    def __init__(self, d_model: int, width: int | None = None, bias: bool = False) -> None:
        super().__init__()
        width = width or 4 * d_model
        self.up = nn.Linear(d_model, width, bias)
        self.down = nn.Linear(width, d_model, bias)

    def activation(self, x: Tensor) -> Tensor:
        """Applies the activation function to each element of the hidden layer (B, T, F)."""
        raise NotImplementedError

    bend = activation  #: the old name

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.down(self.activation(self.up(x))))


class GELU(FeedForward):
    """x Φ(x) (Hendrycks & Gimpel 2016), with biases as in Part 4 (`docs/PART4.md`)."""

    def __init__(self, d_model: int) -> None:
        super().__init__(d_model, bias=True)

    def activation(self, x: Tensor) -> Tensor:
        return F.gelu(x)


class _SquaredReLU(torch.autograd.Function):
    """max(x, 0)² with its gradient 2 max(x, 0), in four passes over memory; autograd alone needs six."""

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
        return cast(Tensor, _SquaredReLU.apply(x))  # type: ignore[no-untyped-call]


class SwiGLU(FeedForward):
    """down(silu(gate(x)) ⊙ up(x)) (Shazeer 2020, eq. 6).

    The width is 8/3 C, so that three matrices have as many parameters as two matrices of width 4 C.
    """

    def __init__(self, d_model: int) -> None:
        width = 8 * d_model // 3
        super().__init__(d_model, width)
        self.gate = nn.Linear(d_model, width, bias=False)

    def activation(self, x: Tensor) -> Tensor:
        return F.silu(x)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.down(self.activation(self.gate(x)) * self.up(x)))
