"""What a head does to tokens by its weights alone: which it attends to from which, and which it then makes likely.

The circuits of Elhage et al. 2021: W_E W_QK W_Eᵀ and W_E W_OV W_U. A LayerNorm is folded in without its scale, which
depends on the whole stream: it centres and multiplies by its weight. Left out are its bias, what positions add or turn,
any norm of queries and keys, and all that other layers write. What remains is exact for what a head reads of the
tokens themselves, up to a positive factor for each query, key and position of the logits.

Shapes: C = d_model, H heads, D = C / H, V vocabulary, N tokens, L layers.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from headscope.heads.capture import output_matrices
from headscope.model.transformer import TransformerLM


class HeadMatrices(NamedTuple):
    """The projections of the heads of one layer, for rows on the left: x W_Q."""

    query: Tensor  #: W_Q (H, C, D)
    key: Tensor  #: W_K (H, C, D)
    value: Tensor  #: W_V (H, C, D)
    output: Tensor  #: W_O (H, D, C)


def head_matrices(model: TransformerLM, layer: int) -> HeadMatrices:
    """The projections of a layer's heads, without what positions do to queries and keys."""
    attention = model.layers()[layer].attention
    c, h = model.d_model, model.n_heads
    q, k, v = attention.qkv.weight.view(3, h, c // h, c).transpose(-1, -2)  # (3, H, C, D)
    return HeadMatrices(q, k, v, output_matrices(attention.out.weight, h))


def folded(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """The linear part of a LayerNorm on x (..., C): centred, times its weight; without scale and bias."""
    return (x - x.mean(-1, keepdim=True)) * norm.weight


def unembedding(model: TransformerLM) -> Tensor:
    """The final norm's linear part and the head: W_U (C, V)."""
    weighted = model.head.weight * model.norm.weight  # (V, C)
    return (weighted - weighted.mean(-1, keepdim=True)).T  # centring is symmetric: it may act on the reader


@torch.no_grad()
def ov_circuit(model: TransformerLM, layer: int, tokens: Tensor | None = None) -> Tensor:
    """W_E W_V W_O W_U: how attending to a token (row) moves each logit (column), (H, N, V), up to a scale.

    Args:
        model: whose weights are read.
        layer: from 0.
        tokens: (N,) rows; None is the whole vocabulary.
    """
    w, block = head_matrices(model, layer), model.layers()[layer]
    e = folded(block.norm1, _embeddings(model, tokens))  # (N, C)
    circuit: Tensor = (e @ w.value) @ (w.output @ unembedding(model))
    return circuit


@torch.no_grad()
def qk_circuit(model: TransformerLM, layer: int, tokens: Tensor | None = None) -> Tensor:
    """W_E W_Q W_Kᵀ W_Eᵀ times the layer's scale: the score of query token (row) and key token, (H, N, N).

    The content's part alone, as at distance 0, where rotations cancel. Arguments as in `ov_circuit`.
    """
    w, block = head_matrices(model, layer), model.layers()[layer]
    e = folded(block.norm1, _embeddings(model, tokens))  # (N, C)
    scores: Tensor = (e @ w.query) @ (e @ w.key).transpose(-1, -2) * block.attention.position.scale
    return scores


@torch.no_grad()
def ov_eigenvalue_score(model: TransformerLM, layer: int) -> Tensor:
    """Σ λ / Σ |λ| over the eigenvalues of the whole OV circuit (Elhage et al. 2021): (H,), from -1 to 1; 1 copies.

    The V × V circuit has the eigenvalues of the D × D matrix W_O W_U W_E W_V, and zeros. NaN where it is zero, as at
    the start of training.
    """
    w, block = head_matrices(model, layer), model.layers()[layer]
    around = folded(block.norm1, unembedding(model) @ model.embedding.weight)  # (C, C)
    whole = w.output @ around @ w.value  # (H, D, D)
    # On the CPU: a GPU took 0.7 s for the six heads of a layer, in steps that wait for each other.
    values: Tensor = torch.linalg.eigvals(whole.double().cpu())  # (H, D)
    return (values.real.sum(-1) / values.abs().sum(-1)).to(whole.device)


@torch.no_grad()
def copying(model: TransformerLM, layer: int, tokens: Tensor | None = None, top: int = 1) -> Tensor:
    """The share of tokens that a head, attending to them, raises among the `top` most: (H,), from 0 to 1.

    After the copy score of Wang et al. 2022 (top 5 there, of a far larger vocabulary). Equal logits count against a
    token, so a head that writes nothing copies nothing. Arguments as in `ov_circuit`.
    """
    circuit = ov_circuit(model, layer, tokens)  # (H, N, V)
    at = torch.arange(model.vocab_size, device=circuit.device) if tokens is None else tokens
    own = circuit.gather(-1, at.expand(circuit.shape[0], -1)[..., None])  # (H, N, 1)
    above = (circuit >= own).sum(-1)  # itself and its equals among them
    return (above <= top).to(circuit.dtype).mean(-1)


def strongest(circuit: Tensor, n: int) -> list[tuple[int, int, float]]:
    """The n largest entries of one head's circuit (N, M): (row, column, value), largest first."""
    values, places = circuit.flatten().topk(min(n, circuit.numel()))
    return [(*divmod(p, circuit.shape[1]), v) for p, v in zip(places.tolist(), values.tolist(), strict=True)]


def _embeddings(model: TransformerLM, tokens: Tensor | None) -> Tensor:
    weight = model.embedding.weight
    return weight if tokens is None else weight[tokens]
