"""causal-head: a causal head over random vectors, without and with scaling, of x itself and of values.

Shapes: B batch (4), T positions (8), C channels (32), D = head width (16).
"""

from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from headscope.model.attention import attention
from headscope.walkthrough.plain import compare, hide_later, mix, project, take, weigh
from headscope.walkthrough.step import Change, Kind, Matrix, Mistake, Step, Walk, WalkResult, number

SEED = 1337  #: of the 64 weights that Andrej Karpathy's lecture “Let's build GPT” prints
B, T, C, D = 4, 8, 32, 16


def shrink(scores: Tensor, scale: float) -> Tensor:
    return scores * scale  # 1/√D


@torch.no_grad()
def tell(seed: int, *, scale: Annotated[float, Ge(0), Le(10)] = D**-0.5, mask: bool = True) -> WalkResult:
    torch.manual_seed(seed)
    x = torch.randn(B, T, C)
    key, query, value = (nn.Linear(C, D, bias=False) for _ in range(3))  # this order, so that a seed gives the numbers
    q, k, v = project(x, query, key, value)  # (B, T, D) each
    scores = compare(q, k)  # (B, T, T)
    seen = hide_later(scores) if mask else scores
    plain = weigh(seen)
    scaled = weigh(shrink(seen, scale) if scale else torch.where(seen.isfinite(), 0.0, seen))
    by_x, by_v = mix(plain, x), mix(scaled, v)  # (B, T, C), (B, T, D)
    at = [f"t{i}" for i in range(T)]
    last = at[-1]

    def matrix(title: str, symbol: str, values: Tensor, square: bool = False, weights: bool = False) -> Matrix:
        """The first sentence of the batch."""
        shape = f"{tuple(values.shape)}, batch element 0 of it"
        kind: Kind = "weights" if weights else "signed"
        return Matrix(title, symbol, values[0], at, at if square else (), kind, shape)

    m_x, m_q, m_k = matrix("embeddings", "X", x), matrix("queries", "Q", q), matrix("keys", "K", k)
    m_scores, m_seen = matrix("scores", "Q Kᵀ", scores, True), matrix("masked scores", "S", seen, True)
    m_plain = matrix("weights", "A", plain, True, True)
    m_scaled = matrix("scaled weights", "A'", scaled, True, True)
    m_v, m_by_v = matrix("values", "V", v), matrix("output by v", "Y", by_v)
    row = 2 + int(plain[0, 2:].amax(-1).argmax())  # the sharpest with more than two to choose from
    heard = seen[0][seen[0].isfinite()]  # the scores that a softmax gets
    spread = float(scores.std()), float((scores * scale).std())
    later = "a score of -∞ for every later one" if mask else "the mask is off, so nothing is hidden"
    steps = [
        Step(
            "Eight positions", "What does a head get?",
            f"A head is the part of a model by which positions hear of each other: three matrices, and what is done "
            f"with what they make. It gets {B} sentences of {T} positions with {C} numbers (channels) each. They are "
            f"noise and no words: what follows is what a head does with any input, before it has learned anything. "
            f"Only the first sentence is shown.",
            f"X: {T} positions × {C} channels", (), (), (m_x,),
            "Every cell is a draw around 0 with a spread of 1. A row is a position.",
        ),
        Step(
            "Keys and queries", "How do two positions get something that can be compared?",
            f"Two matrices without bias take {C} channels to {D}: a query says what a position looks for, a key what "
            f"it offers. (The third matrix, for values, comes later.)",
            "Q = X Wqᵀ    K = X Wkᵀ", (project,), (m_x, "→"), (m_k, m_q),
            f"A head is narrower than its input. Each reads all {C} channels and makes {D}, so that {C // D} heads "
            f"side by side give {C} again.",
        ),
        Step(
            "Scores and the mask", "Who may look at whom?",
            f"The product of queries and keys has a score for each pair. A model that predicts what comes next must "
            f"not see it, so the causal mask leaves a position itself and what came before: {later}.",
            "S = Q Kᵀ, -∞ where the column comes after the row" if mask else "S = Q Kᵀ",
            (compare, hide_later) if mask else (compare,), (m_q, "×", m_k.turned, "="), (m_scores, "→", m_seen),
            f"Rows ask, columns answer. {at[0]} may see 1 position, {last} all {T}. The scores run from "
            f"{number(float(heard.min()))} to {number(float(heard.max()))}{', where not hidden' * mask}: a wide range "
            f"for a softmax.",
            Change("mask", "no", "What if nothing is hidden?", ("weights", 0, 0),
                   f"With the mask {at[0]} has only itself to listen to. Without it the row has {T} columns to share "
                   f"among, later ones too, and a model would read the answers in advance."),
        ),
        Step(
            "Weights, not scaled", "What if the scores go into the softmax as they are?",
            "Each row becomes shares that add up to 1. e to the power of -∞ is 0, so what is hidden gets nothing. "
            + (f"These are the {T * T} weights that Andrej Karpathy's lecture “Let's build GPT” prints." if seed == SEED
               else f"The {T * T} weights that Andrej Karpathy's lecture “Let's build GPT” prints are those of seed "
                    f"{SEED}."),
            "A = softmax of each row of S", (weigh,), (m_seen, "softmax →"), (m_plain,),
            f"Row {at[row]} gives {plain[0, row].max():.4f} to a single position, although nothing was learned. That "
            f"comes from the size of the scores alone.",
        ),
        Step(
            "Weights, scaled", "What does 1/√d do?",
            f"A score is a sum of d = {D} products, and a sum of d independent numbers spreads √d = {D**0.5:.0f} times "
            f"as widely as one of them. Times {scale:g} the spread (standard deviation) over this batch is "
            f"{spread[1]:.2f} in place of {spread[0]:.2f}; with 1/√d it does not depend on the width of a head.",
            f"A' = softmax of each row of S · {scale:g}", (shrink, weigh),
            (m_seen, f"· {scale:g}, softmax →"), (m_scaled,),
            f"The largest weight of row {at[row]} is {scaled[0, row].max():.4f} now, not {plain[0, row].max():.4f}. "
            f"The more a row gives to one position, the smaller is the gradient of its softmax, and the slower it "
            f"learns to look elsewhere.",
            Change("scale", "1", "What if the scores are not divided?",
                   ("scaled weights", row, int(plain[0, row].argmax())),
                   f"A larger factor sharpens every row, a smaller one evens it out; {D**-0.5:g} is 1/√{D}, and with 1 "
                   f"the weights are those of the step before."),
        ),
        Step(
            "Values", "What does a position hand over?",
            f"Not itself, but its value: a third matrix makes {D} channels of it. A position takes from itself and "
            f"each earlier one as much as its weight says, and adds it up.",
            "V = X Wvᵀ    Y = A' V", (take, mix), (m_scaled, "×", m_v, "="),
            (m_v, matrix("weighted values", f"A'[{last}] · V", take(scaled[:, -1], v)), m_by_v),
            f"The last row of Y is the sum of the weighted values of {last}. "
            + (f"The function that models use, headscope.model.attention.attention, gives the same; the largest "
               f"difference is {number(float((attention(q, k, v, scale=scale, causal=mask) - by_v).abs().max()))}."
               if scale else
               "With a factor of 0 it is the plain mean of what a position may see."),
            Change("scale", "0", "What if all scores are 0?", ("scaled weights", T - 1, 0),
                   f"Equal scores give equal shares: {last} takes the mean of the {T} positions that it sees, 1/{T} "
                   f"of each. The scores are what makes attention choose."),
        ),
        Step(
            "Without values", "What if the weights multiply x itself?",
            "Then there is no third matrix, and what the head passes on cannot be learned: it is the input itself, all "
            "of it. Here with the weights A that are not scaled.",
            "Y = A X", (mix,), (m_plain, "×", m_x, "="), (matrix("output by x", "A X", by_x),),
            f"The output is {C} wide, as the input: {tuple(by_x.shape)}. By values it is {tuple(by_v.shape)}, so that "
            f"{C // D} heads side by side make {C}; without values they would make {C // D * C}.",
        ),
    ]  # fmt: skip
    mistakes = [
        Mistake(
            "Leaving out the division by √d",
            f"Not scaled, the scores of this batch have a standard deviation of {spread[0]:.2f}, scaled "
            f"{spread[1]:.2f}, and the softmax sharpens with it: the largest weight of row {at[row]} is "
            f"{plain[0, row].max():.4f} not scaled and {scaled[0, row].max():.4f} scaled, and the {T * T} weights "
            f"differ by up to {(plain - scaled)[0].abs().max():.4f}.",
        ),
        Mistake(
            "Weighing x in place of values",
            f"By x the output is {tuple(by_x.shape)}, as wide as the input; by v it is {tuple(by_v.shape)}. Without "
            f"values a head cannot choose what it hands over, and {C // D} heads side by side are {C // D * C} wide, "
            f"not {C}.",
        ),
        Mistake(
            "Reading a meaning into random weights",
            f"{last} gives {at[int(plain[0, -1].argmax())]} {plain[0, -1].max():.4f}, and one is tempted to say that "
            f"the two belong together. The vectors are noise and the matrices random: another seed gives another "
            "favourite.",
        ),
    ]
    checks = [
        (
            f"Why is the first row of the weights 1 and then {T - 1} zeros?" if mask else
            "The first row of the weights has no zeros. What would the mask change?",
            f"The mask leaves {at[0]} only itself, and a row adds up to 1.",
        ),
        (
            "Why are scores divided by √d?",
            f"A score is a sum over d channels and spreads with √d; widely spread scores make the softmax give most "
            f"to one position ({plain[0, row].max():.4f} in row {at[row]}), which then learns slowly.",
        ),
        (
            "What would be lost if a head had no values?",
            f"The choice of what to hand over: it would be the input itself, with all its {C} channels, so that "
            f"{C // D} heads side by side would be {C // D * C} wide.",
        ),
    ]  # fmt: skip
    return WalkResult("How does a position decide which earlier ones to listen to?", steps, mistakes, checks)


WALK = Walk("causal-head", "a causal head over random vectors, without and with scaling, by x and by v", SEED, tell)
