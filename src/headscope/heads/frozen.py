"""A norm whose scale is held at the value that it has: what makes a logit a sum of contributions.

Shapes: B batch, C = d_model.
"""

import torch
from torch import Tensor, nn


def through_frozen(norm: nn.Module, x: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """What to read in a norm's input, to know what it adds along a direction of the norm's output.

    A norm is a linear map (centring, weights), divided by a scale that the input decides, plus a bias: LayerNorm,
    RMSNorm and a division by the length are, with or without weights. No name is asked: at zero the norm's value is its
    bias, and its derivative is the linear map up to a factor, which comparing with the norm at x gives.

    Args:
        norm: (..., C) to (..., C).
        x: the norm's input, (B, C).
        direction: in its output, (B, C).

    Returns:
        `reading` (B, C) and `bias` (B,): norm(x) · direction = x · reading + bias, and the same for the parts of x,
        at the scale that all of x has.

    Raises:
        ValueError: the norm is no such map.
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
        raise ValueError(f"{type(norm).__name__} is no linear map over a scale plus a bias: its scale cannot be frozen")
    return reading, (at_zero.detach() * direction).sum(-1)
