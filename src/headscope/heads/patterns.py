"""Patterns of attention that are computed from the text alone, such as "the first letter of the word".

Each pattern marks the keys that a query looks at. Its map spreads the weight of each row evenly over the marked keys.
A row without a marked key is spread over all earlier tokens and the current one. To add a pattern, write a function and
add its row to `PATTERNS`; for the page, add the same function to `render/model_page/patterns.js`.

Shapes: B texts, T positions, V vocabulary; marks are bool (B, T, T), indexed [query i, key j], and False where j > i.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from headscope.heads.scores import after_earlier_equals, earlier_equals
from headscope.heads.token_classes import CLOSING, OPENING, STRAIGHT, Vocabulary

Kind = Literal["place", "structure", "identity", "content"]  #: of a term of a rule
KINDS: tuple[Kind, ...] = get_args(Kind)


class Text:
    """Texts in which patterns look for keys."""

    def __init__(self, ids: Tensor, vocabulary: Vocabulary) -> None:
        self.ids, self.vocabulary = ids, vocabulary  # (B, T)
        t = ids.shape[1]
        position = torch.arange(t, device=ids.device)
        self.position = position
        self.past = position[:, None] >= position  # (T, T)

    def members(self, name: str) -> Tensor:
        """Returns which tokens belong to a class, bool (B, T)."""
        return self.of(self.vocabulary.classes[name])

    def of(self, table: Tensor) -> Tensor:
        """Returns the entry of each token in a table (V,): (B, T)."""
        return table.to(self.ids.device)[self.ids]

    def last(self, marked: Tensor, before: bool = True) -> Tensor:
        """Returns the position of the last marked token before each query (or up to it), (B, T); -1 if there is none.

        `marked` is bool (B, T).
        """
        at = torch.where(marked, self.position, -1).cummax(1).values  # up to the query
        return torch.nn.functional.pad(at[:, :-1], (1, 0), value=-1) if before else at

    def at(self, keys: Tensor) -> Tensor:
        """Marks one key per query: keys (B, T) become marks (B, T, T); -1 marks none."""
        return keys[..., None] == self.position

    @cached_property
    def word_starts(self) -> Tensor:
        """Which tokens start a word, bool (B, T)."""
        word = self.of(self.vocabulary.words)
        before = torch.nn.functional.pad(word[:, :-1], (1, 0))
        return word & (~before | self.of(self.vocabulary.starts))

    @cached_property
    def word_ends(self) -> Tensor:
        """Which tokens are the last of a word that has ended, bool (B, T), known from the next token on."""
        word = self.of(self.vocabulary.words)
        follows = word[:, 1:] & ~self.word_starts[:, 1:]
        return word & ~torch.nn.functional.pad(follows, (0, 1))

    @cached_property
    def word_start(self) -> Tensor:
        """The position of the first token of the current or most recent word, (B, T)."""
        return self.last(self.word_starts, before=False)

    @cached_property
    def previous_word_start(self) -> Tensor:
        """The position of the first token of the word before `word_start`, (B, T)."""
        return _jump(self.last(self.word_starts), self.word_start)

    @cached_property
    def previous_word_end(self) -> Tensor:
        """The position of the last token before `word_start` that ends a word, (B, T)."""
        return _jump(self.last(self.word_ends), self.word_start)

    @cached_property
    def line_start(self) -> Tensor:
        """The position of the first token of the current line, (B, T). A newline belongs to the line that it ends."""
        return self.last(self.of(self.vocabulary.newlines) > 0) + 1

    @cached_property
    def sentence_start(self) -> Tensor:
        """The position of the first word of the current sentence, (B, T); 0 in the text's first sentence.

        A sentence starts with a word if an end mark and white space are between this word and the word before it, so
        that "3.14" and "self.size" do not start one. The word before it may contain the end mark.
        """
        mark = self.last(self.of(self.vocabulary.end_marks))
        is_apart = (self.last(self.of(self.vocabulary.gaps), before=False) > mark) | (
            _jump(self.of(self.vocabulary.wide).long(), mark) > 0
        )
        starts = self.word_starts & (mark >= 0) & (mark >= self.last(self.word_starts)) & is_apart
        return self.last(starts, before=False).clamp(min=0)

    @cached_property
    def paragraph_start(self) -> Tensor:
        """The position of the first token after the last blank line, (B, T); 0 if there is none before the query."""
        newlines = self.of(self.vocabulary.newlines).cumsum(1)
        text = ~self.of(self.vocabulary.blank)
        before = self.last(text)
        starts = text & (before >= 0) & (newlines - _jump(newlines, before) >= 2)
        return self.last(starts, before=False).clamp(min=0)

    @cached_property
    def column_above(self) -> Tensor:
        """The position in the line above with the same distance from the line's start, (B, T); -1 if there is none."""
        above = _jump(self.line_start, self.line_start - 1)  # the start of the line in which the last newline is
        key = above + self.position - self.line_start
        exists = (self.line_start > 0) & (key < self.line_start)
        return torch.where(exists, key, -1)

    @cached_property
    def open_bracket(self) -> Tensor:
        """The position of the innermost bracket or quotation that is open before each query, (B, T); -1 if none."""
        found = torch.full(self.ids.shape, -1)
        for b, row in enumerate(self.ids.tolist()):
            is_open: list[tuple[int, str]] = []  # the position and the character of each
            for i, token in enumerate(row):
                found[b, i] = is_open[-1][0] if is_open else -1
                for character in self.vocabulary.brackets[token]:
                    _read_bracket(is_open, i, character)
        return found.to(self.ids.device)


