"""friends: four given vectors through projections that were never trained, every intermediate shown.

Shapes: T friends (4), C = D = 3 features.
"""

import torch
from torch import nn

from headscope.model.attention import attention, attention_scores, attention_weights
from headscope.walkthrough.step import Step, Told, Walk, number

FRIENDS = {
    "Alice": (0.2, 0.4, 0.6),
    "Bob": (0.1, 0.3, 0.5),
    "Charlie": (0.9, 0.1, 0.2),
    "Daisy": (0.7, 0.5, 0.9),
}


@torch.no_grad()
def tell(seed: int) -> Told:
    torch.manual_seed(seed)
    x, names = torch.tensor(list(FRIENDS.values())), list(FRIENDS)  # (T, C)
    query, key, value = (nn.Linear(3, 3, bias=False) for _ in range(3))  # in the document's order
    q, k, v = query(x), key(x), value(x)
    weights = attention_weights(q, k, causal=False)  # (T, T)
    y = attention(q, k, v, causal=False)  # (T, D)
    steps = [
        Step("embeddings", "Four friends are given, each as three features.", x, names),
        Step("projections", "Three matrices without bias, as chance makes them; each row gives one feature of Q, K, V.",
             torch.cat((query.weight, key.weight, value.weight)), [f"W_{m}[{i}]" for m in "QKV" for i in range(3)],
             shape="(3, 3) each"),
        Step("queries", "Q = W_Q x: what each friend asks.", q, names),
        Step("keys", "K = W_K x: what each friend offers.", k, names),
        Step("values", "V = W_V x: what each friend has to say.", v, names),
        Step("scores", "Each query times each key; rows ask, columns answer.",
             attention_scores(q, k, scale=1.0, causal=False), names, names),
        Step("scaled scores", "Divided by √3, the root of the width of a query.",
             attention_scores(q, k, causal=False), names, names),
        Step("weights", "Softmax of each row: how much a friend listens to each; nobody is masked.",
             weights, names, names, "weights"),
        Step("row sums", "The weights of each row add up to 1.", weights.sum(-1, keepdim=True), names, ("sum",),
             "table", "(4,)"),
        Step("weighted values", "What Alice takes from each friend: her weight on them times their value.",
             weights[0][:, None] * v, names),
        Step("output", "The weighted values added up, for each friend.", y, names),
    ]  # fmt: skip
    masked = attention(q, k, v, causal=True)
    apart = (y.max(0).values - y.min(0).values).max()
    departure = (
        f"It calls the matrices trainable and says that they are learned, but it has no loss and no optimiser: they "
        f"are a random draw. So nobody has anyone to listen to: all 16 weights lie between {weights.min():.4f} and "
        f"{weights.max():.4f}, about 1/4, and no feature of the output differs by more than {apart:.4f} between "
        f"friends. Its draw was not seeded, so the output that it prints cannot be reproduced. It sets no causal mask, "
        f"as is right for friends in no order; in a language model the mask would leave Alice only herself (weight "
        f"{attention_weights(q, k)[0, 0]:.4f} in place of {weights[0, 0]:.4f}), and move her output by up to "
        f"{(masked - y)[0].abs().max():.4f}, Daisy's, who is last, by {number(float((masked - y)[-1].abs().max()))}."
    )
    return Told(steps, departure)


WALK = Walk("friends", "four friends listen to each other: Q, K, V and every intermediate", 0, tell)
