"""causal-head: a causal head of width D = 16 over B = 4 texts of T = 8 random vectors with C = 32 channels."""

from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from headscope.model.attention import attention
from headscope.walkthrough.matrix import Numbers
from headscope.walkthrough.plain import compare, hide_later, mix, project, weigh, weight_values
from headscope.walkthrough.walk import Walk

SEED = 1337  #: gives the 64 weights that Andrej Karpathy's lecture “Let's build GPT” prints
B, T, C, D = 4, 8, 32, 16
AT = [f"t{i}" for i in range(T)]


def shrink(scores: Tensor, scale: float) -> Tensor:
    return scores * scale  # by default 1/√D


def compute(seed: int, *, scale: Annotated[float, Ge(0), Le(10)] = D**-0.5, mask: bool = True) -> Numbers:
    numbers = Numbers(scale=scale, mask=mask, is_lecture=seed == SEED)
    # %% Eight positions
    torch.manual_seed(seed)
    x = torch.randn(B, T, C)
    numbers.add(("embeddings", "X", x), rows=AT)
    # %% Keys and queries
    key, query, value = (nn.Linear(C, D, bias=False) for _ in range(3))  # this order gives the lecture's numbers
    q, k, v = project(x, query, key, value)  # (B, T, D) each
    numbers.add(("keys", "K", k), ("queries", "Q", q), rows=AT)
    # %% Scores and the mask
    scores = compare(q, k)  # (B, T, T)
    visible = hide_later(scores) if mask else scores
    numbers.add(("scores", "Q Kᵀ", scores), ("masked scores", "S", visible), rows=AT, columns=AT)
    # %% Weights, not scaled
    weights = weigh(visible)
    numbers.add(("weights", "A", weights), rows=AT, columns=AT, kind="weights")
    # %% Weights, scaled
    scaled_scores = shrink(scores, scale)  # before the mask, because 0 times -∞ is NaN
    scaled_weights = weigh(hide_later(scaled_scores) if mask else scaled_scores)
    numbers.add(("scaled weights", "A'", scaled_weights), rows=AT, columns=AT, kind="weights")
    # %% Values
    output = mix(scaled_weights, v)  # (B, T, D)
    weighted = weight_values(scaled_weights[:, -1], v)  # (B, T, D)
    numbers.add(("values", "V", v), ("weighted values", "A'[t7] · V", weighted), ("output by v", "Y", output), rows=AT)
    # %% Without values
    numbers.add(("output by x", "A X", mix(weights, x)), rows=AT)
    # %%
    row = 2 + int(weights[0, 2:].amax(-1).argmax())  # the row with the largest weight, except t0 and t1
    best, favourite = int(weights[0, row].argmax()), int(weights[0, -1].argmax())
    seen = visible[0][visible[0].isfinite()]
    numbers.update(row=AT[row], column=AT[best], favourite=AT[favourite])
    numbers.update(largest=weights[0, row, best], largest_scaled=scaled_weights[0, row].max())
    numbers.update(lowest=seen.min(), highest=seen.max(), is_scaled=scale != 0)
    numbers.update(spread=scores.std(), spread_scaled=scaled_scores.std())
    numbers["apart"] = (weights[0] - scaled_weights[0]).abs().max()
    numbers["difference"] = (attention(q, k, v, scale=scale, causal=mask) - output).abs().max() if scale else 0
    return numbers


WALK = Walk("causal-head", "a causal head over random vectors, with and without scaling and values", SEED, compute)
