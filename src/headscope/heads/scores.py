"""Scores of attention maps: how much weight a head puts, on average, on a certain kind of key.

Each score is a mean over the rows that have a key of that kind. Other rows do not count in the denominator, so a head
that does one thing perfectly scores 1. Without any such row the score is NaN.

Shapes: maps (..., B, H, T, T), query i before key j, rows sum to one over j ≤ i; ids (B, T); results (..., H), pooled
over the rows of all B texts. Positions count from 0. H_T is the harmonic number 1 + 1/2 + … + 1/T.
"""

import torch
from torch import Tensor

NEAR = 4  #: tokens before the current one that `local` includes


def previous_token(maps: Tensor) -> Tensor:
    """Mean of A[i, i - 1] over i ≥ 1 (after Voita et al. 2019, section 5). Uniform attention: (H_T - 1) / (T - 1)."""
    return maps.diagonal(-1, -2, -1).mean((-3, -1))


def sink(maps: Tensor) -> Tensor:
    """Mean of A[i, 0] over all i (after Gu et al. 2024, arXiv 2410.10781). Uniform attention: H_T / T."""
    return maps[..., 0].mean((-3, -1))


def local(maps: Tensor, near: int = NEAR) -> Tensor:
    """Mean over i > near of the weight on the current token and the `near` before it. Earlier rows see no other tokens.

    Uniform attention: the mean of (near + 1) / (i + 1).
    """
    t = maps.shape[-1]
    ones = torch.ones(t, t, dtype=torch.bool, device=maps.device)
    targets = ones.tril() & ones.triu(-near)
    targets[: near + 1] = False
    return on_targets(maps, targets)


def duplicate_token(maps: Tensor, ids: Tensor) -> Tensor:
    """Mean weight on earlier equal tokens, over the rows that have one (Wang et al. 2022, section 3)."""
    return on_targets(maps, earlier_equals(ids))


def induction(maps: Tensor, ids: Tensor) -> Tensor:
    """Prefix matching: mean weight on the tokens that followed earlier equal tokens, over the rows that have one.

    Olsson et al. 2022, "prefix matching score". If a token occurs twice in a row, the second one follows its equal, but
    it does not count: a head that attends to the current token matches nothing.
    """
    return on_targets(maps, after_earlier_equals(ids))


def evenness(maps: Tensor) -> Tensor:
    """Mean over i ≥ 1 of the row's entropy divided by its maximum ln(i + 1) (Pielou 1966): 1 is uniform, 0 one key."""
    t = maps.shape[-1]
    most = torch.arange(2, t + 1, device=maps.device, dtype=maps.dtype).log()  # ln(i + 1), i = 1 … T - 1
    nats: Tensor = torch.special.entr(maps).sum(-1)  # (..., B, H, T)
    return (nats[..., 1:] / most).mean((-3, -1))


def distance(maps: Tensor) -> Tensor:
    """Mean over all i of Σⱼ A[i, j] (i - j), in tokens (Vig & Belinkov 2019). Uniform attention: (T - 1) / 4."""
    place = torch.arange(maps.shape[-1], device=maps.device, dtype=maps.dtype)
    return ((place[:, None] - place) * maps).sum(-1).mean((-3, -1))


def distance_profile(maps: Tensor) -> Tensor:
    """The mean of A[i, i - d] over i ≥ d for every distance d: (..., H, T). Uniform: the mean of 1 / (i + 1)."""
    return torch.stack([maps.diagonal(-d, -2, -1).mean((-3, -1)) for d in range(maps.shape[-1])], -1)


def on_targets(maps: Tensor, targets: Tensor) -> Tensor:
    """Returns the mean weight of a row on its targets, over the rows that have any: (..., H), NaN without any target.

    The targets are bool (T, T) or (B, T, T), none after the row's own token.
    """
    b, t = maps.shape[-4], maps.shape[-1]
    targets = targets.expand(b, t, t)
    rows = (maps * targets[:, None]).sum(-1)  # (..., B, H, T), 0 without a target; summing row by row loses fewest bits
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
