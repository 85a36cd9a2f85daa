"""Each pattern equals a loop in plain Python that reads only the tokens up to the query."""

import itertools
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headscope.data.tokenizers import CharTokenizer
from headscope.heads.patterns import PATTERNS, Text, map_of, marks, patterns_of
from headscope.heads.token_classes import CLASSES, Vocabulary
from tests.heads.texts import PIECES, dense, marked_keys, samples, tokenized

SAMPLES = samples()
PAIRS = dict(zip(")]}»”’", "([{«“‘", strict=True))


class Read:
    """The tokens up to and including the query, read by loops."""

    def __init__(self, tokens, whole):
        self.tokens, self.whole, self.i = tokens, whole, len(tokens) - 1
        self.words = []  # the positions of each word's tokens
        for j, token in enumerate(tokens):
            if re.search(r"\w", token):
                is_new = whole or token[0].isspace() or "\u4e00" <= token[0] <= "\u9fff"
                if self.words and self.words[-1][-1] == j - 1 and not is_new:
                    self.words[-1].append(j)
                else:
                    self.words.append([j])
        newlines = [j for j, token in enumerate(tokens[:-1]) if "\n" in token]
        self.lines = [0, *(j + 1 for j in newlines)]  # the start of each line

    def sentence(self):
        start = 0
        for (p, *_), (w, *_) in zip([[0], *self.words], self.words, strict=False):
            ends = [j for j in range(p, w) if re.search(r'[.!?…。！？][)\]}»”’"]*\s*$', self.tokens[j])]
            if ends and (
                self.whole
                or any(token[0].isspace() for token in self.tokens[ends[-1] + 1 : w + 1])
                or re.search("[。！？]", self.tokens[ends[-1]])
            ):
                start = w
        return [start]

    def paragraph(self):
        full = [j for j, token in enumerate(self.tokens) if token.strip()]
        apart = [j for q, j in itertools.pairwise(full) if "".join(self.tokens[q : j + 1]).count("\n") > 1]
        return apart[-1:] or [0]

    def bracket(self):
        is_open = []
        for j, token in enumerate(self.tokens[:-1]):
            for c in token:
                if c in PAIRS.values() or (c == '"' and '"' not in [k for _, k in is_open]):
                    is_open.append((j, c))
                elif c == '"':
                    while is_open.pop()[1] != '"':
                        pass
                elif c in PAIRS and is_open and is_open[-1][1] == PAIRS[c]:
                    is_open.pop()
        return [j for j, _ in is_open[-1:]]

    def column(self):
        if len(self.lines) < 2:
            return []
        key = self.lines[-2] + self.i - self.lines[-1]
        return [key] if key < self.lines[-1] else []

    def same(self, n, shift):
        """Returns the positions `shift` after earlier copies of the last n tokens."""
        last = self.tokens[self.i - n + 1 :]
        ends = [j for j in range(n - 1, self.i) if self.i >= n - 1 and self.tokens[j - n + 1 : j + 1] == last]
        return [j + shift for j in ends if j + shift < self.i]

    def first(self):
        end = next((j for j, token in enumerate(self.tokens) if token != self.tokens[0]), len(self.tokens))
        return list(range(end))


LOOPS = {
    "the first token": Read.first,
    "all earlier tokens": lambda x: list(range(x.i + 1)),
    "the start of the word": lambda x: [word[0] for word in x.words[-1:]],
    "this word": lambda x: list(range(x.words[-1][0], x.i + 1)) if x.words else [],
    "the start of the previous word": lambda x: [word[0] for word in x.words[-2:-1]],
    "the end of the previous word": lambda x: [word[-1] for word in x.words[-2:-1]],
    "the start of the line": lambda x: x.lines[-1:],
    "this line": lambda x: list(range(x.lines[-1], x.i + 1)),
    "the same column in the line above": Read.column,
    "the start of the sentence": Read.sentence,
    "the start of the paragraph": Read.paragraph,
    "the open bracket or quotation mark": Read.bracket,
    "the same token": lambda x: x.same(1, 0),
    "the token after the same token": lambda x: x.same(1, 1),
    "the same pair of tokens": lambda x: x.same(2, 0),
    "the token after the same pair": lambda x: x.same(2, 1),
}
for name, is_member in CLASSES.items():
    LOOPS[f"the last {name}"] = lambda x, m=is_member: [j for j in range(x.i) if m(x.tokens[j])][-1:]
    LOOPS[f"all {name}s"] = lambda x, m=is_member: [j for j in range(x.i + 1) if m(x.tokens[j])]


def check_text(ids, vocabulary, whole=False):
    """Compares all patterns of each text with the loops."""
    text = Text(ids, vocabulary)
    ours = {name: marks(pattern, text) for name, pattern in patterns_of(vocabulary).items()}
    for b, row in enumerate(ids.tolist()):
        tokens = [vocabulary.text[i] for i in row]
        reads = [Read(tokens[: i + 1], whole) for i in range(len(tokens))]
        for name, found in ours.items():
            assert marked_keys(found[b]) == [LOOPS[name](read) for read in reads], (name, tokens)


