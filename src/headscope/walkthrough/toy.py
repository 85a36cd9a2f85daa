"""toy: one head learns that "cats" follows "I love". Shapes: T positions (2), V words (6), C = D = 8."""

from typing import Annotated, Literal, cast

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.optim import Adam

from headscope.model.attention import attention, attention_weights
from headscope.walkthrough.matrix import Numbers
from headscope.walkthrough.plain import QKV, compare, hide_later, mix, scale, weigh, weight_values
from headscope.walkthrough.walk import Walk

VOCABULARY = ("I", "love", "cats", "dogs", "<pad>", "<eos>")
SENTENCE = ("I", "love")
WIDTH, LEARNING_RATE = 8, 0.01


def ids(*words: str) -> Tensor:
    return torch.tensor([VOCABULARY.index(word) for word in words])


class NextWord(nn.Module):
    """Embedding, one head with biases, classifier. The initial weights depend on the order of the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), WIDTH)
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.classifier = nn.Linear(WIDTH, len(VOCABULARY))

    def forward(self, tokens: Tensor, causal: bool = False) -> Tensor:
        """Maps tokens (T,) to logits (T, V)."""
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


def project(model: NextWord, x: Tensor) -> QKV:
    return model.query(x), model.key(x), model.value(x)  # each is x Wᵀ + b


def predict(model: NextWord, y: Tensor) -> tuple[Tensor, Tensor]:
    logits = model.classifier(model.out(y))[-1]  # (V,), for the last word
    return logits, logits.softmax(-1)


def compute(
    seed: int,
    *,
    epochs: Annotated[int, Ge(1), Le(2000)] = 200,
    target: Literal["I", "love", "cats", "dogs"] = "cats",
    mask: bool = False,
) -> Numbers:
    numbers = Numbers(epochs=epochs, target=target, mask=mask)
    # %% Words are numbers
    numbers.add(("tokens", "ids", ids(*SENTENCE)), rows=SENTENCE, columns=("id",), kind="table")
    # %% Learning
    model, losses = train(seed, ids(target), mask, epochs)
    some = {f"epoch {e}": losses[e] for e in range(0, epochs, max(1, epochs // 4))}
    numbers.add(("loss", "loss", torch.tensor([*some.values()])), rows=[*some], columns=("loss",), kind="table")
    # %% Query, key, value
    x = model.embedding(ids(*SENTENCE))  # (T, C)
    q, k, v = project(model, x)
    numbers.add(("embeddings", "X", x), ("queries", "Q", q), ("keys", "K", k), ("values", "V", v), rows=SENTENCE)
    # %% Scores
    scores = compare(q, k)
    scaled = scale(scores, WIDTH)
    numbers.add(("scores", "Q Kᵀ", scores), ("scaled scores", "S", scaled), rows=SENTENCE, columns=SENTENCE)
    # %% Weights
    weights = weigh(hide_later(scaled) if mask else scaled)  # (T, T)
    numbers.add(("weights", "A", weights), rows=SENTENCE, columns=SENTENCE, kind="weights")
    # %% Mix
    y = mix(weights, v)  # (T, C)
    received = weight_values(weights[-1], v)  # (T, C)
    numbers.add(("weighted values", "A[love] · V", received), ("head output", "Y", y), rows=SENTENCE)
    # %% The next word
    logits, probabilities = predict(model, y)  # (V,) each
    numbers.add(("output", "Y Woᵀ + bo", model.out(y)), rows=SENTENCE)
    numbers.add(("logits", "z", logits), rows=VOCABULARY, columns=("logit",))
    numbers.add(("probabilities", "P", probabilities), rows=VOCABULARY, columns=("probability",), kind="weights")
    # %%
    best, second = logits.topk(2).values
    numbers.update(last_loss=losses[-1], likely=probabilities[VOCABULARY.index(target)], lead=best - second)
    numbers["difference"] = (attention(q, k, v, causal=mask) - y).abs().max()
    # for the common mistakes: no mask, one answer after any two words, and better training
    at, love = VOCABULARY.index(target), VOCABULARY.index("love")
    unmasked, masked = (model(ids(*SENTENCE), causal).softmax(-1) for causal in (False, True))  # (T, V) each
    pairs = [float(model(ids(a, b), mask)[-1].softmax(-1)[at]) for a in VOCABULARY for b in VOCABULARY]
    better, _ = train(seed, ids("love", target), causal=True, epochs=epochs)
    after_i, after_love = better(ids(*SENTENCE), causal=True).softmax(-1)  # (V,) each
    numbers.update(peek=attention_weights(q, k, causal=False)[0, 1], moved=masked[-1, at] - unmasked[-1, at])
    numbers.update(love_after_i=unmasked[0, love], better_after_i=after_i[love], better_after_love=after_love[at])
    numbers.update(pairs=len(pairs), least=min(pairs))
    return numbers


WALK = Walk("toy", "a head of width 8 learns that “cats” follows “I love”", 0, compute)
