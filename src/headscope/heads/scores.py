"""Scores of what heads look at, from their maps alone: where on average a row puts its weight.

Every score is a mean over the rows that could have scored: a row without a target is left out of the denominator, so
that a head that does one thing perfectly scores 1 at it. With no such row the score is NaN.

Shapes: maps (..., B, H, T, T), query i before key j, rows sum to one over j ≤ i; ids (B, T); results (..., H), pooled
over the rows of all B texts. Positions count from 0.
"""

import torch
from torch import Tensor

NEAR = 4  #: tokens; what `local` calls near


def previous_token(maps: Tensor) -> Tensor:
    """Mean of A[i, i - 1] over i ≥ 1 (after Voita et al. 2019, section 5). Uniform attention: (H_T - 1) / (T - 1)."""
    return maps.diagonal(-1, -2, -1).mean((-3, -1))


def sink(maps: Tensor) -> Tensor:
    """Mean of A[i, 0] over all i (after Gu et al. 2024, arXiv 2410.10781). Uniform attention: H_T / T."""
    return maps[..., 0].mean((-3, -1))


def local(maps: Tensor, near: int = NEAR) -> Tensor:
    """Mean over i > near of the weight on the row's own token and the `near` before it; earlier rows see no others.

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
    """Prefix matching: mean weight on what followed earlier equal tokens, over the rows where something did.

    Olsson et al. 2022, "prefix matching score". The row's own token is never counted, though it follows its equal
    where a token stands twice: a head that looks at itself matches nothing.
    """
    return on_targets(maps, after_earlier_equals(ids))


def evenness(maps: Tensor) -> Tensor:
    """Mean over i ≥ 1 of the row's entropy over ln(i + 1), its largest value (Pielou 1966): 1 is uniform, 0 one key."""
    t = maps.shape[-1]
    most = torch.arange(2, t + 1, device=maps.device, dtype=maps.dtype).log()  # ln(i + 1), i = 1 … T - 1
    return (_row_entropy(maps)[..., 1:] / most).mean((-3, -1))


def entropy(maps: Tensor) -> Tensor:
    """Mean over all i of -Σⱼ A[i, j] ln A[i, j], in nats. Uniform attention: ln(T!) / T."""
    return _row_entropy(maps).mean((-3, -1))


def distance(maps: Tensor) -> Tensor:
    """Mean over all i of Σⱼ A[i, j] (i - j), in tokens (Vig & Belinkov 2019). Uniform attention: (T - 1) / 4."""
    place = torch.arange(maps.shape[-1], device=maps.device, dtype=maps.dtype)
    return ((place[:, None] - place) * maps).sum(-1).mean((-3, -1))


def distance_profile(maps: Tensor) -> Tensor:
    """The weight at every distance d: the mean of A[i, i - d] over i ≥ d. (..., H, T); uniform: mean of 1 / (i + 1)."""
    return torch.stack([maps.diagonal(-d, -2, -1).mean((-3, -1)) for d in range(maps.shape[-1])], -1)


def token_pairs(maps: Tensor, ids: Tensor, vocab_size: int) -> Tensor:
    """The mean weight of each pair of tokens that occurs, j ≤ i: (..., H, V, V), query before key; NaN if none does."""
    b, t = ids.shape
    pair = ids[:, :, None] * vocab_size + ids[:, None, :]  # (B, T, T)
    past = torch.ones(t, t, dtype=torch.bool, device=ids.device).tril().expand(b, t, t)
    weights = maps.movedim(-3, 0)[..., past]  # (H, ..., P), P pairs of positions
    total = weights.new_zeros(*weights.shape[:-1], vocab_size**2).index_add_(-1, pair[past], weights)
    count = torch.bincount(pair[past], minlength=vocab_size**2)
    return (total / count).movedim(0, -2).reshape(*maps.shape[:-4], -1, vocab_size, vocab_size)


def in_context_score(losses: Tensor, width: int = 1) -> Tensor:
    """Loss late in the context minus loss early, in nats: below 0 where earlier tokens help (Olsson et al. 2022).

    The paper takes the 500th and the 50th token of 512. Here they are as far along any context, and `width` tokens from
    there are averaged, for a probe too small for one.

    Args:
        losses: nats of each target (B, T), of which the first is predicted from one token.
        width: tokens of each window.
    """
    t = losses.shape[1]
    early, late = 50 * t // 512, min(500 * t // 512, t - width)
    return losses[:, late : late + width].mean() - losses[:, early : early + width].mean()


def on_targets(maps: Tensor, targets: Tensor) -> Tensor:
    """Mean weight on the targets of a row, over the rows that have any.

    Args:
        maps: (..., B, H, T, T).
        targets: bool (T, T) or (B, T, T), none of them after its row.

    Returns:
        (..., H); NaN without any target.
    """
    b, t = maps.shape[-4], maps.shape[-1]
    targets = targets.expand(b, t, t)
    rows = (maps * targets[:, None]).sum(-1)  # (..., B, H, T), 0 without a target; row by row loses fewest bits
    return rows.sum((-3, -1)) / targets.any(-1).sum()


def earlier_equals(ids: Tensor) -> Tensor:
    """ids (B, T) to (B, T, T): True at [i, j] where token j equals token i and j < i."""
    return (ids[:, :, None] == ids[:, None, :]).tril(-1)


def after_earlier_equals(ids: Tensor) -> Tensor:
    """ids (B, T) to (B, T, T): True at [i, j] where token j - 1 equals token i and j < i."""
    return earlier_equals(ids).roll(1, -1).tril(-1)


def uniform(maps: Tensor) -> Tensor:
    """The map of a head that looks at its past evenly, in the shape of `maps`: A[i, j] = 1 / (i + 1)."""
    t = maps.shape[-1]
    ones = torch.ones(t, t, dtype=maps.dtype, device=maps.device).tril()
    return (ones / ones.sum(-1, keepdim=True)).expand(maps.shape)


def _row_entropy(maps: Tensor) -> Tensor:
    nats: Tensor = torch.special.entr(maps)
    return nats.sum(-1)
