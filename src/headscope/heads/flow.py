"""Measures the flow of information between positions: over all layers (rollout), or by vector length (norm-weighted).

Shapes: L layers, B batch, H heads, T positions (query i, key j), D = C / H, C = d_model.
"""

from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from headscope.heads.capture import look, output_matrices
from headscope.model.transformer import TransformerLM


def rollout(maps: Tensor) -> Tensor:
    """Returns how much of each input position reaches each position of the residual stream (Abnar & Zuidema 2020).

    Section 3 of the paper: a layer's Ã is the mean of A + I over heads, with each row divided by its sum. The identity
    I represents the residual connection. Rollout after layer l is Ãₗ … Ã₁ Ã₀. It uses attention weights and ignores the
    values. Takes maps (L, B, H, T, T) whose rows sum to one, and returns one matrix per layer, (L, B, T, T), whose rows
    also sum to one.
    """
    mean = maps.mean(2) + torch.eye(maps.shape[-1], dtype=maps.dtype, device=maps.device)  # (L, B, T, T)
    mean = mean / mean.sum(-1, keepdim=True)
    return torch.stack([*accumulate(mean, lambda product, layer: layer @ product)])


def norm_weighted(maps: Tensor, values: Tensor, out: Tensor) -> Tensor:
    """Returns the length of the vector that each head moves from j to i: ‖A[i, j] · v_j W_O‖.

    Source: Kobayashi et al. 2020, equation 5. A large weight on a short vector has little effect, and heads often
    put large weights on short vectors. The sum of the vectors over j and heads is the output of attention.

    Takes maps (..., H, T, T), values (..., H, T, D) and the weight of the output projection (C, H D). The result
    has the shape of the maps.
    """
    matrices = output_matrices(out, values.shape[-3]).to(values.dtype)  # (H, D, C)
    lengths: Tensor = torch.linalg.vector_norm(values @ matrices, dim=-1)  # (..., H, T)
    return maps * lengths[..., None, :]  # weights are not negative, so they can be factored out of the norm


class Views(NamedTuple):
    """Three views of the attention in one forward pass."""

    weights: Tensor  #: attention maps, (L, B, H, T, T)
    moved: Tensor  #: norm-weighted attention, (L, B, H, T, T)
    rolled: Tensor  #: rollout after each layer, (L, B, T, T)


def views(model: TransformerLM, ids: Tensor) -> Views:
    """Returns the three views for ids (B, T), from one forward pass without dropout."""
    cache = look(model, ids, "maps", "values")
    return views_from_maps(model, cache.maps, cache.values)


@torch.no_grad()
def views_from_maps(model: TransformerLM, maps: Tensor, values: Tensor) -> Views:
    """Returns the three views from the maps (L, B, H, T, T) and values (L, B, H, T, D) of a forward pass."""
    outs = [block.attention.out.weight for block in model.layers()]
    moved = torch.stack([*map(norm_weighted, maps, values, outs)])
    return Views(maps, moved, rollout(maps))
