"""Where information flows, beyond a single map: through all layers, and by how much is moved.

Shapes: L layers, B batch, H heads, T positions (i of queries, j of keys), D = C / H, C = d_model.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from headscope.heads.capture import look, output_matrices
from headscope.model.transformer import TransformerLM


def rollout(maps: Tensor) -> Tensor:
    """How much of each input position is in each position of the stream (Abnar & Zuidema 2020, section 3).

    Ã of a layer is the mean over heads of A + I, each row divided by its sum: half of a position comes through the
    residual connection. Rollout after layer l is Ãₗ … Ã₁ Ã₀. It counts weights and ignores what is moved.

    Args:
        maps: (L, B, H, T, T), rows sum to one.

    Returns:
        After each layer, (L, B, T, T): rows sum to one, nothing above the diagonal.
    """
    mixed = maps.mean(2) + torch.eye(maps.shape[-1], dtype=maps.dtype, device=maps.device)  # (L, B, T, T)
    mixed = mixed / mixed.sum(-1, keepdim=True)
    so_far = [mixed[0]]
    for layer in mixed[1:]:
        so_far.append(layer @ so_far[-1])
    return torch.stack(so_far)


def norm_weighted(maps: Tensor, values: Tensor, out: Tensor) -> Tensor:
    """How much each head moves from j to i: ‖A[i, j] · v_j W_O‖ (Kobayashi et al. 2020, eq. 5).

    A large weight on a small vector moves little: heads rest on such positions. The vectors themselves, summed over j
    and heads, are what attention adds to the stream.

    Args:
        maps: (..., H, T, T), rows sum to one.
        values: (..., H, T, D), with their bias if the model has one.
        out: weight of the projection that merges the heads, (C, H D).

    Returns:
        Lengths in the stream, (..., H, T, T), zero or more.
    """
    matrices = output_matrices(out, values.shape[-3]).to(values.dtype)  # (H, D, C)
    lengths: Tensor = torch.linalg.vector_norm(values @ matrices, dim=-1)  # (..., H, T, C) to (..., H, T)
    return maps * lengths[..., None, :]  # a weight is no less than zero, so it can leave the norm


class Views(NamedTuple):
    """Three ways to see the attention of one forward pass."""

    weights: Tensor  #: the maps, (L, B, H, T, T)
    moved: Tensor  #: norm-weighted, (L, B, H, T, T)
    rolled: Tensor  #: rollout after each layer, (L, B, T, T)


@torch.no_grad()
def views(model: TransformerLM, ids: Tensor) -> Views:
    """Weights, norm-weighted attention and rollout for ids (B, T), from one forward pass without dropout."""
    seen = look(model, ids, "maps", "values")
    maps, values = seen.maps, seen.values
    moved = [
        norm_weighted(a, v, block.attention.out.weight)
        for a, v, block in zip(maps, values, model.layers(), strict=True)
    ]
    return Views(maps, torch.stack(moved), rollout(maps))
