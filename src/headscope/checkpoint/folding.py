"""Folds biases that a class of models lacks into weights that it has, without changing what the model computes.

A layer norm returns γ ⊙ z + β, where the channels of z sum to zero. Adding u (1/γ)ᵀ to the matrix W after the norm
therefore changes W (γ ⊙ z) by u times the sum of z, which is zero, for any u. If β' replaces β, the constant part of
the output becomes W β' + u (1/γ)ᵀ β', and some u makes it equal to any wanted constant.

Shapes: C channels, M rows.
"""

import torch
from torch import Tensor


def fold_into_norm(w: Tensor, b: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, float]:
    """Returns W' and β', so that W' (γ ⊙ z + β') = W (γ ⊙ z + β) + b for every normalised z.

    Args:
        w: the matrix after the norm, (M, C).
        b: the bias to fold, (M,). If it is zero, W and β are returned unchanged.
        gamma: the norm's weight (C,), nowhere zero.
        beta: the norm's bias (C,).

    Returns:
        W' (M, C) and β' (C,) in fp32, and the error of an output for a typical z: NaN if γ has a zero.
    """
    if not b.any():
        return w, beta, 0.0
    w64, b64, gamma, beta = (t.double() for t in (w, b, gamma, beta))
    sign = torch.where((beta / gamma).sum() < 0, -1.0, 1.0)  # makes the absolute value of (1/γ)ᵀ β' at least C
    new_beta = beta + sign * gamma
    u = (b64 - sign * (w64 @ gamma)) / (new_beta / gamma).sum()  # (M,)
    new_w, new_beta = (w64 + u[:, None] / gamma).float(), new_beta.float()
    error_of_constant = (new_w.double() @ new_beta.double() - w64 @ beta - b64).abs().max()
    error_of_matrix = ((new_w.double() - w64) * gamma - u[:, None]).norm(dim=1).max()  # for z of variance one
    return new_w, new_beta, float(error_of_constant + error_of_matrix)


def fold_into_values(out: Tensor, b: Tensor) -> tuple[Tensor, float]:
    """Returns a bias of the values that replaces a bias of the output, because attention weights sum to one.

    Args:
        out: the output projection, (C, C).
        b: the bias of the output, (C,). If it is zero, the projection needs no inverse.

    Returns:
        The bias of the values (C,), and the largest error of an output: large or NaN if the projection has no inverse.
    """
    if not b.any():
        return torch.zeros(len(out)), 0.0
    matrix, wanted = out.double(), b.double()
    values, _ = torch.linalg.solve_ex(matrix, wanted)
    return values, float((matrix @ values - wanted).abs().max())
