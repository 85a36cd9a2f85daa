"""toy: one head learns that "cats" follows "I love".

Shapes: T positions (2), V words (6), C = D = 8.
"""

from typing import Annotated, Literal, cast

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from headscope.model.attention import attention, attention_weights
from headscope.walkthrough.plain import compare, hide_later, mix, scale, take, weigh
from headscope.walkthrough.step import Change, Matrix, Mistake, Step, Walk, WalkResult, number

VOCABULARY = ("I", "love", "cats", "dogs", "<pad>", "<eos>")
SENTENCE = ("I", "love")
WIDTH, EPOCHS, LEARNING_RATE = 8, 200, 0.01
Losses = list[float]  #: one an epoch


def ids(*words: str) -> Tensor:
    """Words to their places in the vocabulary, (T,)."""
    return torch.tensor([VOCABULARY.index(word) for word in words])


class NextWord(nn.Module):
    """Embedding, one head with biases, classifier; made in this order, so that a seed gives its weights."""

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


def learn(model: NextWord, to: Tensor, causal: bool, epochs: int) -> Losses:
    losses, adam = [], torch.optim.Adam(model.parameters(), LEARNING_RATE)
    for _ in range(epochs):
        logits = model(ids(*SENTENCE), causal)[-len(to) :]
        loss = F.cross_entropy(logits, to)  # -ln P(target)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        losses.append(loss.item())
    return losses


