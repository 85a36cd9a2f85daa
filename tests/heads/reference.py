"""Heads made by hand, and scores by loops: the references of the tests in this folder."""

import math

import torch


def random_maps(*shape, t, seed=0, sharpness=3.0):
    """Causal maps with rows that sum to one: (*shape, T, T), float64."""
    scores = sharpness * torch.randn(*shape, t, t, generator=torch.Generator().manual_seed(seed)).double()
    return scores.masked_fill(torch.ones(t, t).triu(1).bool(), -math.inf).softmax(-1)


def hard(t, target):
    """A (T, T) map whose row i puts everything on key target(i)."""
    maps = torch.zeros(t, t)
    for i in range(t):
        maps[i, target(i)] = 1
    return maps


def previous_head(t):
    return hard(t, lambda i: max(i - 1, 0))


def sink_head(t):
    return hard(t, lambda i: 0)


def uniform_head(t):
    return torch.ones(t, t).tril() / torch.arange(1, t + 1)[:, None]


def local_head(t, near=4):
    """Even over the `near` before a row and itself."""
    band = torch.ones(t, t).tril().triu(-near)
    return band / band.sum(-1, keepdim=True)


def duplicate_head(ids, rest=0):
    """The latest earlier equal of each row of one text; rows without one rest on themselves (1) or the first (0)."""
    row = ids.tolist()

    def target(i):
        return max((j for j in range(i) if row[j] == row[i]), default=i * rest)

    return hard(len(row), target)


def induction_head(ids, rest=0):
    """What followed the latest earlier equal of each row of one text."""
    row = ids.tolist()

    def target(i):
        return max((j for j in range(1, i) if row[j - 1] == row[i]), default=i * rest)

    return hard(len(row), target)


def over_rows(maps, targets):
    """Mean over rows with targets of the weight on them; targets(b, i) are keys. maps (B, H, T, T) to a list of H."""
    b_, h_, t, _ = maps.shape
    out = []
    for h in range(h_):
        rows = []
        for b in range(b_):
            for i in range(t):
                keys = targets(b, i)
                if keys:
                    rows.append(sum(float(maps[b, h, i, j]) for j in keys))
        out.append(sum(rows) / len(rows) if rows else math.nan)
    return out
