"""Where information flows beyond a single map: through all layers, and weighted by the size of the moved vectors.

Shapes: L layers, B batch, H heads, T positions (i of queries, j of keys), D = C / H, C = d_model.
"""

from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from headscope.heads.capture import look, output_matrices
from headscope.model.transformer import TransformerLM


def rollout(maps: Tensor) -> Tensor:
    """Returns how much of each input position reaches each position of the residual stream (Abnar & Zuidema 2020).

    Section 3 of the paper: Ã of a layer is the mean over heads of A + I, with each row divided by its sum, because half
    of each position comes through the residual connection. Rollout after layer l is Ãₗ … Ã₁ Ã₀. It uses attention
    weights only and ignores the values. For maps (L, B, H, T, T) whose rows sum to one, the result is (L, B, T, T), one
    matrix after each layer; its rows sum to one too.
    """
    mean = maps.mean(2) + torch.eye(maps.shape[-1], dtype=maps.dtype, device=maps.device)  # (L, B, T, T)
    mean = mean / mean.sum(-1, keepdim=True)
    return torch.stack([*accumulate(mean, lambda so_far, layer: layer @ so_far)])


def norm_weighted(maps: Tensor, values: Tensor, out: Tensor) -> Tensor:
    """Returns the length of the vector that each head moves from j to i: ‖A[i, j] · v_j W_O‖.

    Source: Kobayashi et al. 2020, equation 5. A large weight on a short vector moves little, and a head with nothing to
    do can attend to such a position. The vectors, summed over j and heads, are attention's output.

    Takes maps (..., H, T, T), values (..., H, T, D) and the weight of the output projection (C, H D). The lengths have
    the shape of the maps.
    """
    matrices = output_matrices(out, values.shape[-3]).to(values.dtype)  # (H, D, C)
    lengths: Tensor = torch.linalg.vector_norm(values @ matrices, dim=-1)  # (..., H, T, C) to (..., H, T)
    return maps * lengths[..., None, :]  # weights are not negative, so they can leave the norm


class Views(NamedTuple):
    """Three views of the attention of one forward pass."""

    weights: Tensor  #: the maps, (L, B, H, T, T)
    moved: Tensor  #: norm-weighted, (L, B, H, T, T)
    rolled: Tensor  #: rollout after each layer, (L, B, T, T)


def views(model: TransformerLM, ids: Tensor) -> Views:
    """Returns weights, norm-weighted attention and rollout for ids (B, T), from one forward pass without dropout."""
    cache = look(model, ids, "maps", "values")
    return views_of(model, cache.maps, cache.values)


@torch.no_grad()
def views_of(model: TransformerLM, maps: Tensor, values: Tensor) -> Views:
    """Returns the same from maps (L, B, H, T, T) and values (L, B, H, T, D) of a forward pass."""
    outs = [block.attention.out.weight for block in model.layers()]
    moved = torch.stack([*map(norm_weighted, maps, values, outs)])
    return Views(maps, moved, rollout(maps))
