"""Attention of heads with known rules, for tests and for `benchmarks/detectors.py`.

Shapes: B texts, T positions, N heads, V vocabulary.
"""

import torch

from headscope.heads.patterns import Text, map_of, marks, patterns_of
from headscope.heads.rules import content_scores, distances
from headscope.heads.scores import uniform
from headscope.heads.terms import Observed

D = 8  # width of a head


def place_map(b, t, slope=0.5):
    """Returns the map of a head whose weights fall by e^-slope per token, (B, T, T)."""
    future = torch.ones(t, t, dtype=torch.bool).triu(1)
    return (-slope * distances(t).float()).masked_fill(future, -torch.inf).softmax(-1).expand(b, t, t)


def parts(ids, vocabulary):
    """Returns the map of each pattern and of "place", (B, T, T), with zero rows where a pattern marks no key."""
    text = Text(ids, vocabulary)
    found = {"place": place_map(*ids.shape)}
    for name, pattern in patterns_of(vocabulary).items():
        found[name] = map_of(pattern, text) * marks(pattern, text).any(-1, keepdim=True)
    return found


def mixed(weights, parts):
    """Returns the map of a head that mixes patterns. Patterns without a key leave their weight to the others."""
    total = sum(w * parts[name] for name, w in weights.items())
    size = total.sum(-1, keepdim=True)
    return torch.where(size > 0, total / size.clamp(min=1e-9), uniform(total))


def preferring(ids, vocabulary, query, key, strengths):
    """Returns the map of a head in which queries of a class prefer keys of a class, and other queries avoid them."""
    q, k = (2 * vocabulary.classes[name].float()[:, None, None] - 1 for name in (query, key))
    scores = content_scores(q, k, torch.tensor(strengths)[None, None], ids)[0]
    return (place_map(*ids.shape, slope=0.3).log() + scores).softmax(-1)


def random_maps(n, b, t, sharpness, seed=0):
    """Returns the maps of heads whose scores are independent noise, (N, B, T, T)."""
    scores = sharpness * torch.randn(n, b, t, t, generator=torch.Generator().manual_seed(seed))
    return scores.masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), -torch.inf).softmax(-1)


def observed(ids, vocabulary, maps):
    """Returns what `fit` needs for maps (N, B, T, T), with random values."""
    text, n = Text(ids, vocabulary), len(maps)
    rows = torch.stack([marks(p, text) for p in patterns_of(vocabulary).values()])
    values = torch.randn(n, *ids.shape, D, generator=torch.Generator().manual_seed(0))
    return Observed(ids, maps, values, torch.eye(D).expand(n, D, D), rows)
