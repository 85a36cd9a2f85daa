"""friends: four given vectors, heard through matrices that chance made, and through two that were chosen.

Shapes: T friends (4), C = D = 3 features; the chosen head has D = 1.
"""

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from headscope.model.attention import attention, attention_weights
from headscope.walkthrough.plain import compare, mix, project, scale, take, weigh
from headscope.walkthrough.step import Change, Matrix, Mistake, Step, Walk, WalkResult, number

FRIENDS = {
    "Alice": (0.2, 0.4, 0.6),
    "Bob": (0.1, 0.3, 0.5),
    "Charlie": (0.9, 0.1, 0.2),
    "Daisy": (0.7, 0.5, 0.9),
}
FEATURES = ("music", "food", "travel")
TASTE = (-1.0, 0.0, 1.0)  #: travel minus music


def choose(x: Tensor, sharpness: float, sign: int) -> tuple[Tensor, Tensor]:
    taste = x @ torch.tensor([TASTE]).T  # (T, 1): travel minus music
    return sharpness * taste, sign * taste  # q and k


@torch.no_grad()
def tell(
    seed: int,
    *,
    sharpness: Annotated[float, Ge(0), Le(100)] = 10.0,
    keys: Literal["alike", "opposite"] = "alike",
) -> WalkResult:
    torch.manual_seed(seed)
    x, names = torch.tensor(list(FRIENDS.values())), list(FRIENDS)  # (T, C)
    query, key, value = (nn.Linear(3, 3, bias=False) for _ in range(3))  # the order gives the numbers of a seed
    q, k, v = project(x, query, key, value)
    scores = compare(q, k)
    scaled = scale(scores, 3)
    weights = weigh(scaled)  # (T, T)
    y = mix(weights, v)  # (T, D)

    chosen_q, chosen_k = choose(x, sharpness, 1 if keys == "alike" else -1)  # (T, 1) each
    chosen_scores = compare(chosen_q, chosen_k)
    chosen = weigh(chosen_scores)
    heard = mix(chosen, x)  # what a friend has to say is the friend's own features

    m_x = Matrix("embeddings", "X", x, names, FEATURES)
    m_w = Matrix("projections", "W", torch.cat((query.weight, key.weight, value.weight)),
                 [f"W{m}[{i}]" for m in "qkv" for i in range(3)], FEATURES, shape="(3, 3) each")  # fmt: skip
    m_q, m_k, m_v = (
        Matrix(title, symbol, u, names)
        for title, symbol, u in (("queries", "Q", q), ("keys", "K", k), ("values", "V", v))
    )
    m_scores = Matrix("scores", "Q Kᵀ", scores, names, names)
    m_scaled = Matrix("scaled scores", "S", scaled, names, names)
    m_weights = Matrix("weights", "A", weights, names, names, "weights")
    m_taken = Matrix("weighted values", "A[Alice] · V", take(weights[0], v), names)
    m_y = Matrix("output", "Y", y, names)
    c_q = Matrix("chosen queries", "q", chosen_q, names, ("asks",))
    c_k = Matrix("chosen keys", "k", chosen_k, names, ("offers",))
    c_scores = Matrix("chosen scores", "S", chosen_scores, names, names)
    c_weights = Matrix("chosen weights", "A", chosen, names, names, "weights")
    c_heard = Matrix("chosen output", "Y", heard, names, FEATURES)
    alone = chosen[2]  # Charlie's row

    steps = [
        Step(
            "Four friends", "What does a computer know of a friend?",
            "Three numbers each, here how much a friend cares for music, food and travel. A row is a friend. In a "
            "language model a row is a character or a word, and it has hundreds of numbers.",
            "X: 4 friends × 3 features", (), (), (m_x,),
            f"Charlie cares for music ({x[2, 0]:.1f}), Alice and Bob for travel, Daisy for nearly everything. Alice "
            f"and Bob are alike, and nobody is like Charlie: keep that in mind.",
        ),
        Step(
            "Ask, offer, say", "How can the same friend ask, offer and say something?",
            "By three matrices. Wq turns a friend into a query: what I ask for. Wk makes a key: what I offer. Wv "
            "makes a value: what I say if I am heard. Three such matrices, with the next three steps, are an attention "
            "head. A new model has matrices of random numbers, and so has this one.",
            "Q = X Wqᵀ    K = X Wkᵀ    V = X Wvᵀ", (project,), (m_x, m_w, "→"), (m_w, m_q, m_k, m_v),
            "Q, K and V have a row for each friend again. Only the columns have lost their names: what feature 0 of a "
            "query means is for the matrix to decide, and this one was drawn, not learned.",
        ),
        Step(
            "Who fits whom", "Whose offer fits whose question?",
            "Multiply a friend's query with everybody's key, number by number, and add up: large where both have "
            "large numbers of the same sign in the same places. With K transposed, one matrix product does this for "
            "all pairs. A query of more numbers gives larger sums, so the scores are divided by √D, the root of its "
            "width.",
            "S = Q Kᵀ / √D    D = 3", (compare, scale), (m_q, "×", m_k.turned, "="), (m_scores, "/ √3 =", m_scaled),
            f"A row asks, a column answers. Alice to Daisy is {number(float(scores[0, 3]))}, Daisy to Alice is "
            f"{number(float(scores[3, 0]))}: not the same, as asking and offering are different matrices.",
        ),
        Step(
            "Weights", "How much does each listen to each?",
            "The softmax makes shares of scores: e to the power of each, divided by the sum of the row. No share is "
            "below 0, and a row adds up to 1, so each friend has one unit of attention to give away.",
            "A = softmax of each row of S", (weigh,), (m_scaled, "softmax →"),
            (m_weights, Matrix("row sums", "Σ A", weights.sum(-1, keepdim=True), names, ("sum",), "table", "(4,)")),
            f"All 16 weights lie between {weights.min():.4f} and {weights.max():.4f}, about 1/4. Random matrices of "
            f"small numbers make small queries and keys, and the scores of a row lie close to each other. The softmax "
            f"sees differences only, so it shares nearly evenly, and nobody has anyone to listen to. (Chance does not "
            f"always do so: in the walk causal-head the numbers are larger.)",
        ),
        Step(
            "What Alice hears", "What comes out?",
            "Alice takes of each friend's value as much as her weight says, and adds it up. That is all: an output is "
            "a weighted mean of values.",
            "Y = A V", (take, mix), (m_weights, "×", m_v, "="), (m_taken, m_y),
            f"The rows of the output are nearly equal: no feature differs by more than "
            f"{(y.max(0).values - y.min(0).values).max():.4f} between friends, since everyone hears the same mean. "
            f"The function that models use, headscope.model.attention.attention, gives the same; the largest "
            f"difference is {number(float((attention(q, k, v, causal=False) - y).abs().max()))}, which is rounding.",
        ),
        Step(
            "Chosen matrices", "What would matrices look like that let us see something?",
            f"Choose them by hand. Each friend asks and offers one number, travel minus music; D is 1, so there is "
            f"nothing to divide by. The query is made {sharpness:g} times as large, so that the shares become clear. "
            f"Keys are "
            + ("the number itself: like finds like, and the strongest most." if keys == "alike"
               else "its opposite: opposites meet."),
            f"q = {sharpness:g} (travel - music)    k = {'' if keys == 'alike' else '-'}(travel - music)    S = q kᵀ",
            (choose, compare), (c_q, "×", c_k.turned, "="), (c_q, c_k, c_scores),
            f"With one number each, the product is a multiplication table. Charlie asks "
            f"{number(float(chosen_q[2, 0]))}, Alice {number(float(chosen_q[0, 0]))}: where both factors have the "
            "same sign, the score is positive.",
            Change("keys", "opposite", "What if everybody offers the opposite of what they ask for?",
                   ("chosen weights", 0, 2),
                   "The queries are as before, only the keys change their sign, and with them every score: who was "
                   "heard most is heard least. With opposite keys Alice, Bob and Daisy listen to Charlie."),
        ),
        Step(
            "Two camps", "Who listens to whom now?",
            "Alice, Bob and Daisy prefer travel to music, Charlie music to travel. The same softmax on the chosen "
            "scores, and the same weighted mean, this time of the friends' own features (Wv is the matrix that changes "
            "nothing).",
            "A = softmax of each row of S    Y = A X", (weigh, mix), (c_scores, "softmax →", c_weights, "×", m_x, "="),
            (c_weights, c_heard),
            f"Alice gives Bob {chosen[0, 1]:.4f} and Charlie {chosen[0, 2]:.4f}; Charlie gives himself "
            f"{alone[2]:.4f}. Alice's row of the output has travel {heard[0, 2]:.4f} and music {heard[0, 0]:.4f}, "
            f"Charlie's {heard[2, 2]:.4f} and {heard[2, 0]:.4f}: what comes out differs now between friends, and says "
            f"whom they heard. Nobody chooses matrices in a real model: training moves them to what lowers its loss, "
            f"as the walk toy shows.",
            Change("sharpness", "1", "What if the query is not made larger?", ("chosen weights", 2, 2),
                   "The factor stretches the scores before the softmax. Small scores give even shares, large ones give "
                   "all to the best. That is why the scores of wide queries, large by their width alone, are divided "
                   "by √D."),
        ),
    ]  # fmt: skip
    masked = attention(q, k, v, causal=True)
    mistakes = [
        Mistake(
            "Calling random matrices learned",
            f"Without a loss and an optimizer nothing learns, however trainable a matrix is. All 16 weights then lie "
            f"between {weights.min():.4f} and {weights.max():.4f}, about 1/4, and it is tempting to read a meaning "
            f"into the third decimal.",
        ),
        Mistake(
            "Drawing without a seed",
            f"A number that nobody can repeat cannot be checked. These are of seed {seed}; another seed gives other "
            f"ones, equally meaningless.",
        ),
        Mistake(
            "Masking where nothing comes first",
            f"Friends have no order, so nobody is hidden here. In a language model a causal mask hides what comes "
            f"later. Here it would leave Alice only herself (weight {attention_weights(q, k)[0, 0]:.4f} in place of "
            f"{weights[0, 0]:.4f}) and move her output by up to {(masked - y)[0].abs().max():.4f}. Daisy is last and "
            f"still hears everybody: hers moves by {number(float((masked - y)[-1].abs().max()))}, which is rounding.",
        ),
    ]
    checks = [
        (
            "What are a query, a key and a value, in a word each?",
            "What a friend asks for, what a friend offers, and what a friend says when heard: three matrices make "
            "them of the same row.",
        ),
        (
            "Why are the random weights all near 1/4?",
            f"Small random matrices give small scores (the largest here is {scores.abs().max():.4f}), so those of a "
            f"row differ little. The softmax of nearly equal scores is nearly even, and there are four friends.",
        ),
        (
            "A row of A is (0, 1, 0, 0). What is that friend's row of Y = A V?",
            "Bob's value: the output is a weighted mean of values, and all the weight is on the second.",
        ),
    ]
    return WalkResult("Whom does everybody listen to, and what do they hear?", steps, mistakes, checks)


WALK = Walk("friends", "four friends listen to each other: by chance, and by choice", 0, tell)
