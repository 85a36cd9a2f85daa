"""fox: random word vectors, a mean query, and two predictions: by the largest weight, and by the values.

Shapes: T words of the sentence, V words of the vocabulary, D = 3.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor

from headscope.errors import UserError
from headscope.model.attention import attention
from headscope.render.labels import label
from headscope.walkthrough.plain import compare, mix, scale, take, weigh
from headscope.walkthrough.step import Change, Matrix, Mistake, Step, Walk, WalkResult, number

SENTENCE = "The quick brown fox jumps over the lazy dog"
D, WINDOW, LONGEST = 3, 2, 1000


def draw(seed: int, words: int, width: int) -> Tensor:
    random = np.random.RandomState(seed)
    vectors = [random.rand(width) for _ in range(words)]  # from 0 to 1
    return torch.tensor(np.array(vectors))  # (V, D)


def ask(vectors: Tensor, window: slice) -> Tensor:
    return vectors[window].mean(0, keepdim=True)  # (1, D)


def nearest_to(context: Tensor, embeddings: Tensor) -> Tensor:
    apart = embeddings - context  # (V, D)
    return apart.square().sum(-1).sqrt()  # (V,), the smallest wins


def count(places: Tensor, weights: Tensor, words: int) -> Tensor:
    none = torch.zeros(words, dtype=weights.dtype)
    return none.index_add(0, places, weights)  # (V,), equal words add up


def tell(
    seed: int,
    sentences: Sequence[str] = (SENTENCE,),
    *,
    window: Annotated[int, Ge(1), Le(LONGEST)] = WINDOW,
    width: Annotated[int, Ge(1), Le(300)] = D,
) -> WalkResult:
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
    embeddings = draw(seed, len(vocabulary), width)
    at = len(words) // 2
    places = torch.tensor([vocabulary.index(word) for word in words])
    before = slice(max(0, at - window), at)

    v = k = embeddings[places]  # (T, D)
    q = ask(k, before)  # (1, D)
    scores = compare(q, k)[0]  # (T,)
    scaled = scale(scores, width)
    exps = scaled.exp()
    twice, weights = weigh(exps), weigh(scaled)  # (T,) each
    context = mix(weights[None], v)  # (1, D)
    distances = nearest_to(context, embeddings)  # (V,)
    sums = torch.stack([count(places, w, len(vocabulary)) for w in (twice, weights)], -1)  # (V, 2)
    nearest = vocabulary[int(distances.argmin())]
    answer = _looked_up(vocabulary, twice)
    best = int(weights.argmax())
    true = ""
    if at + 1 < len(words):
        nearer = int((distances < distances[places[at + 1]]).sum())
        true = f" Of {len(vocabulary)} words, {nearer} are nearer than the one that does follow, “{words[at + 1]}”."

    role = dict.fromkeys(range(at)[before], "context") | {at: "current word"}
    each = f"({len(words)},)"
    m_words = Matrix("embeddings", "E", embeddings, vocabulary, whole=True)
    m_k = Matrix("vectors", "K", k, words)
    m_q = Matrix("query", "q", torch.cat((k[before], q)), [*words[before], "mean"], shape=f"({width},)")
    m_scores = Matrix("scores", "s", torch.stack((scores, scaled), -1), words, ("score", "scaled"),
                      shape=f"{each} each", whole=True)  # fmt: skip
    m_weights = Matrix("weights", "a", torch.stack((twice, weights), -1), words, ("exp twice", "softmax"), "weights",
                       f"{each} each", whole=True)  # fmt: skip
    m_asks = m_q.row(len(m_q.rows) - 1)
    m_share = Matrix("softmax weights", "a", weights[None], ("a",), words, "weights")
    steps = [
        Step(
            "Words to vectors", "How can a sentence be calculated with?",
            f"Each word is a place in a vocabulary of {len(vocabulary)}, and each new word draws {width} random "
            f"numbers from 0 to 1; “The” and “the” are two words. The same vector is the word's key (what it is "
            f"compared by) and its value (what it hands over). “{words[at]}”, in the middle, is the current word; up "
            f"to {window} before it are its context.",
            "K = V = E[ids]", (draw,), (),
            (Matrix("tokens", "ids", places[:, None], words, ("id",), "table", each,
                    [role.get(i, "") for i in range(len(words))], whole=True), m_words),
            "The numbers are all positive and mean nothing: words that are alike have vectors no more alike than "
            "others.",
        ),
        Step(
            "A question", "What is asked?",
            "The query says what is looked for. Here it is the mean of the context's vectors; the current word itself "
            "is not in it. A trained model has a matrix that makes a query of each word.",
            "q = mean of the context's vectors", (ask,), (), (m_q,),
            f"The last row is the mean of the {len(words[before])} above it, and the query of all that follows.",
            Change("window", "1", "What if only the word before is asked?", ("scores", max(0, at - 1), 0),
                   "The query is then the vector of that word itself. Even so a word need not fit itself best: where "
                   "no number is negative, a longer vector tends to score higher, whatever is asked."),
        ),
        Step(
            "Scores", "How well does each word fit the question?",
            f"The query times each key, channel by channel, added up; then divided by √{width}.",
            f"s = q Kᵀ / √{width}", (compare, scale), (m_asks, "×", m_k.turned, "="), (m_scores,),
            f"All scores are positive, as all numbers are: the smallest is {scaled.min():.4f}, the largest "
            f"{scaled.max():.4f}. So long vectors tend to score high, whatever is asked.",
        ),
        Step(
            "Weights", "How does a score become a share?",
            "By the softmax: e to the power of each score, divided by the sum of all. The table has beside it what "
            "comes out if one takes the exponentials for weights and puts them through a softmax after that.",
            "a = exp(s) / Σ exp(s)", (weigh,), (m_scores, "exp →"),
            (Matrix("exponentials", "exp(s)", exps[:, None], words, ("exp",), "table", each, whole=True), "/ Σ →",
             m_weights),
            f"The shares add up to 1 and run from {weights.min():.4f} to {weights.max():.4f}; “{words[best]}” has the "
            f"largest.",
            Change("width", "30", f"What if a word has 30 numbers in place of {width}?", ("scores", best, 1),
                   "All numbers are positive, so nothing cancels in a sum of 30 products, and even divided by √30 "
                   "scores tend to be larger. It hardly changes the shares: a softmax sees differences only."),
        ),
        Step(
            "Values", "What is taken from the words?",
            "Each weight times the vector of its word. Their sum is the context vector: what the sentence says to this "
            "question.",
            "c = a V", (take, mix), (m_share, "×", m_k, "="),
            (Matrix("weighted values", "a · V", torch.cat((take(weights, v), context)), [*words, "sum"], whole=True),),
            f"The last row is the sum. With nearly even weights it is nearly the mean of all the words. Headscope's "
            f"own attention function gives the same; the largest difference is "
            f"{number(float((attention(q, k, v, causal=False) - context).abs().max()))}.",
        ),
        Step(
            "A prediction", "Which word comes next?",
            "The word of the whole vocabulary whose vector is nearest to the context vector: training teaches a system "
            "to bring the context close to the word that comes next. Beside it the other reading, which takes the "
            "weights for probabilities and never uses the values: the word with the largest "
            "weight. A word that stands twice adds up its weights.",
            "the word with the smallest |E - c|", (nearest_to, count), (),
            (Matrix("distances", "|E - c|", distances[:, None], vocabulary, ("distance",), "table",
                    f"({len(vocabulary)},)", ["nearest" if word == nearest else "" for word in vocabulary], whole=True),
             Matrix("probabilities", "P", sums, vocabulary, ("exp twice", "softmax"), "weights",
                    f"({len(vocabulary)},) each",
                    [_foretold(word == answer, word == nearest) for word in vocabulary], whole=True)),
            f"By the values it is “{nearest}”, {distances.min():.4f} away. The vectors are random, so either word is "
            f"chance: attention mixes vectors, it does not give them a meaning. Training would: it moves the vectors, "
            f"and the matrices that make queries, keys and values of them, until the right word is nearest.{true}",
            Change("window", "4", "What if four words before are asked?", ("distances", vocabulary.index(nearest), 0),
                   "Another query weighs the words otherwise, but a mean of random vectors stays near their middle, "
                   "whatever is asked: the nearest word is near the middle too."),
        ),
    ]  # fmt: skip
    lookup = (
        f"Without the values one can only answer with the largest weight, {_prediction(words, vocabulary, twice)}. "
        f"A weight says how well a word of the sentence fits the question: where to listen, not what comes next. So "
        f"this can only name a word of the sentence; a vocabulary has others (here a second --sentence adds some). The "
        f"weighted values are compared with all of it: “{nearest}”, {distances.min():.4f} away."
    )
    if (first := words.index(words[at])) != at:
        lookup += (
            f" And who looks the current word up by words.index takes the context of the first “{words[at]}”, in "
            f"place {first}, not of this one{'.' if first else ', and fail, as there is none.'}"
        )
    others = f" The walk goes through the last of {len(texts)} sentences; the others add words to predict."
    mistakes = [
        Mistake(
            "Exponentiating twice",
            f"Weights that are exp of the scores add up to {exps.sum():.4f}, not 1. A softmax of those exponentiates "
            f"again: its shares run from {twice.min():.4f} to {twice.max():.4f} where those of the scores run from "
            f"{weights.min():.4f} to {weights.max():.4f}.",
        ),
        Mistake("Predicting without the values", lookup),
        Mistake(
            "Letting the answer be seen",
            f"Nothing hides the words after “{words[at]}”, and they get {weights[at + 1 :].sum():.4f} of the weights, "
            f"though one of them is the answer.{others * (len(texts) > 1)}",
        ),
    ]
    checks = [
        (
            "What makes scores into weights, and what do they add up to?",
            f"The softmax, used once: exponentials divided by their sum, so that they add up to 1. The bare "
            f"exponentials add up to {exps.sum():.4f}.",
        ),
        (
            "Why is the word with the largest weight not the prediction?",
            "A weight says how well a word of the sentence fits the question: where to listen, not what comes next. "
            "What is heard are the values; their weighted sum is compared with every word of the vocabulary.",
        ),
        (
            "What would have to be learned for the answer to be more than chance?",
            "The vectors (and matrices that make queries, keys and values of them): here they are random.",
        ),
    ]
    return WalkResult(
        f"Which word follows “{words[at]}”, if all we have is random vectors and attention?", steps, mistakes, checks
    )


def _foretold(by_weight: bool, by_values: bool) -> str:
    return ", ".join(["predicted by the largest weight"] * by_weight + ["predicted by the values"] * by_values)


def _looked_up(vocabulary: list[str], weights: Tensor) -> str | None:
    """What comes of taking a place in the sentence for one in the vocabulary, if there is one."""
    place = int(weights.argmax())
    return vocabulary[place] if place < len(vocabulary) else None


def _prediction(words: list[str], vocabulary: list[str], weights: Tensor) -> str:
    """The same in words."""
    place, answer = int(weights.argmax()), _looked_up(vocabulary, weights)
    if answer is None:
        return f"“{words[place]}”, and then fails, as place {place} is not in a vocabulary of {len(vocabulary)}"
    wrong = f" in the sentence, but then answers “{answer}”, as it takes place {place} for one in the vocabulary"
    return f"“{words[place]}”" + wrong * (answer != words[place])


WALK = Walk("fox", "a mean query over random word vectors predicts a word, by weights and by values", 0, tell)