def _read_bracket(is_open: list[tuple[int, str]], i: int, character: str) -> None:
    """Adds an opening bracket at position i to the open ones, or removes the one that a closing bracket closes.

    The second straight quotation mark closes the quotation and the brackets that are open in it.
    """
    kinds = [kind for _, kind in is_open]
    if character == STRAIGHT and STRAIGHT in kinds:
        del is_open[kinds.index(STRAIGHT) :]
    elif character == STRAIGHT or character in OPENING:
        is_open.append((i, character))
    elif kinds and kinds[-1] == OPENING[CLOSING.index(character)]:
        is_open.pop()


def _jump(values: Tensor, to: Tensor) -> Tensor:
    """Returns values (B, T) at the positions `to` (B, T); -1 where `to` is -1."""
    return torch.where(to >= 0, values.gather(1, to.clamp(min=0)), -1)


def first_run(ids: Tensor) -> Tensor:
    """Returns the number of tokens at the start of each text that equal its first token, (B,)."""
    return (ids == ids[:, :1]).cumprod(1).sum(1)


class Pattern(NamedTuple):
    """One pattern."""

    kind: Kind
    formula: str  #: which keys j a query i looks at
    marks: Callable[[Text], Tensor]  #: bool (B, T, T); later keys may be marked, and do not count


def _same_pair(text: Text) -> Tensor:
    """Marks the earlier tokens that equal the query and follow a token that equals the one before the query."""
    same = earlier_equals(text.ids)  # (B, T, T)
    return torch.nn.functional.pad(same[:, 1:, 1:] & same[:, :-1, :-1], (1, 0, 1, 0))


def _after_same_pair(text: Text) -> Tensor:
    """Marks the earlier tokens whose two predecessors equal the token before the query, and the query."""
    return torch.nn.functional.pad(_same_pair(text)[:, :, :-1], (1, 0)).tril(-1)


