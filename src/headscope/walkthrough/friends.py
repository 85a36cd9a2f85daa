"""friends: attention between T = 4 vectors with C = D = 3 features; the head with chosen matrices has D = 1."""

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from headscope.model.attention import attention, attention_weights
from headscope.walkthrough.matrix import Numbers
from headscope.walkthrough.plain import compare, mix, project, scale, weigh, weight_values
from headscope.walkthrough.walk import Walk

FRIENDS = {
    "Alice": (0.2, 0.4, 0.6),
    "Bob": (0.1, 0.3, 0.5),
    "Charlie": (0.9, 0.1, 0.2),
    "Daisy": (0.7, 0.5, 0.9),
}
NAMES, FEATURES = tuple(FRIENDS), ("music", "food", "travel")
PROJECTIONS = [f"W{matrix}[{i}]" for matrix in "qkv" for i in range(3)]  #: row labels for Wq, Wk and Wv


def choose(x: Tensor, sharpness: float, sign: int) -> tuple[Tensor, Tensor]:
    taste = x[:, 2:] - x[:, :1]  # (T, 1): travel minus music
    return sharpness * taste, sign * taste  # q and k


def compute(
    seed: int,
    *,
    sharpness: Annotated[float, Ge(0), Le(100)] = 10.0,
    keys: Literal["alike", "opposite"] = "alike",
) -> Numbers:
    numbers = Numbers(seed=seed, sharpness=sharpness, opposite=keys == "opposite", sign="" if keys == "alike" else "-")
    # %% Four friends
    x = torch.tensor(list(FRIENDS.values()))  # (T, C)
    numbers.add(("embeddings", "X", x), rows=NAMES, columns=FEATURES)
    # %% Query, key, value
    torch.manual_seed(seed)
    query, key, value = (nn.Linear(3, 3, bias=False) for _ in range(3))
    q, k, v = project(x, query, key, value)  # (T, D) each
    w = torch.cat((query.weight, key.weight, value.weight))
    numbers.add(("projections", "W", w), rows=PROJECTIONS, columns=FEATURES, shape="(3, 3) each")
    numbers.add(("queries", "Q", q), ("keys", "K", k), ("values", "V", v), rows=NAMES)
    # %% Scores
    scores = compare(q, k)
    scaled = scale(scores, 3)
    numbers.add(("scores", "Q Kᵀ", scores), ("scaled scores", "S", scaled), rows=NAMES, columns=NAMES)
    # %% Weights
    weights = weigh(scaled)  # (T, T)
    numbers.add(("weights", "A", weights), rows=NAMES, columns=NAMES, kind="weights")
    numbers.add(("row sums", "Σ A", weights.sum(-1)), rows=NAMES, columns=("sum",), kind="table")
    # %% Output
    y = mix(weights, v)  # (T, D)
    numbers.add(("weighted values", "A[Alice] · V", weight_values(weights[0], v)), ("output", "Y", y), rows=NAMES)
    # %% Chosen matrices
    q1, k1 = choose(x, sharpness, 1 if keys == "alike" else -1)  # (T, 1) each
    chosen_scores = compare(q1, k1)
    numbers.add(("chosen queries", "q", q1), rows=NAMES, columns=("query",))
    numbers.add(("chosen keys", "k", k1), rows=NAMES, columns=("key",))
    numbers.add(("chosen scores", "S", chosen_scores), rows=NAMES, columns=NAMES)
    # %% Two groups
    chosen = weigh(chosen_scores)
    numbers.add(("chosen weights", "A", chosen), rows=NAMES, columns=NAMES, kind="weights")
    numbers.add(("chosen output", "Y", mix(chosen, x)), rows=NAMES, columns=FEATURES)
    # %%
    change = attention(q, k, v, causal=True) - y  # the effect of a causal mask on the output
    numbers.update(first_change=change[0].abs().max(), last_change=change[-1].abs().max())
    numbers.update(masked_weight=attention_weights(q, k)[0, 0], spread=(y.amax(0) - y.amin(0)).max())
    numbers["difference"] = (attention(q, k, v, causal=False) - y).abs().max()
    return numbers


WALK = Walk("friends", "four friends attend to each other, with random matrices and then with chosen ones", 0, compute)
