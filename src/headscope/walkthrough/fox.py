"""fox: attention over random vectors. Shapes: T words of the sentence, V words of the vocabulary, D = 3."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor

from headscope.errors import UserError
from headscope.model.attention import attention
from headscope.render.labels import label
from headscope.walkthrough.matrix import Numbers
from headscope.walkthrough.plain import compare, mix, scale, weigh, weight_values
from headscope.walkthrough.walk import Walk

SENTENCE = "The quick brown fox jumps over the lazy dog"
D, WINDOW, LONGEST = 3, 2, 1000
METHODS = ("exp twice", "softmax")  #: ways to turn scores into weights; the first one is a mistake


def draw(seed: int, words: int, width: int) -> Tensor:
    random = np.random.RandomState(seed)
    vectors = [random.rand(width) for _ in range(words)]  # from 0 to 1
    return torch.tensor(np.array(vectors))  # (V, D)


def average(vectors: Tensor, window: slice) -> Tensor:
    return vectors[window].mean(0, keepdim=True)  # (1, D)


def distances_to(context: Tensor, embeddings: Tensor) -> Tensor:
    apart = embeddings - context  # (V, D)
    return apart.square().sum(-1).sqrt()  # (V,)


def add_up(ids: Tensor, weights: Tensor, words: int) -> Tensor:
    zeros = torch.zeros(words, dtype=weights.dtype)
    return zeros.index_add(0, ids, weights)  # (V,)


def predictions(by_weight: int, by_values: int, words: int) -> list[str]:
    """Returns a note for each word in the vocabulary, with the methods that predict the word."""
    methods = ((by_weight, "predicted by the largest weight"), (by_values, "predicted by the values"))
    return [", ".join(note for prediction, note in methods if prediction == i) for i in range(words)]


def split(sentences: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the words of the last sentence and the vocabulary; raises `UserError` for too few or too many words."""
    texts = [[label(word) for word in sentence.split()] for sentence in sentences]
    words, n = texts[-1], sum(map(len, texts))
    if len(words) < 2:
        raise UserError(f"--sentence {sentences[-1]!r} has {len(words)} word{'s' * (not words)}; use at least two")
    if n > LONGEST:
        raise UserError(f"the sentences have {n:,} words; use at most {LONGEST:,}")
    return words, list(dict.fromkeys(word for text in texts for word in text))


def compute(
    seed: int,
    sentences: Sequence[str] = (SENTENCE,),
    *,
    window: Annotated[int, Ge(1), Le(LONGEST)] = WINDOW,
    width: Annotated[int, Ge(1), Le(300)] = D,
) -> Numbers:
    """Computes the walk for the last sentence; the other sentences only add words to the vocabulary."""
    numbers = Numbers(window=window, width=width, sentences=len(sentences), has_more=len(sentences) > 1)
    # %% Words to vectors
    words, vocabulary = split(sentences)
    embeddings = draw(seed, len(vocabulary), width)
    ids = torch.tensor([vocabulary.index(word) for word in words])
    at = len(words) // 2
    roles = ["current word" if i == at else "context" * (at - window <= i < at) for i in range(len(words))]
    numbers.add(("tokens", "ids", ids), rows=words, columns=("id",), kind="table", notes=roles)
    numbers.add(("embeddings", "E", embeddings), rows=vocabulary, show_all=True)
    # %% Query
    v = k = embeddings[ids]  # (T, D)
    before = slice(max(0, at - window), at)
    q = average(k, before)  # (1, D)
    numbers.add(("query", "q", torch.cat((k[before], q))), rows=[*words[before], "mean"], shape=f"({width},)")
    # %% Scores
    scores = compare(q, k)[0]  # (T,)
    scaled = scale(scores, width)
    numbers.add(("vectors", "K", k), rows=words, is_view=True)
    both = torch.stack((scores, scaled), -1)  # (T, 2)
    numbers.add(("scores", "s", both), rows=words, columns=("score", "scaled"), show_all=True)
    # %% Weights
    twice, weights = weigh(scaled.exp()), weigh(scaled)  # (T,) each
    numbers.add(("exponentials", "exp(s)", scaled.exp()), rows=words, columns=("exp",), kind="table", show_all=True)
    both = torch.stack((twice, weights), -1)  # (T, 2)
    numbers.add(("weights", "a", both), rows=words, columns=METHODS, kind="weights", show_all=True)
    # %% Values
    context = mix(weights[None], v)  # (1, D)
    numbers.add(("softmax weights", "a", weights[None]), rows=("a",), columns=words, kind="weights", is_view=True)
    taken = torch.cat((weight_values(weights, v), context))
    numbers.add(("weighted values", "a · V", taken), rows=[*words, "sum"], show_all=True)
    # %% A prediction
    distances = distances_to(context, embeddings)  # (V,)
    nearest = int(distances.argmin())
    notes = ["nearest" * (i == nearest) for i in range(len(vocabulary))]
    numbers.add(("distances", "|E - c|", distances), rows=vocabulary, columns=("distance",), kind="table", notes=notes)
    sums = torch.stack([add_up(ids, w, len(vocabulary)) for w in (twice, weights)], -1)  # (V, 2)
    notes = predictions(int(twice.argmax()), nearest, len(vocabulary))
    numbers.add(("probabilities", "P", sums), rows=vocabulary, columns=METHODS, kind="weights", notes=notes)
    # %%
    best, is_last = int(weights.argmax()), at + 1 == len(words)
    follower = ids[at if is_last else at + 1]
    numbers.update(current=words[at], has_next=not is_last, follower=vocabulary[follower], words=len(vocabulary))
    numbers.update(best=best, best_word=words[best], nearest=vocabulary[nearest], nearest_place=nearest)
    numbers.update(before=max(0, at - 1), later=weights[at + 1 :].sum(), nearer=(distances < distances[follower]).sum())
    numbers["difference"] = (attention(q, k, v, causal=False) - context).abs().max()
    # the mistakes of a program that looks up a word by its index in the wrong list
    place, first = int(twice.argmax()), words.index(words[at])
    found = vocabulary[place] if place < len(vocabulary) else ""
    numbers.update(finds_another=found not in ("", words[place]), finds_none=not found, is_repeated=first < at)
    numbers.update(heaviest=words[place], place=place, found=found, first=first)
    return numbers


WALK = Walk("fox", "attention over random word vectors predicts a word, by weights and by values", 0, compute)
