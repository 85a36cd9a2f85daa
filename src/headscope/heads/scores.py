"""Scores of attention maps: how much weight a head puts on a certain kind of key, on average.

Each score is a mean over the rows that have a key of this kind. Other rows do not count, so a head that puts all its
weight on such keys, where they exist, scores 1. If no row has such a key, the score is NaN.

Shapes: maps A (..., B, H, T, T), indexed [query i, key j], whose rows sum to one over j ≤ i; ids (B, T); results
(..., H), averaged over the rows of all B texts. Positions count from 0. H_T is the harmonic number 1 + 1/2 + … + 1/T.
"""

import torch
from torch import Tensor

NEAR = 4  #: tokens before the current token that `local` includes


def previous_token(maps: Tensor) -> Tensor:
    """Mean of A[i, i - 1] over i ≥ 1 (after Voita et al. 2019, section 5). Uniform attention: (H_T - 1) / (T - 1)."""
    return maps.diagonal(-1, -2, -1).mean((-3, -1))


def sink(maps: Tensor) -> Tensor:
    """Mean of A[i, 0] over all i (after Gu et al. 2024, arXiv 2410.10781). Uniform attention: H_T / T."""
    return maps[..., 0].mean((-3, -1))


def local(maps: Tensor, near: int = NEAR) -> Tensor:
    """Mean over i > near of the weight on the current token and the `near` tokens before it.

    Earlier rows do not count, because all their keys are in this range. Uniform: the mean of (near + 1) / (i + 1).
    """
    t = maps.shape[-1]
    ones = torch.ones(t, t, dtype=torch.bool, device=maps.device)
    targets = ones.tril() & ones.triu(-near)
    targets[: near + 1] = False
    return on_targets(maps, targets)


def duplicate_token(maps: Tensor, ids: Tensor) -> Tensor:
    """Mean weight on earlier equal tokens, over the rows that have such a token (Wang et al. 2022, section 3)."""
    return on_targets(maps, earlier_equals(ids))


def induction(maps: Tensor, ids: Tensor) -> Tensor:
    """Mean weight on the tokens that followed earlier equal tokens, over the rows that have such a token.

    Source: Olsson et al. 2022, "prefix matching score". The current token itself never counts, even if it follows an
    equal token, because a head that attends to the current token matches nothing.
    """
    return on_targets(maps, after_earlier_equals(ids))


def evenness(maps: Tensor) -> Tensor:
    """Mean over i ≥ 1 of the row's entropy divided by its maximum, ln(i + 1) (Pielou 1966). Uniform attention: 1."""
    t = maps.shape[-1]
    maximum = torch.arange(2, t + 1, device=maps.device, dtype=maps.dtype).log()  # ln(i + 1), i = 1 … T - 1
    nats: Tensor = torch.special.entr(maps).sum(-1)  # (..., B, H, T)
    return (nats[..., 1:] / maximum).mean((-3, -1))


def distance(maps: Tensor) -> Tensor:
    """Mean over all i of Σⱼ A[i, j] (i - j), in tokens (Vig & Belinkov 2019). Uniform attention: (T - 1) / 4."""
    position = torch.arange(maps.shape[-1], device=maps.device, dtype=maps.dtype)
    return ((position[:, None] - position) * maps).sum(-1).mean((-3, -1))


def distance_profile(maps: Tensor) -> Tensor:
    """Mean of A[i, i - d] over i ≥ d, for every distance d: (..., H, T). Uniform attention: the mean of 1 / (i + 1)."""
    return torch.stack([maps.diagonal(-d, -2, -1).mean((-3, -1)) for d in range(maps.shape[-1])], -1)


def on_targets(maps: Tensor, targets: Tensor) -> Tensor:
    """Returns the mean weight on targets, over the rows that have a target: (..., H), or NaN if no row has one.

    Targets are bool, (T, T) or (B, T, T), and lie at or before the query.
    """
    b, t = maps.shape[-4], maps.shape[-1]
    targets = targets.expand(b, t, t)
    rows = (maps * targets[:, None]).sum(-1)  # (..., B, H, T); summing each row first loses the least precision
    return rows.sum((-3, -1)) / targets.any(-1).sum()


def earlier_equals(ids: Tensor) -> Tensor:
    """Returns (B, T, T) for ids (B, T): True at [i, j] if token j equals token i and j < i."""
    return (ids[:, :, None] == ids[:, None, :]).tril(-1)


def after_earlier_equals(ids: Tensor) -> Tensor:
    """Returns (B, T, T) for ids (B, T): True at [i, j] if token j - 1 equals token i and j < i."""
    return earlier_equals(ids).roll(1, -1).tril(-1)


def uniform(maps: Tensor) -> Tensor:
    """Returns the map of a head that attends to its past evenly, in the shape of `maps`: A[i, j] = 1 / (i + 1)."""
    t = maps.shape[-1]
    ones = torch.ones(t, t, dtype=maps.dtype, device=maps.device).tril()
    return (ones / ones.sum(-1, keepdim=True)).expand(maps.shape)
