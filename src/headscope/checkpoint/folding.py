"""Biases that a class of models lacks, folded exactly into what it has.

A layer norm gives γ ⊙ z + β, where z has mean zero over the channels. So a matrix W behind it may as well be
W + u (1/γ)ᵀ, for any u: what is added meets γ ⊙ z as u times the sum of z, which is zero. With β' in place of β the
constant becomes W β' + u (1/γ)ᵀ β', and some u makes it anything that is wanted.

Shapes: C channels, M rows.
"""

import torch
from torch import Tensor


def behind_norm(w: Tensor, b: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, float]:
    """Another matrix and another bias of the norm before it, W' and β', so that W' (γ ⊙ z + β') = W (γ ⊙ z + β) + b.

    Args:
        w: (M, C).
        b: (M,).
        gamma: the norm's weight (C,), nowhere zero.
        beta: the norm's bias (C,).

    Returns:
        W' (M, C) and β' (C,) in fp32, and by how much an output is off, for a z of no special direction; not a number
        where γ has a zero. Without a bias nothing changes.
    """
    if not b.any():
        return w, beta, 0.0
    matrix, wanted, gamma, beta = (t.double() for t in (w, b, gamma, beta))
    away = torch.where((beta / gamma).sum() < 0, -1.0, 1.0)  # (1/γ)ᵀ β' is then at least C
    moved = beta + away * gamma
    u = (wanted - away * (matrix @ gamma)) / (moved / gamma).sum()  # (M,)
    found, moved = (matrix + u[:, None] / gamma).float(), moved.float()
    constant = (found.double() @ moved.double() - matrix @ beta - wanted).abs().max()
    turned = ((found.double() - matrix) * gamma - u[:, None]).norm(dim=1).max()  # z has variance one
    return found, moved, float(constant + turned)


def into_values(out: Tensor, b: Tensor) -> tuple[Tensor, float]:
    """What to add to the values of attention, (C,), so that b is added to its output: the weights on them sum to one.

    Args:
        out: the output projection, (C, C).
        b: (C,).

    Returns:
        The addition, and by how much the output is off at most: far, or not a number, if the projection has no inverse.
    """
    matrix, wanted = out.double(), b.double()
    found, _ = torch.linalg.solve_ex(matrix, wanted)
    return found, float((matrix @ found - wanted).abs().max())