def test_every_pattern_has_a_loop_a_kind_and_a_formula():
    assert LOOPS.keys() >= PATTERNS.keys()
    for name, pattern in patterns_of(dense(1, 4)[1]).items():
        assert name in LOOPS
        assert pattern.kind in ("place", "structure", "identity")
        assert "j" in pattern.formula


@pytest.mark.parametrize("name", SAMPLES)
def test_patterns_equal_loops(name):
    check_text(*SAMPLES[name], whole=name == "words")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, *"我们。“”"]), min_size=1, max_size=12))
def test_patterns_of_random_texts_equal_loops(pieces):
    text = "".join(pieces)
    check_text(*tokenized(CharTokenizer.of([text, " x"], 0), text))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, " the", ' ("', '."', "()", "知道", "。我"]), min_size=1, max_size=24))
def test_patterns_of_random_pieces_equal_loops(pieces):
    """Tokens of several characters, as byte pairs from other programs: with a space, brackets, or two newlines."""
    vocab = sorted({*pieces, " x"})
    check_text(torch.tensor([[vocab.index(piece) for piece in pieces]]), Vocabulary(vocab))


@pytest.mark.parametrize("name", SAMPLES)
def test_later_tokens_have_no_effect(name):
    ids, vocabulary = SAMPLES[name]
    t = min(ids.shape[1], 60)
    changed = torch.randint(len(vocabulary.text), (5, t), generator=torch.Generator().manual_seed(0))
    for cut in (1, t // 3, t // 2, t - 1):
        other = changed.clone()
        other[:, :cut] = ids[:, :cut]
        for pattern in patterns_of(vocabulary).values():
            ours, theirs = (marks(pattern, Text(x, vocabulary))[:, :cut] for x in (ids[:, :t], other))
            assert ours.expand_as(theirs).equal(theirs)


@pytest.mark.parametrize("name", SAMPLES)
def test_rows_of_maps_sum_to_one_and_exclude_later_keys(name):
    ids, vocabulary = SAMPLES[name]
    text = Text(ids, vocabulary)
    for pattern in patterns_of(vocabulary).values():
        found = map_of(pattern, text)
        torch.testing.assert_close(found.sum(-1), torch.ones(ids.shape))
        assert found.triu(1).count_nonzero() == 0
        for row, keys in zip(found[0], marked_keys(marks(pattern, text)[0]), strict=True):
            assert not keys or row.nonzero().flatten().tolist() == keys


def keys_of(name, tokens, vocab=()):
    """Returns what a pattern marks for the last token."""
    vocab = [*dict.fromkeys([*tokens, *vocab])]
    ids = torch.tensor([[vocab.index(token) for token in tokens]])
    return marked_keys(marks(PATTERNS[name], Text(ids, Vocabulary(vocab)))[0])[-1]


def test_each_word_of_a_vocabulary_of_words_is_a_word():
    assert keys_of("the start of the word", ["the", "cat", "sat"]) == [2]
    assert keys_of("the start of the previous word", ["the", "cat", "sat"]) == [1]
    assert keys_of("the start of the word", ["the", "cat", "sat"], [" "]) == [0]  # pieces of one word


def test_each_chinese_character_is_a_word():
    assert keys_of("the start of the word", ["我", "们", "知"]) == [2]
    assert keys_of("the start of the word", ["k", "n", "o"]) == [0]


@pytest.mark.parametrize(
    ("tokens", "start"),
    [
        ([*"He sat. She"], 8),
        ([*"He sat, she"], 0),
        ([*"is 3.14"], 0),
        ([*"a self.size"], 0),
        ([*'"Go!" he'], 6),
        (["He", " sat", ".", " She"], 3),
        (["He", "sat.", "She"], 2),
        ([*"知道。我们"], 3),
    ],
)
def test_a_sentence_starts_after_an_end_mark_and_a_space(tokens, start):
    assert keys_of("the start of the sentence", tokens) == [start]


@pytest.mark.parametrize(
    ("tokens", "start"),
    [
        ([*"f(a[0], b"], [1]),
        ([*"f(a) b"], []),
        ([*'f("a)", b'], [1]),  # a bracket in a quotation does not close the bracket outside it
        ([*'f("(", b'], [1]),  # nor does the quotation leave a bracket open
        ([*'say "a'], [4]),
        (["f", "()", "b"], []),
        (["f", '("', "a", '",', " b"], [1]),
        ([*"说“知道"], [1]),
    ],
)
def test_the_innermost_open_bracket_or_quotation(tokens, start):
    assert keys_of("the open bracket or quotation mark", tokens) == start
