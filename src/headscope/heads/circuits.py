"""A head's circuits, from its weights alone: which tokens attend to which, and which tokens that makes more likely.

The circuits of Elhage et al. 2021 are W_E W_QK W_Eᵀ and W_E W_OV W_U. Each LayerNorm is folded in as centring and
multiplication by its weight; its scale depends on the whole residual stream and is left out. Also left out are the
norms' biases, positions, any norm of queries and keys, and the output of other layers. The result is exact for the part
of a head that depends on the tokens themselves, up to a positive factor per query, key and position of the logits.

Shapes: C = d_model, H heads, D = C / H, V vocabulary, N tokens, L layers.
"""

import torch
from torch import Tensor, nn

from headscope.heads.capture import output_matrices
from headscope.model.transformer import TransformerLM


def head_matrices(model: TransformerLM, layer: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns W_Q, W_K, W_V (H, C, D) and W_O (H, D, C) of a layer's heads, applied to row vectors as x W_Q."""
    attention = model.layers()[layer].attention
    c, h = model.d_model, model.n_heads
    q, k, v = attention.qkv.weight.view(3, h, c // h, c).transpose(-1, -2)  # (3, H, C, D)
    return q, k, v, output_matrices(attention.out.weight, h)


def folded(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Applies the linear part of a LayerNorm to x (..., C): centring and its weight, without scale and bias."""
    return (x - x.mean(-1, keepdim=True)) * norm.weight


def _embeddings(model: TransformerLM, layer: int, tokens: Tensor | None) -> Tensor:
    """Returns the embeddings (N, C) of some tokens or of all as a layer's heads read them."""
    weight = model.embedding.weight
    return folded(model.layers()[layer].norm1, weight if tokens is None else weight[tokens])


def unembedding(model: TransformerLM) -> Tensor:
    """Returns W_U (C, V): the final norm's linear part followed by the output layer."""
    weighted = model.head.weight * model.norm.weight  # (V, C)
    return (weighted - weighted.mean(-1, keepdim=True)).T  # centring is symmetric, so it can be applied to the weights


@torch.no_grad()
def ov_circuit(model: TransformerLM, layer: int, tokens: Tensor | None = None) -> Tensor:
    """Returns W_E W_V W_O W_U (H, N, V): how attending to a token (row) moves each logit (column), up to a scale.

    The rows are `tokens` (N,), or the whole vocabulary if it is None.
    """
    _, _, value, output = head_matrices(model, layer)
    circuit: Tensor = (_embeddings(model, layer, tokens) @ value) @ (output @ unembedding(model))
    return circuit


@torch.no_grad()
def qk_circuit(model: TransformerLM, layer: int, tokens: Tensor | None = None) -> Tensor:
    """Returns W_E W_Q W_Kᵀ W_Eᵀ times the layer's scale (H, N, N): attention scores of query token (row) and key token.

    Positions are ignored, as if query and key were at distance 0, where rotations cancel.
    """
    query, key, _, _ = head_matrices(model, layer)
    e = _embeddings(model, layer, tokens)
    scores: Tensor = (e @ query) @ (e @ key).transpose(-1, -2) * model.layers()[layer].attention.position.scale
    return scores


@torch.no_grad()
def ov_eigenvalue_score(model: TransformerLM, layer: int) -> Tensor:
    """Returns Σ λ / Σ |λ| over the eigenvalues of the OV circuit (Elhage et al. 2021): (H,), from -1 to 1 (copying).

    The V × V circuit has the eigenvalues of the D × D matrix W_O W_U W_E W_V, and otherwise zeros. The score is NaN for
    a circuit of zeros, as at the start of training.
    """
    _, _, value, output = head_matrices(model, layer)
    around = folded(model.layers()[layer].norm1, unembedding(model) @ model.embedding.weight)  # (C, C)
    whole = output @ around @ value  # (H, D, D)
    # On the CPU, because a GPU took 0.7 s for the six heads of one layer: its many small steps wait for each other.
    values: Tensor = torch.linalg.eigvals(whole.double().cpu())  # (H, D)
    return (values.real.sum(-1) / values.abs().sum(-1)).to(whole.device)


@torch.no_grad()
def copying(model: TransformerLM, layer: int, tokens: Tensor | None = None, top: int = 1) -> Tensor:
    """Returns the share of tokens whose own logit is among the `top` that attending to them raises most: (H,), 0 to 1.

    After the copy score of Wang et al. 2022, who used top 5 of a far larger vocabulary. Ties count against a token, so
    a head that writes nothing copies nothing.
    """
    circuit = ov_circuit(model, layer, tokens)  # (H, N, V)
    at = torch.arange(model.vocab_size, device=circuit.device) if tokens is None else tokens
    own = circuit.gather(-1, at.expand(circuit.shape[0], -1)[..., None])  # (H, N, 1)
    above = (circuit >= own).sum(-1)  # counts the token itself and ties
    return (above <= top).to(circuit.dtype).mean(-1)


def strongest(circuit: Tensor, n: int) -> list[tuple[int, int, float]]:
    """Returns the n largest entries of one head's circuit (N, M) as (row, column, value), largest first."""
    values, places = circuit.flatten().topk(min(n, circuit.numel()))
    return [(*divmod(p, circuit.shape[1]), v) for p, v in zip(places.tolist(), values.tolist(), strict=True)]
