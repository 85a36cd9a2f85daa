"""A head's circuits, from its weights alone: which tokens attend to which, and how this changes the logits.

The circuits of Elhage et al. 2021 are W_E W_QK W_Eᵀ and W_E W_OV W_U. Each LayerNorm is included as centering and
multiplication by its weight, but without its scale, which depends on the complete residual stream. The circuits also
ignore the norms' biases, positions, any norm of queries and keys, and the output of other layers. They are exact for
the direct effect of the token embeddings, up to a positive factor per query, key, or position of the logits.

Shapes: C = d_model, H heads, D = C / H, V vocabulary, N tokens, L layers.
"""

import torch
from torch import Tensor, nn

from headscope.heads.capture import output_matrices
from headscope.model.transformer import TransformerLM


def head_matrices(model: TransformerLM, layer: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns W_Q, W_K, W_V (H, C, D) and W_O (H, D, C) of a layer's heads, used as x W_Q with row vectors x."""
    attention = model.layers()[layer].attention
    c, h = model.d_model, model.n_heads
    q, k, v = attention.qkv.weight.view(3, h, c // h, c).transpose(-1, -2)  # (3, H, C, D)
    return q, k, v, output_matrices(attention.out.weight, h)


def center_and_weight(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Applies the linear part of a LayerNorm to x (..., C): centering and the weight, without scale or bias."""
    return (x - x.mean(-1, keepdim=True)) * norm.weight


def _embeddings(model: TransformerLM, layer: int, tokens: Tensor | None) -> Tensor:
    """Returns the embeddings (N, C) of `tokens` (None: all tokens) after the linear part of a layer's first norm."""
    weight = model.embedding.weight
    return center_and_weight(model.layers()[layer].norm1, weight if tokens is None else weight[tokens])


def unembedding(model: TransformerLM) -> Tensor:
    """Returns W_U (C, V): the final norm's linear part followed by the output layer."""
    weighted = model.head.weight * model.norm.weight  # (V, C)
    return (weighted - weighted.mean(-1, keepdim=True)).T  # centering is symmetric, so it can act on the weights


@torch.no_grad()
def ov_circuit(model: TransformerLM, layer: int, tokens: Tensor | None = None) -> Tensor:
    """Returns W_E W_V W_O W_U (H, N, V): how attending to a token (row) changes each logit (column), up to a scale.

    The rows are `tokens` (N,), or the whole vocabulary if `tokens` is None.
    """
    _, _, value, output = head_matrices(model, layer)
    circuit: Tensor = (_embeddings(model, layer, tokens) @ value) @ (output @ unembedding(model))
    return circuit


@torch.no_grad()
def qk_circuit(model: TransformerLM, layer: int, tokens: Tensor | None = None) -> Tensor:
    """Returns W_E W_Q W_Kᵀ W_Eᵀ times the layer's scale, (H, N, N): the score of a query (row) and a key (column).

    Positions are ignored, as if query and key were at distance 0, where rotations cancel.
    """
    query, key, _, _ = head_matrices(model, layer)
    e = _embeddings(model, layer, tokens)
    scores: Tensor = (e @ query) @ (e @ key).transpose(-1, -2) * model.layers()[layer].attention.position.scale
    return scores


@torch.no_grad()
def ov_eigenvalue_score(model: TransformerLM, layer: int) -> Tensor:
    """Returns Σ λ / Σ |λ| over the eigenvalues of the OV circuit (Elhage et al. 2021): (H,), from -1 to 1.

    A head that copies tokens scores near 1. The V × V circuit has the eigenvalues of the D × D matrix W_O W_U W_E W_V,
    and zeros. The score is NaN if the circuit is not finite, or zero, as at the start of training,
    or if LAPACK does not find its eigenvalues.
    """
    _, _, value, output = head_matrices(model, layer)
    middle = center_and_weight(model.layers()[layer].norm1, unembedding(model) @ model.embedding.weight)  # (C, C)
    small = output @ middle @ value  # (H, D, D)
    # The CPU is used, because a GPU needs 0.7 s for the six heads of one layer: each small step waits for the previous.
    # LAPACK prints its own errors for numbers that are not finite, and can write beyond its memory (torch 2.13).
    is_finite = small.isfinite().all(-1).all(-1).cpu()  # (H,)
    values = torch.stack([_eigenvalues(matrix) for matrix in small.double().cpu().where(is_finite[:, None, None], 0.0)])
    return (values.real.sum(-1) / values.abs().sum(-1)).to(small.device)


def _eigenvalues(matrix: Tensor) -> Tensor:
    """Returns the eigenvalues of a matrix (D, D), or NaN where LAPACK does not find them."""
    try:
        values: Tensor = torch.linalg.eigvals(matrix)
    except RuntimeError:  # for example, the matrix has nothing but zeros below its diagonal
        values = torch.full_like(matrix[0], torch.nan).to(torch.complex128)
    return values


@torch.no_grad()
def copying(model: TransformerLM, layer: int, tokens: Tensor | None = None, top: int = 1) -> Tensor:
    """Returns the share of `tokens` (N,), or of the whole vocabulary if it is None, that a head copies: (H,), 0 to 1.

    A head copies a token if attending to the token raises the token's logit more than all other logits, except at most
    `top` - 1 of them. Ties count against a token, so a head whose output is zero copies nothing. Based on the copy
    score of Wang et al. 2022.
    """
    circuit = ov_circuit(model, layer, tokens)  # (H, N, V)
    at = torch.arange(model.vocab_size, device=circuit.device) if tokens is None else tokens
    own = circuit.gather(-1, at.expand(circuit.shape[0], -1)[..., None])  # (H, N, 1)
    above = (circuit >= own).sum(-1)  # counts the token itself and ties
    return (above <= top).to(circuit.dtype).mean(-1)


def strongest(circuit: Tensor, n: int) -> list[tuple[int, int, float]]:
    """Returns the n largest entries of one head's circuit (N, M) as (row, column, value), largest first."""
    values, indices = circuit.flatten().topk(min(n, circuit.numel()))
    return [(*divmod(i, circuit.shape[1]), v) for i, v in zip(indices.tolist(), values.tolist(), strict=True)]
