"""Freezes the scale of a norm at its value, so that a logit becomes a sum of contributions.

Shapes: B batch, C = d_model.
"""

import torch
from torch import Tensor, nn


def through_frozen(norm: nn.Module, x: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Turns a direction in a norm's output into the direction in its input that gives the same dot product.

    LayerNorm, RMSNorm and division by the length are a linear map (centring, weights) divided by a scale that depends
    on the input, plus a bias. The function works for any such norm: at zero, the norm's value is its bias and its
    derivative is the linear map up to a factor, and the norm's value at x gives the factor.

    Args:
        norm: (..., C) to (..., C).
        x: the norm's input, (B, C).
        direction: in the norm's output, (B, C).

    Returns:
        `reading` (B, C) and `bias` (B,) with norm(x) · direction = x · reading + bias. If x is a sum, a part p of x
        contributes p · reading, at the scale of the whole x.

    Raises:
        ValueError: the norm is not a linear map divided by a scale, plus a bias.
    """
    with torch.enable_grad():
        zero = torch.zeros_like(x).requires_grad_()
        at_zero = norm(zero)
        wanted = (norm(x) - at_zero).detach()
        (linear,) = torch.autograd.grad(at_zero, zero, direction, retain_graph=True)  # (B, C)
        (probe,) = torch.autograd.grad(at_zero, zero, wanted)
    tiny = torch.finfo(x.dtype).tiny
    factor = (wanted * wanted).sum(-1, keepdim=True) / (probe * x).sum(-1, keepdim=True).clamp_min(tiny)  # (B, 1)
    reading = factor * linear
    missing = (x * reading).sum(-1) - (wanted * direction).sum(-1)  # (B,)
    if not (missing.abs() <= 1e-3 * (wanted.norm(dim=-1) * direction.norm(dim=-1) + tiny)).all():
        raise ValueError(
            f"{type(norm).__name__} is not a linear map divided by a scale, plus a bias; its scale cannot be frozen"
        )
    return reading, (at_zero.detach() * direction).sum(-1)
