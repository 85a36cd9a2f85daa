"""toy: one head learns that "cats" follows "I love".

Shapes: T positions (2), V words (6), C = D = 8.
"""

from typing import Annotated, Literal, cast

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.optim import Adam

from headscope.model.attention import attention, attention_weights
from headscope.walkthrough.matrix import Numbers
from headscope.walkthrough.plain import Three, compare, hide_later, mix, scale, take, weigh
from headscope.walkthrough.walk import Walk

VOCABULARY = ("I", "love", "cats", "dogs", "<pad>", "<eos>")
SENTENCE = ("I", "love")
WIDTH, EPOCHS, LEARNING_RATE = 8, 200, 0.01


def ids(*words: str) -> Tensor:
    return torch.tensor([VOCABULARY.index(word) for word in words])


class NextWord(nn.Module):
    """Embedding, one head with biases, classifier. The order of creation decides the weights that a seed gives."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), WIDTH)
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.classifier = nn.Linear(WIDTH, len(VOCABULARY))

    def forward(self, tokens: Tensor, causal: bool = False) -> Tensor:
        """Tokens (T,) to logits (T, V)."""
        q, k, v = project(self, self.embedding(tokens))
        return cast(Tensor, self.classifier(self.out(attention(q, k, v, causal=causal))))


Trained = tuple[NextWord, list[float]]  #: a model, and the loss of each epoch


def learn(model: NextWord, adam: Adam, to: Tensor, causal: bool) -> float:
    logits = model(ids(*SENTENCE), causal)[-len(to) :]
    loss = F.cross_entropy(logits, to)  # -ln P(target)
    adam.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    adam.step()
    return loss.item()


@torch.enable_grad()
def train(seed: int, to: Tensor, causal: bool, epochs: int) -> Trained:
    """Trains a new model to predict the words `to` at the last positions."""
    torch.manual_seed(seed)
    model = NextWord()
    adam = Adam(model.parameters(), LEARNING_RATE)
    return model, [learn(model, adam, to, causal) for _ in range(epochs)]


def project(model: NextWord, x: Tensor) -> Three:
    return model.query(x), model.key(x), model.value(x)  # x Wᵀ + b each


def predict(model: NextWord, y: Tensor) -> tuple[Tensor, Tensor]:
    logits = model.classifier(model.out(y))[-1]  # of the last word, (V,)
    return logits, logits.softmax(-1)


@torch.no_grad()
def compute(
    seed: int,
    *,
    epochs: Annotated[int, Ge(1), Le(2000)] = EPOCHS,
    target: Literal["I", "love", "cats", "dogs"] = "cats",
    mask: bool = False,
) -> Numbers:
    numbers = Numbers(epochs=epochs, target=target, mask=mask)
    # %% Words are numbers
    numbers.matrix("tokens", "ids", ids(*SENTENCE), SENTENCE, ("id",), "table")
    # %% Learning
    model, losses = train(seed, ids(target), mask, epochs)
    quarters = range(0, epochs, max(1, epochs // 4))
    some = torch.tensor([losses[e] for e in quarters])[:, None]
    numbers.matrix("loss", "loss", some, [f"epoch {e}" for e in quarters], ("loss",), "table")
    # %% Query, key, value
    x = model.embedding(ids(*SENTENCE))  # (T, C)
    q, k, v = project(model, x)
    for title, symbol, values in (("embeddings", "X", x), ("queries", "Q", q), ("keys", "K", k), ("values", "V", v)):
        numbers.matrix(title, symbol, values, SENTENCE)
    # %% Scores
    scores = compare(q, k)
    scaled = scale(scores, WIDTH)
    numbers.matrix("scores", "Q Kᵀ", scores, SENTENCE, SENTENCE)
    numbers.matrix("scaled scores", "S", scaled, SENTENCE, SENTENCE)
    # %% Weights
    weights = weigh(hide_later(scaled) if mask else scaled)  # (T, T)
    numbers.matrix("weights", "A", weights, SENTENCE, SENTENCE, "weights")
    # %% Mix
    y = mix(weights, v)  # (T, C)
    numbers.matrix("weighted values", "A[love] · V", take(weights[-1], v), SENTENCE)
    numbers.matrix("head output", "Y", y, SENTENCE)
    # %% The next word
    logits, probabilities = predict(model, y)  # (V,) each
    numbers.matrix("output", "Y Woᵀ + bo", model.out(y), SENTENCE)
    numbers.matrix("logits", "z", logits, VOCABULARY, ("logit",))
    numbers.matrix("probabilities", "P", probabilities, VOCABULARY, ("probability",), "weights")
    # %%
    best, second = logits.topk(2).values
    numbers.update(last_loss=losses[-1], likely=probabilities[VOCABULARY.index(target)], lead=best - second)
    numbers["difference"] = (attention(q, k, v, causal=mask) - y).abs().max()
    numbers.update(_mistakes(model, seed, target, mask, epochs))
    return numbers


def _mistakes(model: NextWord, seed: int, target: str, mask: bool, epochs: int) -> dict[str, Tensor | float]:
    """What the mistakes cost: P of the target with and without the mask, after other words, and if taught better."""
    at, love = VOCABULARY.index(target), VOCABULARY.index("love")
    free, masked = (model(ids(*SENTENCE), causal).softmax(-1) for causal in (False, True))  # (T, V) each
    q, k, _ = project(model, model.embedding(ids(*SENTENCE)))
    pairs = [float(model(ids(a, b), mask)[-1].softmax(-1)[at]) for a in VOCABULARY for b in VOCABULARY]
    better, _ = train(seed, ids("love", target), causal=True, epochs=epochs)
    after_i, after_love = better(ids(*SENTENCE), causal=True).softmax(-1)  # (V,) each
    found = {"peek": attention_weights(q, k, causal=False)[0, 1], "moved": masked[-1, at] - free[-1, at]}
    found |= {"love_after_i": free[0, love], "better_after_i": after_i[love], "better_after_love": after_love[at]}
    return found | {"pairs": len(pairs), "least": min(pairs)}


WALK = Walk("toy", "a head of width 8 learns that “cats” follows “I love”", 0, compute)
