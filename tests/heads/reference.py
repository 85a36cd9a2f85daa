"""Attention maps made by hand, and scores computed by loops, as references for the tests in this folder."""

import math

import torch


def random_maps(*shape, t, seed=0, sharpness=3.0):
    """Returns random causal maps whose rows sum to one: (*shape, T, T), float64."""
    scores = sharpness * torch.randn(*shape, t, t, generator=torch.Generator().manual_seed(seed)).double()
    return scores.masked_fill(torch.ones(t, t).triu(1).bool(), -math.inf).softmax(-1)


def hard(t, target):
    """Returns a map (T, T) in which query i attends only to key target(i)."""
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
    """Returns a map with equal weights on each query's own position and the `near` positions before it."""
    band = torch.ones(t, t).tril().triu(-near)
    return band / band.sum(-1, keepdim=True)


def duplicate_head(ids, rest=0):
    """Returns a map in which each token attends to its latest earlier copy.

    Tokens without a copy attend to themselves (`rest` is 1) or to the first token (`rest` is 0).
    """
    row = ids.tolist()

    def target(i):
        return max((j for j in range(i) if row[j] == row[i]), default=i * rest)

    return hard(len(row), target)


def induction_head(ids, rest=0):
    """Returns a map in which each token attends to the token that followed its latest earlier copy; `rest` as above."""
    row = ids.tolist()

    def target(i):
        return max((j for j in range(1, i) if row[j - 1] == row[i]), default=i * rest)

    return hard(len(row), target)


def over_rows(maps, targets):
    """Returns for each head the mean weight on the keys targets(b, i), over queries that have such keys.

    `maps` is (B, H, T, T).
    """
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