#: The patterns that every vocabulary has, by name.
PATTERNS: dict[str, Pattern] = {
    "the first token": Pattern(
        "place", "j < the number of tokens that equal the first one, from the start",
        lambda x: (x.position < first_run(x.ids)[:, None])[:, None].expand(-1, len(x.position), -1)),
    "all earlier tokens": Pattern("place", "j ≤ i", lambda x: x.past.expand(len(x.ids), -1, -1)),
    "the start of the word": Pattern("structure", "j = the start of i's word", lambda x: x.at(x.word_start)),
    "this word": Pattern(
        "structure", "j ≥ the start of i's word",
        lambda x: (x.position >= x.word_start[..., None]) & (x.word_start >= 0)[..., None]),
    "the start of the previous word": Pattern(
        "structure", "j = the start of the word before i's word", lambda x: x.at(x.previous_word_start)),
    "the end of the previous word": Pattern(
        "structure", "j = the last token of the word before i's word", lambda x: x.at(x.previous_word_end)),
    "the start of the line": Pattern("structure", "j = the start of i's line", lambda x: x.at(x.line_start)),
    "this line": Pattern(
        "structure", "j ≥ the start of i's line", lambda x: x.position >= x.line_start[..., None]),
    "the same column in the line above": Pattern(
        "structure", "j = the start of the line above + i - the start of i's line", lambda x: x.at(x.column_above)),
    "the start of the sentence": Pattern(
        "structure", "j = the start of i's sentence", lambda x: x.at(x.sentence_start)),
    "the start of the paragraph": Pattern(
        "structure", "j = the first token after the last blank line", lambda x: x.at(x.paragraph_start)),
    "the open bracket or quotation mark": Pattern(
        "structure", "j = the innermost bracket that is open before i", lambda x: x.at(x.open_bracket)),
    "the same token": Pattern("identity", "token j = token i, j < i", lambda x: earlier_equals(x.ids)),
    "the token after the same token": Pattern(
        "identity", "token j - 1 = token i, j < i", lambda x: after_earlier_equals(x.ids)),
    "the same pair of tokens": Pattern("identity", "tokens j - 1, j = tokens i - 1, i, j < i", _same_pair),
    "the token after the same pair": Pattern(
        "identity", "tokens j - 2, j - 1 = tokens i - 1, i, j < i", _after_same_pair),
}  # fmt: skip


def class_patterns(name: str) -> dict[str, Pattern]:
    """Returns the two patterns of a class of tokens: its last member before the query, and all its members."""

    def last(text: Text) -> Tensor:
        return text.at(text.last(text.members(name)))

    def every(text: Text) -> Tensor:
        return text.members(name)[:, None, :].expand(-1, len(text.position), -1)

    return {
        f"the last {name}": Pattern("structure", f"j = the last {name} before i", last),
        f"all {name}s": Pattern("structure", f"token j is a {name}, j ≤ i", every),
    }


def patterns_of(vocabulary: Vocabulary) -> dict[str, Pattern]:
    """Returns all patterns of a vocabulary, by name."""
    found = dict(PATTERNS)
    for name in vocabulary.classes:
        found |= class_patterns(name)
    return found


def marks(pattern: Pattern, text: Text) -> Tensor:
    """Returns the keys that a pattern marks at or before each query, bool (B, T, T)."""
    return pattern.marks(text) & text.past


def all_marks(patterns: Iterable[Pattern], text: Text) -> Tensor:
    """Returns the marks of several patterns, bool (K, B, T, T)."""
    found = [marks(pattern, text) for pattern in patterns]
    return torch.stack(found) if found else text.past.expand(0, len(text.ids), -1, -1)


def spread(marked: Tensor) -> Tensor:
    """Returns marks (..., T, T) as attention: each row is spread evenly over its keys, or zero if it has none."""
    marked = marked.float()
    return marked / marked.sum(-1, keepdim=True).clamp(min=1)


def map_of(pattern: Pattern, text: Text) -> Tensor:
    """Returns the map of a head that follows a pattern, (B, T, T). A row without a marked key is uniform."""
    marked = marks(pattern, text)
    return spread(torch.where(marked.any(-1, keepdim=True), marked, text.past))
