"""toy: one head learns that "cats" follows "I love".

Shapes: T positions (2), V words (6), C = D = 8.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headscope.model.attention import attention, attention_scores, attention_weights
from headscope.walkthrough.step import Step, Told, Walk, number

VOCABULARY = ("I", "love", "cats", "dogs", "<pad>", "<eos>")
SENTENCE = ("I", "love")
WIDTH, EPOCHS, LEARNING_RATE = 8, 200, 0.01


def ids(*words: str) -> Tensor:
    """Words to their places in the vocabulary, (T,)."""
    return torch.tensor([VOCABULARY.index(word) for word in words])


class NextWord(nn.Module):
    """Embedding, one head with biases, classifier; made in the document's order, so that a seed gives its weights."""

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
        x = self.embedding(tokens)  # (T, C)
        y = attention(self.query(x), self.key(x), self.value(x), causal=causal)
        return cast(Tensor, self.classifier(self.out(y)))


def train(seed: int, targets: Tensor, causal: bool = False) -> tuple[NextWord, list[float]]:
    """A new model that learned the words after the last positions of the sentence, and its loss in every epoch."""
    torch.manual_seed(seed)
    model, losses = NextWord(), []
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for _ in range(EPOCHS):
        loss = F.cross_entropy(model(ids(*SENTENCE), causal)[-len(targets) :], targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def tell(seed: int) -> Told:
    model, losses = train(seed, ids("cats"))
    with torch.no_grad():
        return Told(_steps(model, losses), _departure(model, seed))


def _steps(model: NextWord, losses: list[float]) -> list[Step]:
    epochs = range(0, EPOCHS, 50)
    x = model.embedding(ids(*SENTENCE))  # (T, C)
    q, k, v = model.query(x), model.key(x), model.value(x)
    weights = attention_weights(q, k, causal=False)  # (T, T)
    y = attention(q, k, v, causal=False)  # (T, C)
    logits = model.classifier(model.out(y))[-1]  # (V,)
    last = SENTENCE[-1]
    return [
        Step("tokens", "Each word is its place in a vocabulary of 6.", ids(*SENTENCE)[:, None], SENTENCE, ("id",),
             "table", "(2,)"),
        Step("loss", "Adam at 0.01 for 200 epochs lowers -ln P(cats | I love); a guess over 6 words would be 1.7918.",
             torch.tensor([[losses[e]] for e in epochs]), [f"epoch {e}" for e in epochs], ("loss",), "table"),
        Step("embeddings", "After training: each word has a vector of 8 numbers; there is no position in it.",
             x, SENTENCE),
        Step("queries", "Q = Wq x + b: what a word looks for.", q, SENTENCE),
        Step("keys", "K = Wk x + b: what a word offers.", k, SENTENCE),
        Step("values", "V = Wv x + b: what a word hands over.", v, SENTENCE),
        Step("scores", "Each query times each key; rows ask, columns answer.",
             attention_scores(q, k, scale=1.0, causal=False), SENTENCE, SENTENCE),
        Step("scaled scores", "Divided by √8, so that their spread does not grow with the width.",
             attention_scores(q, k, causal=False), SENTENCE, SENTENCE),
        Step("weights", "Softmax of each row: how much a word listens to each; a row sums to 1.",
             weights, SENTENCE, SENTENCE, "weights"),
        Step("weighted values", f"What “{last}” takes from each word: its weight times the value.",
             weights[-1][:, None] * v, SENTENCE),
        Step("head output", "The weighted values added up, for each word.", y, SENTENCE),
        Step("output", "One more matrix, Wo, of which only the last row is read.", model.out(y), SENTENCE),
        Step("logits", f"The classifier on the row of “{last}”: a score for each word of the vocabulary.",
             logits[:, None], VOCABULARY, ("logit",), shape="(6,)"),
        Step("probabilities", "Softmax of the logits: the next word after “I love”.",
             logits.softmax(-1)[:, None], VOCABULARY, ("probability",), "weights", "(6,)"),
    ]  # fmt: skip


def _departure(model: NextWord, seed: int) -> str:
    cats, love = VOCABULARY.index("cats"), VOCABULARY.index("love")
    free, masked = (model(ids(*SENTENCE), causal).softmax(-1) for causal in (False, True))  # (T, V) each
    x = model.embedding(ids(*SENTENCE))
    peek = attention_weights(model.query(x), model.key(x), causal=False)[0, 1]
    pairs = [model(ids(a, b))[-1].softmax(-1)[cats] for a in VOCABULARY for b in VOCABULARY]
    with torch.enable_grad():
        right, _ = train(seed, ids("love", "cats"), causal=True)
    after_i, after_love = right(ids(*SENTENCE), causal=True).softmax(-1)  # (V,) each
    return (
        f"Its attention has no causal mask, so “I” gives “love”, which comes later, a weight of {peek:.4f}. The "
        f"prediction reads the last position alone, which may see everything anyway: with the mask P(cats) changes by "
        f"{number(float(masked[-1, cats] - free[-1, cats]))}. There is a single target, so the model learns one answer "
        f"rather than when to give it: over all {len(pairs)} pairs of words in place of “I love”, P(cats) is never "
        f"below {min(pairs):.4f}. Put right, with the mask and a target at both positions, the same {EPOCHS} epochs "
        f"give P(love | I) = {after_i[love]:.4f}, where the document's model has {number(float(free[0, love]))}, and "
        f"P(cats | I love) = {after_love[cats]:.4f}."
    )


WALK = Walk("toy", "a head of width 8 learns that “cats” follows “I love”", 0, tell)
