"""Small texts of several kinds, with the vocabularies of several tokenizers, for the tests of patterns and rules."""

import random
from pathlib import Path

import torch

from headscope.data.tokenizers import BytePairTokenizer, CharTokenizer, WordTokenizer
from headscope.heads.token_classes import Vocabulary

PROSE = 'FIRST CITIZEN:\nWe 2 are hungry. "Speak (now)!" he said. A 3.14 day\n\nAll the men saw it… "We know." Do we?\n'
CODE = 'def size(self, x):\n    if x["a"] == (1, [2]):\n        return self.size_of + 12\n\n    return f(x)\n'
CHINESE = "我们知道。他说:“我们(不)知道!”\n\n他们知道 A1。我们说。\n知道(他们)\n"
NAMES = "Anna\nBea\nÉloïse\nAnnabel\nZoë\n"
PIECES = ["ab", "Cab", "e", "a1", "22", ".", ". ", " ", "\n", "\n\n", "(", ")", '"', "…", "_", "ka ", "! Aa", "DO", "-"]


def tokenized(tokenizer, text):
    """Returns ids (1, T) and the vocabulary."""
    return tokenizer.encode(text)[None], Vocabulary(tokenizer.shown)


def samples():
    """Returns texts by name: ids (1, T) and the vocabulary."""
    texts = {"prose": PROSE, "code": CODE, "Chinese": CHINESE, "names": NAMES}
    found = {name: tokenized(CharTokenizer.of([text], 0), text) for name, text in texts.items()}
    words = PROSE + PROSE.replace("\n", " ")
    found["words"] = tokenized(WordTokenizer.of([words], 0), words)
    for name in ("prose", "code", "Chinese"):
        found[f"byte pairs, {name}"] = tokenized(BytePairTokenizer.of([texts[name] * 3], 290), texts[name])
    return found


def dense(n, t, seed=0):
    """Returns n random texts in which every pattern occurs and differs from the others: ids (n, t), the vocabulary."""
    draw = random.Random(seed)
    text = "".join(draw.choice(PIECES) for _ in range(n * t))[: n * t]
    ids, vocabulary = tokenized(CharTokenizer.of(["".join(PIECES)], 0), text)
    return ids.view(n, t), vocabulary


def characters(n, t):
    """Returns n passages of t characters from source code, with a vocabulary of its characters."""
    text = Path(random.__file__).read_text()
    ids, vocabulary = tokenized(CharTokenizer.of([text], 0), text)
    starts = torch.linspace(0, ids.shape[1] - t, n).long()
    return ids[0, starts[:, None] + torch.arange(t)], vocabulary


def marked_keys(marks):
    """Returns the marked keys of each query, from marks (T, T)."""
    return [row.nonzero().flatten().tolist() for row in torch.as_tensor(marks)]
