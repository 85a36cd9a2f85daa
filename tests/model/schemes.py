"""One row per positional scheme: its class, and an independent implementation of its formula.

The second implementation is written in float64 NumPy from the paper's formula. It uses loops or complex numbers where
the model does not. Every test of a scheme, for every package, runs for each of these rows.

Shapes: T positions, C = d_model, H heads, D = C / H.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from headscope.model.position import Position, biases, rotary, tables


def plain(q, k, x, w, layer):
    return q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])


def nowhere(w, t, c):
    return np.zeros((t, c))


class Row(NamedTuple):
    scheme: Callable[..., Position]
    #: maps q, k (H, T, D), the normed input (T, C), the scheme's weights and the layer to scaled scores (H, T, T)
    scores: Callable[..., Any] = plain
    #: maps the scheme's weights, T and C to what is added to the embedding (T, C)
    embed: Callable[..., Any] = nowhere
    mask: bool = False  #: the scheme needs an explicit mask, so training does not use the fused causal kernel
    ends: bool = False  #: the scheme is limited to the trained length
    on_page: bool = True  #: the page of `show=page` can compute it


def sines(w, t, c):
    angle = np.arange(t)[:, None] * 10000.0 ** (-np.arange(0, c, 2) / c)
    return np.stack((np.sin(angle), np.cos(angle)), -1).reshape(t, c)


def turned(q, k, x, w, layer):
    """Rotates by complex numbers."""
    t, d = q.shape[1:]
    turn = np.exp(1j * np.arange(t)[:, None] * 10000.0 ** (-np.arange(0, d, 2) / d))
    q, k = ((u[..., 0::2] + 1j * u[..., 1::2]) * turn for u in (q, k))
    return (q @ k.conj().transpose(0, 2, 1)).real / math.sqrt(d)


def partly(q, k, x, w, layer, offset=False):
    d, r = q.shape[-1], q.shape[-1] // 2
    still = k[..., r:]
    if offset:
        still = np.stack([still[:, max(j - 1, 0)] for j in range(k.shape[1])], 1)
    by_place = turned(q[..., :r], k[..., :r], x, w, layer) * math.sqrt(r / d)
    return by_place + q[..., r:] @ still.transpose(0, 2, 1) / math.sqrt(d)


def every_other(q, k, x, w, layer):
    return (plain if layer % 2 else turned)(q, k, x, w, layer)


def polar(q, k, x, w, layer):
    """Returns Σ over channels of both magnitudes times cos(distance · frequency + phase)."""
    h, t, d = q.shape
    q, k = np.log1p(np.exp(q)), np.log1p(np.exp(k))
    theta, delta = 10000.0 ** (-np.arange(d) / d), np.clip(w["phases"], -2 * np.pi, 0)
    scores = np.empty((h, t, t))
    for i in range(t):
        for j in range(t):
            scores[:, i, j] = (q[:, i] * k[:, j] * np.cos((j - i) * theta + delta)).sum(-1)
    return scores / math.sqrt(d)


def biased(bias):
    """Returns the scores of a scheme that adds bias(head, distance, heads, weights) to the scaled product q kᵀ."""

    def scores(q, k, x, w, layer):
        h, t, _ = q.shape
        distance = np.maximum(np.arange(t)[:, None] - np.arange(t), 0)
        table = np.array([[bias(head, n, h, w) for n in range(t)] for head in range(h)])
        return plain(q, k, x, w, layer) + table[:, distance]

    return scores


def bucket(n):
    """Returns one of 32 buckets up to distance 128, by comparing powers, without a logarithm: 16 · 8^(b/16) ≤ n."""
    return n if n < 16 else max(b for b in range(16, 32) if 16**16 * 8 ** (b - 16) <= n**16)


def forgetting(q, k, x, w, layer):
    _, t, _ = q.shape
    log_f = -np.log1p(np.exp(-(x @ w["gate.weight"].T + w["gate.bias"] + 5)))  # (T, H)
    scores = plain(q, k, x, w, layer)
    for i in range(t):
        for j in range(i + 1):
            scores[:, i, j] += log_f[j + 1 : i + 1].sum(0)
    return scores


ROWS = {
    "sinusoidal": Row(tables.Sinusoidal, embed=sines),
    "learned": Row(tables.Learned, embed=lambda w, t, c: w["vectors.weight"][:t], ends=True),
    "rope": Row(rotary.Rotary, turned),
    "alibi": Row(biases.ALiBi, biased(lambda head, n, h, w: -n * 2 ** (-8 * (head + 1) / h))),
    "none": Row(Position),
    "partial-rope": Row(rotary.PartialRotary, partly),
    "partial-rope, key offset": Row(
        partial(rotary.PartialRotary, key_offset=True), partial(partly, offset=True), on_page=False
    ),
    "rope-nope": Row(rotary.RotaryAndNone, every_other),
    "pope": Row(rotary.Polar, polar, on_page=False),
    "t5": Row(biases.T5, biased(lambda head, n, h, w: w["biases"][head, bucket(n)]), mask=True),
    "kerple": Row(
        biases.Kerple,
        biased(lambda head, n, h, w: -math.exp(w["log_r1"][head]) * math.log(1 + math.exp(w["log_r2"][head]) * n)),
        mask=True,
    ),
    "fox": Row(biases.Forgetting, forgetting, on_page=False),
}
