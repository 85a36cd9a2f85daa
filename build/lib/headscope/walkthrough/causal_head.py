"""causal-head: a causal head that forgets to scale and weighs x in place of v, beside one that does neither.

Shapes: B batch (4), T positions (8), C channels (32), D = head width (16).
"""

import torch
from torch import Tensor, nn

from headscope.model.attention import attention, attention_scores, attention_weights
from headscope.walkthrough.step import Step, Told, Walk

SEED = 1337  #: what the document prints is of this one
B, T, C, D = 4, 8, 32, 16


@torch.no_grad()
def tell(seed: int) -> Told:
    torch.manual_seed(seed)
    x = torch.randn(B, T, C)
    key, query, value = (nn.Linear(C, D, bias=False) for _ in range(3))  # the document's order; it has no value
    q, k, v = query(x), key(x), value(x)  # (B, T, D) each
    plain, scaled = attention_weights(q, k, scale=1.0), attention_weights(q, k)  # (B, T, T) each
    by_x, by_v = attention(q, k, x, scale=1.0), attention(q, k, v)  # (B, T, C), (B, T, D)
    at = [f"t{i}" for i in range(T)]

    def step(title: str, text: str, values: Tensor, square: bool = False, weights: bool = False) -> Step:
        """The first sentence of the batch."""
        shape = f"{tuple(values.shape)}, batch element 0 of it"
        return Step(title, text, values[0], at, at if square else (), "weights" if weights else "signed", shape)

    printed = "as the document prints them" if seed == SEED else f"the document prints those of seed {SEED}"
    steps = [
        step("embeddings", f"x is noise: {B} sentences of {T} positions with {C} channels, no words.", x),
        step("keys", f"{C} channels to {D}, without bias; the key is made before the query, so the seed gives it.", k),
        step("queries", f"Another matrix, {C} to {D}.", q),
        step("scores", "Each query times each key, not scaled.", attention_scores(q, k, scale=1.0, causal=False), True),
        step("masked scores", "A position sees itself and what came before; the rest is -∞.",
             attention_scores(q, k, scale=1.0), True),
        step("weights", f"Softmax of each row, {printed}: {T * T} weights, 0 where the mask hides.",
             plain, True, True),
        step("output by x", "Its output: the weights times x itself.", by_x),
        step("scaled weights", f"Put right: the scores times 1/√{D} = {D**-0.5:.2f} before the softmax.",
             scaled, True, True),
        step("values", f"Put right: a third matrix, {C} to {D}, says what a position hands over.", v),
        step("weighted values", f"What {at[-1]} takes from each position: its scaled weight times the value.",
             scaled[:, -1, :, None] * v),
        step("output by v", "The weighted values added up: what a head hands on.", by_v),
    ]  # fmt: skip
    row = 2 + int(plain[0, 2:].amax(-1).argmax())  # the sharpest with more than two to choose from
    departure = (
        f"It leaves out the division by √d that its text explains, and it multiplies the weights with x, having no "
        f"value. Not scaled, the scores of this batch have a standard deviation of {_spread(q, k, 1.0):.2f}, scaled "
        f"{_spread(q, k, None):.2f}, and the softmax sharpens with it: the largest weight of row {at[row]} is "
        f"{plain[0, row].max():.4f} not scaled and {scaled[0, row].max():.4f} scaled, and the {T * T} weights differ "
        f"by up to {(plain - scaled)[0].abs().max():.4f}. By x the output is {tuple(by_x.shape)}, as wide as the "
        f"input; by v it is {tuple(by_v.shape)}, so that {C // D} heads side by side make {C}. Nothing here was "
        f"trained: the weights come of random matrices and say nothing of meaning."
    )
    return Told(steps, departure)


def _spread(q: Tensor, k: Tensor, scale: float | None) -> Tensor:
    return attention_scores(q, k, scale=scale, causal=False).std()


WALK = Walk("causal-head", "a causal head over random vectors, without and with scaling, by x and by v", SEED, tell)