def project(model: NextWord, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return model.query(x), model.key(x), model.value(x)  # x Wᵀ + b each


def predict(model: NextWord, y: Tensor) -> tuple[Tensor, Tensor]:
    logits = model.classifier(model.out(y))[-1]  # of the last word, (V,)
    return logits, logits.softmax(-1)


def train(seed: int, targets: Tensor, causal: bool = False, epochs: int = EPOCHS) -> tuple[NextWord, list[float]]:
    """A new model that learned the words after the last positions of the sentence, and its loss in every epoch."""
    torch.manual_seed(seed)
    model = NextWord()
    return model, learn(model, targets, causal, epochs)


def tell(
    seed: int,
    *,
    epochs: Annotated[int, Ge(1), Le(2000)] = EPOCHS,
    target: Literal["I", "love", "cats", "dogs"] = "cats",
    mask: bool = False,
) -> WalkResult:
    model, losses = train(seed, ids(target), mask, epochs)
    with torch.no_grad():
        steps = _steps(model, losses, target, mask)
        mistakes, checks = _mistakes(model, seed, target, mask, epochs), _checks(model, losses, target, mask)
        return WalkResult("How can a machine learn that “cats” follows “I love”?", steps, mistakes, checks)


def _steps(model: NextWord, losses: list[float], target: str, mask: bool) -> list[Step]:
    seen = range(0, len(losses), max(1, len(losses) // 4))
    at, last = VOCABULARY.index(target), SENTENCE[-1]
    x = model.embedding(ids(*SENTENCE))  # (T, C)
    q, k, v = project(model, x)
    scores = compare(q, k)
    scaled = scale(scores, WIDTH)
    weights = weigh(hide_later(scaled) if mask else scaled)  # (T, T)
    y = mix(weights, v)  # (T, C)
    logits, probabilities = predict(model, y)  # (V,) each

    m_x = Matrix("embeddings", "X", x, SENTENCE)
    m_q, m_k, m_v = (
        Matrix(title, symbol, u, SENTENCE)
        for title, symbol, u in (("queries", "Q", q), ("keys", "K", k), ("values", "V", v))
    )
    m_scaled = Matrix("scaled scores", "S", scaled, SENTENCE, SENTENCE)
    m_weights = Matrix("weights", "A", weights, SENTENCE, SENTENCE, "weights")
    m_y = Matrix("head output", "Y", y, SENTENCE)
    m_logits = Matrix("logits", "z", logits[:, None], VOCABULARY, ("logit",), shape="(6,)")
    same = float((attention(q, k, v, causal=mask) - y).abs().max())
    return [
        Step(
            "Words are numbers", "What does the network see in place of words?",
            f"Each word is its place in a vocabulary of 6: {', '.join(VOCABULARY[:4])}, {VOCABULARY[4]} (fills up "
            f"short sentences) and {VOCABULARY[5]} (ends one). The place picks a row of a table E of 8 numbers a word, "
            f"the embedding, and training changes that table as it does every other weight.",
            "ids = places of the words    X = E[ids]", (ids,), (),
            (Matrix("tokens", "ids", ids(*SENTENCE)[:, None], SENTENCE, ("id",), "table", "(2,)"),),
            "“I” is 0 and “love” is 1, and that is all that is left of the words. Which comes first is told by the "
            "order of the rows alone.",
        ),
        Step(
            "Learning", "Where do all the weights come from?",
            f"From {len(losses)} rounds of the same: predict the next word, measure by how much the answer missed, "
            f"and move every weight a little downhill (Adam, step {LEARNING_RATE}). The loss is -ln P({target} | I "
            "love).",
            f"loss = -ln P({target} | I love)", (learn,), (),
            (Matrix("loss", "loss", torch.tensor([[losses[e]] for e in seen]), [f"epoch {e}" for e in seen], ("loss",),
                    "table"),),
            f"A guess over 6 words would cost ln 6 = 1.7918. It begins at {losses[0]:.4f} and ends, after the "
            f"last round, at {number(losses[-1])}. All matrices below are those at the end.",
            Change("epochs", "20", "What if it learns for 20 rounds only?", ("probabilities", at, 0),
                   "Each round moves the weights a little way, so that the number of rounds decides how sure it gets. "
                   "Even a few are enough to put the word first: there is only one sentence to learn."),
        ),
        Step(
            "Query, key, value", "What does a word do with its 8 numbers?",
            "Three matrices with a bias make three vectors of each: a query (what do I look for?), a key (what do I "
            "offer?) and a value (what do I hand over?). These matrices, and the four steps from here on, are an "
            "attention head: the part by which words hear of each other.",
            "Q = X Wqᵀ + bq    K = X Wkᵀ + bk    V = X Wvᵀ + bv", (project,), (m_x, "→"), (m_x, m_q, m_k, m_v),
            "The three have the same shape and different numbers. Nobody said what any of the 8 numbers of a row, its "
            "channels, means; what the loss rewarded is what they came to mean.",
        ),
        Step(
            "Scores", "How well does a word's query fit a word's key?",
            "Multiply them channel by channel and add up. With K transposed, one matrix product gives all pairs. A "
            "score is a sum of 8 products, one for each channel of a query and a key, and a sum of n such products "
            "spreads √n times as widely as one. Dividing by √8 takes that away, so that scores do not grow with the "
            "width: of wide scores the next step would give all to the largest. (Training may make them wide again "
            "where that helps, as it did here.)",
            "S = Q Kᵀ / √8", (compare, scale), (m_q, "×", m_k.turned, "="),
            (Matrix("scores", "Q Kᵀ", scores, SENTENCE, SENTENCE), "/ √8 =", m_scaled),
            f"Rows ask, columns answer. “{last}” scores “I” with {number(float(scaled[1, 0]))} and itself with "
            f"{number(float(scaled[1, 1]))}.",
        ),
        Step(
            "Weights", "How much does each word listen to each?",
            "The softmax makes shares: e to the power of each score, divided by the sum of its row."
            + " What comes later is hidden first, with a score of -∞." * mask,
            "A = softmax of each row of S" + ", later words hidden" * mask,
            (weigh, hide_later) if mask else (weigh,), (m_scaled, "softmax →"), (m_weights,),
            f"Each row adds up to 1. “{last}” listens to “I” with {number(float(weights[1, 0]))} and to itself with "
            f"{weights[1, 1]:.4f}; “I” gives {weights[0, 1]:.4f} to “love”, which comes after it.",
            Change("mask", "yes", "What if a word may not see what comes after it?", ("weights", 0, 1),
                   f"With the causal mask “I” has only itself. P({target}) does not change, since it is read at the "
                   f"last word, which may see everything anyway."),
        ),
        Step(
            "Mix", "What does a word get?",
            f"Its weights times the values, added up. “{last}” takes its share of each value; the sum is what the "
            f"head puts out.",
            "Y = A V", (take, mix), (m_weights, "×", m_v, "="),
            (Matrix("weighted values", f"A[{last}] · V", take(weights[-1], v), SENTENCE), m_y),
            f"The second row of Y is the sum of the two weighted values above it. Headscope's own attention function "
            f"gives the same; the largest difference is {number(same)}.",
        ),
        Step(
            "The next word", "How does a vector become a word?",
            f"One more matrix, Wo, and then the classifier, which scores each of the 6 words by the row of “{last}”. "
            f"The softmax makes probabilities of these logits.",
            "z = (Y Woᵀ + bo) Wcᵀ + bc, last row    P = softmax(z)", (predict,), (m_y, "→"),
            (Matrix("output", "Y Woᵀ + bo", model.out(y), SENTENCE), m_logits,
             Matrix("probabilities", "P", probabilities[:, None], VOCABULARY, ("probability",), "weights", "(6,)")),
            f"P({target} | I love) = {probabilities[at]:.4f}. The logit of “{target}” is ahead of the next best by "
            f"{logits[at] - logits.topk(2).values[1]:.4f}, and e to that power is how many times likelier it is.",
            Change("target", "dogs" if target == "cats" else "cats", "What if it learns another word?",
                   ("probabilities", VOCABULARY.index("dogs" if target == "cats" else "cats"), 0),
                   "Nothing in attention prefers a word: the same 200 rounds from the same start learn whichever "
                   "answer the loss asks for."),
        ),
    ]  # fmt: skip


def _mistakes(model: NextWord, seed: int, target: str, mask: bool, epochs: int) -> list[Mistake]:
    at, love = VOCABULARY.index(target), VOCABULARY.index("love")
    free, masked = (model(ids(*SENTENCE), causal).softmax(-1) for causal in (False, True))  # (T, V) each
    x = model.embedding(ids(*SENTENCE))
    peek = attention_weights(model.query(x), model.key(x), causal=False)[0, 1]
    pairs = [model(ids(a, b), mask)[-1].softmax(-1)[at] for a in VOCABULARY for b in VOCABULARY]
    with torch.enable_grad():
        right, _ = train(seed, ids("love", target), causal=True, epochs=epochs)
    after_i, after_love = right(ids(*SENTENCE), causal=True).softmax(-1)  # (V,) each
    return [
        Mistake(
            "Forgetting the mask",
            f"Without a causal mask “I” gives “love”, which comes later, a weight of {peek:.4f}. It goes unnoticed "
            f"here, as the prediction reads the last position alone: with the mask P({target}) changes by "
            f"{number(float(masked[-1, at] - free[-1, at]))}. A model that predicts at every position would copy "
            f"the answer from the next one, and know nothing when it has to write.",
        ),
        Mistake(
            "Teaching one answer only",
            f"A single target teaches the answer rather than when to give it: over all {len(pairs)} pairs of words in "
            f"place of “I love”, P({target}) is never below {min(pairs):.4f}. Put right, with the mask and a target "
            f"at both positions (love after I, {target} after love), the same {epochs} epochs give P(love | I) = "
            f"{after_i[love]:.4f}, where the model above has {number(float(free[0, love]))}, and P({target} | I love) "
            f"= {after_love[at]:.4f}.",
        ),
    ]


def _checks(model: NextWord, losses: list[float], target: str, mask: bool) -> list[tuple[str, str]]:
    return [
        (
            "What does dividing by √8 do, and where does the 8 come from?",
            "It keeps the spread of the scores, which are sums of 8 products, from growing with the width of queries "
            "and keys. That width is 8.",
        ),
        (
            "Which row of the head's output decides the next word, and why does the mask not change it?",
            "That of the last word, “love”. The mask hides what comes later, and nothing comes after the last word.",
        ),
        (
            "The loss ends near zero. Has the model learned what “I love” means?",
            f"No. It saw one answer, and gives “{target}” after any two words: one target teaches the answer, not when "
            f"to give it.",
        ),
    ]


WALK = Walk("toy", "a head of width 8 learns that “cats” follows “I love”", 0, tell)
