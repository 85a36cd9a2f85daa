"""Scores of attention maps: how much weight a head puts on a certain kind of key, on average.

Each score is a mean over the rows that have a key of this kind. Other rows do not count, so a head that puts all its
weight on such keys, where they exist, scores 1. If no row has such a key, the score is NaN.

A function with the decorator `Score` computes one number per row. The score is the mean of these numbers.

Shapes: maps A (..., B, H, T, T), indexed [query i, key j], whose rows sum to one over j ≤ i; ids (B, T); results
(..., H), averaged over the rows of all B texts. Positions count from 0. H_T is the harmonic number 1 + 1/2 + … + 1/T.
"""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

NEAR = 4  #: tokens before the current token that `local` includes


class Score:
    """A score: the mean of `rows`, a function that returns one number per row, (..., B, H, T).

    A row with NaN does not count.
    """

    def __init__(self, rows: Callable[..., Tensor]) -> None:
        self.rows = rows
        update_wrapper(self, rows)

    def __call__(self, *args: Any, **options: Any) -> Tensor:
        return self.rows(*args, **options).nanmean((-3, -1))


@Score
def previous_token(maps: Tensor) -> Tensor:
    """Mean of A[i, i - 1] over i ≥ 1 (after Voita et al. 2019, section 5). Uniform attention: (H_T - 1) / (T - 1)."""
    return _without_first_row(maps.diagonal(-1, -2, -1))


@Score
def sink(maps: Tensor, ids: Tensor) -> Tensor:
    """Mean over all i of the weight on the first token (after Gu et al. 2024, arXiv 2410.10781).

    If a text begins with several equal tokens, the weight on all of them counts. Without vectors for absolute
    positions, these tokens have the same residual stream, because each of them attends to equal tokens only. A sink
    then divides its weight equally among them. Uniform attention: H_T / T for texts whose first two tokens differ.
    """
    first = (ids == ids[:, :1]).cumprod(-1).to(maps.dtype)  # (B, T): 1 in the run of equal first tokens
    return (maps @ first[:, None, :, None]).squeeze(-1)  # (..., B, H, T)


@Score
def local(maps: Tensor, near: int = NEAR) -> Tensor:
    """Mean over i > near of the weight on the current token and the `near` tokens before it.

    Earlier rows do not count, because all their keys are in this range. Uniform: the mean of (near + 1) / (i + 1).
    """
    t = maps.shape[-1]
    ones = torch.ones(t, t, dtype=torch.bool, device=maps.device)
    targets = ones.tril() & ones.triu(-near)
    targets[: near + 1] = False
    return weight_on_targets(maps, targets)


@Score
def duplicate_token(maps: Tensor, ids: Tensor) -> Tensor:
    """Mean weight on earlier equal tokens, over the rows that have such a token (Wang et al. 2022, section 3)."""
    return weight_on_targets(maps, earlier_equals(ids))


@Score
def induction(maps: Tensor, ids: Tensor) -> Tensor:
    """Mean weight on the tokens that followed earlier equal tokens, over the rows that have such a token.

    Source: Olsson et al. 2022, "prefix matching score". The current token itself never counts, even if it follows an
    equal token, because a head that attends to the current token matches nothing.
    """
    return weight_on_targets(maps, after_earlier_equals(ids))


@Score
def evenness(maps: Tensor) -> Tensor:
    """Mean over i ≥ 1 of the row's entropy divided by its maximum, ln(i + 1) (Pielou 1966). Uniform attention: 1."""
    t = maps.shape[-1]
    maximum = torch.arange(2, t + 1, device=maps.device, dtype=maps.dtype).log()  # ln(i + 1), i = 1 … T - 1
    nats: Tensor = torch.special.entr(maps).sum(-1)  # (..., B, H, T)
    return _without_first_row(nats[..., 1:] / maximum)


@Score
def distance(maps: Tensor) -> Tensor:
    """Mean over all i of Σⱼ A[i, j] (i - j), in tokens (Vig & Belinkov 2019). Uniform attention: (T - 1) / 4."""
    position = torch.arange(maps.shape[-1], device=maps.device, dtype=maps.dtype)
    return ((position[:, None] - position) * maps).sum(-1)


def distance_profile(maps: Tensor) -> Tensor:
    """Mean of A[i, i - d] over i ≥ d, for every distance d: (..., H, T). Uniform attention: the mean of 1 / (i + 1)."""
    return torch.stack([maps.diagonal(-d, -2, -1).mean((-3, -1)) for d in range(maps.shape[-1])], -1)


def weight_on_targets(maps: Tensor, targets: Tensor) -> Tensor:
    """Returns the weight on the targets of each row, (..., B, H, T); NaN in rows that have no target.

    Targets are bool, (T, T) or (B, T, T), and lie at or before the query.
    """
    b, t = maps.shape[-4], maps.shape[-1]
    targets = targets.expand(b, t, t)[:, None]  # (B, 1, T, T)
    return (maps * targets).sum(-1).where(targets.any(-1), torch.nan)


def _without_first_row(rows: Tensor) -> Tensor:
    """Returns the values of rows 1 … T - 1, (..., T - 1), with NaN for row 0: (..., T)."""
    return F.pad(rows, (1, 0), value=torch.nan)


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
