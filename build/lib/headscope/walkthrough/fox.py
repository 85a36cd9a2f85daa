"""fox: random word vectors, a mean query, and a prediction that never uses the values, beside one that does.

Shapes: T words of the sentence, V words of the vocabulary, D = 3.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from headscope.errors import UserError
from headscope.model.attention import attention, attention_scores, attention_weights
from headscope.render.labels import label
from headscope.walkthrough.step import Step, Told, Walk

SENTENCE = "The quick brown fox jumps over the lazy dog"
D, WINDOW, LONGEST = 3, 2, 1000


def tell(seed: int, sentences: Sequence[str] = (SENTENCE,)) -> Told:
    """One vocabulary of all sentences, and the walk through the last.

    Raises:
        UserError: a last sentence of less than two words, or more words than tables can show.
    """
    texts = [[label(word) for word in sentence.split()] for sentence in sentences]
    words, n = texts[-1], sum(map(len, texts))
    if len(words) < 2:
        raise UserError(f"--sentence {sentences[-1]!r} has {len(words)} words; a word and one before it are needed")
    if n > LONGEST:
        raise UserError(f"the sentences have {n:,} words, up to {LONGEST:,} can be shown; give shorter ones")
    vocabulary = list(dict.fromkeys(word for text in texts for word in text))
    random = np.random.RandomState(seed)  # the numbers of np.random.seed(seed) and np.random.rand
    embeddings = torch.tensor(np.array([random.rand(D) for _ in vocabulary]))  # (V, D), float64
    at = len(words) // 2
    places = torch.tensor([vocabulary.index(word) for word in words])
    window = slice(max(0, at - WINDOW), at)

    v = k = embeddings[places]  # (T, D)
    q = k[window].mean(0, keepdim=True)  # (1, D)
    scores = attention_scores(q, k, causal=False)[0]  # (T,)
    exps = scores.exp()
    theirs, weights = exps.softmax(-1), attention_weights(q, k, causal=False)[0]  # (T,) each
    context = attention(q, k, v, causal=False)  # (1, D)
    distances = torch.linalg.vector_norm(embeddings - context, dim=-1)  # (V,)
    sums = torch.zeros(len(vocabulary), 2, dtype=torch.float64)
    sums = sums.index_add(0, places, torch.stack((theirs, weights), -1))  # (V, 2), a repeated word adds up
    nearest = vocabulary[int(distances.argmin())]

    answer = _looked_up(vocabulary, theirs)
    role = dict.fromkeys(range(at)[window], "context") | {at: "current word"}
    steps = [
        Step("tokens", f"A word is its place in a vocabulary of {len(vocabulary)}; “{words[at]}”, in the middle, is "
             f"the current word, and up to {WINDOW} before it are its context.",
             places[:, None], words, ("id",), "table", f"({len(words)},)",
             [role.get(i, "") for i in range(len(words))], whole=True),
        Step("embeddings", f"Each new word gets {D} random numbers from 0 to 1; they are keys and values alike.",
             embeddings, vocabulary, whole=True),
        Step("query", "The mean of the context's vectors asks; the current word itself is not in it.",
             torch.cat((k[window], q)), [*words[window], "mean"], shape=f"({D},)"),
        Step("scores", f"The query times each key, then divided by √{D}.",
             torch.stack((attention_scores(q, k, scale=1.0, causal=False)[0], scores), -1), words, ("score", "scaled"),
             shape=f"({len(words)},) each", whole=True),
        Step("exponentials", "The document takes exp of each scaled score for a weight, and does not normalise.",
             exps[:, None], words, ("exp",), "table", f"({len(words)},)", whole=True),
        Step("weights", "The document's softmax of those exponentials, and the right one, of the scaled scores.",
             torch.stack((theirs, weights), -1), words, ("document", "right"), "weights", f"({len(words)},) each",
             whole=True),
        Step("weighted values", "Each right weight times its value; their sum is the context vector.",
             torch.cat((weights[:, None] * v, context)), [*words, "sum"], whole=True),
        Step("distances", "From the context vector to every word; the nearest is the right prediction.",
             distances[:, None], vocabulary, ("distance",), "table", f"({len(vocabulary)},)",
             ["nearest" if word == nearest else "" for word in vocabulary], whole=True),
        Step("probabilities", "Of every word, by the document's weights and by the right ones; repeated words add up.",
             sums, vocabulary, ("document", "right"), "weights", f"({len(vocabulary)},) each",
             [", ".join(["the document predicts this"] * (w == answer) + ["right prediction"] * (w == nearest))
              for w in vocabulary], whole=True),
    ]  # fmt: skip
    departure = (
        f"It exponentiates the scores and then takes a softmax, which exponentiates again: its exponentials add up to "
        f"{exps.sum():.4f}, not 1, and its probabilities run from {theirs.min():.4f} to {theirs.max():.4f} where those "
        f"of the scores run from {weights.min():.4f} to {weights.max():.4f}. It never uses the values: it predicts the "
        f"word with the largest weight, {_prediction(words, vocabulary, theirs)}. Put right, as its text says, the "
        f"word nearest to the weighted values is “{nearest}”, {distances.min():.4f} away. Nothing hides the words "
        f"after “{words[at]}”, and they get {weights[at + 1 :].sum():.4f} of the right weights, though one of them is "
        f"the answer. The vectors are random, so either word is chance."
    )
    if (first := words.index(words[at])) != at:
        departure += f" Its code would take the context of the first “{words[at]}”, in place {first}, not of this one"
        departure += "." if first else ", and fail, as there is none."
    if len(texts) > 1:
        departure += f" The walk goes through the last of {len(texts)} sentences; the others add words to predict."
    return Told(steps, departure)


def _looked_up(vocabulary: list[str], weights: Tensor) -> str | None:
    """What the document's code answers: it takes a place in the sentence for one in the vocabulary, if there is one."""
    place = int(weights.argmax())
    return vocabulary[place] if place < len(vocabulary) else None


def _prediction(words: list[str], vocabulary: list[str], weights: Tensor) -> str:
    """The same in words."""
    place, answer = int(weights.argmax()), _looked_up(vocabulary, weights)
    if answer is None:
        return f"“{words[place]}”, and then fails, as place {place} is not in a vocabulary of {len(vocabulary)}"
    wrong = f" in the sentence, but then answers “{answer}”, as it takes place {place} for one in the vocabulary"
    return f"“{words[place]}”" + wrong * (answer != words[place])


WALK = Walk("fox", "a mean query over random word vectors predicts a word, wrongly and rightly", 0, tell)
