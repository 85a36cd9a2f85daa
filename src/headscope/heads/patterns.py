"""Patterns of attention that are computed from the text alone, such as "the first letter of the word".

Each pattern marks the keys that a query looks at. Its map spreads the weight of each row evenly over the marked keys.
A row without a marked key is spread over all earlier tokens and the current one. To add a pattern, write a function and
add its row to `PATTERNS`; for the page, add the same function to `render/model_page/patterns.js`.

Shapes: B texts, T positions, V vocabulary; marks are bool (B, T, T), indexed [query i, key j], and False where j > i.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from headscope.heads.scores import after_earlier_equals, earlier_equals
from headscope.heads.token_classes import CLOSING, OPENING, is_word, starts_word, token_classes

Kind = Literal["place", "structure", "identity", "content"]  #: of a term of a rule
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Vocabulary:
    """What the patterns know about each token."""

    text: Sequence[str]  #: the text of each token, V strings

    @cached_property
    def classes(self) -> dict[str, Tensor]:
        """The members of each class of tokens, bool (V,)."""
        return token_classes(self.text)

    @cached_property
    def words(self) -> Tensor:
        """Which tokens have a letter or a digit, bool (V,)."""
        return torch.tensor([is_word(token) for token in self.text])

    @cached_property
    def starts(self) -> Tensor:
        """Which tokens always start a word, bool (V,)."""
        return starts_word(self.text)

    @cached_property
    def brackets(self) -> Tensor:
        """For each token, +n if it is the nth opening bracket, -n if it is the nth closing bracket, 0 otherwise."""
        marks = [OPENING.find(t.strip()[:1] or " ") + 1 - (CLOSING.find(t.strip()[:1] or " ") + 1) for t in self.text]
        return torch.tensor(marks)


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
        return self.vocabulary.classes[name].to(self.ids.device)[self.ids]

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
        word = self.vocabulary.words.to(self.ids.device)[self.ids]
        before = torch.nn.functional.pad(word[:, :-1], (1, 0))
        return word & (~before | self.vocabulary.starts.to(self.ids.device)[self.ids])

    @cached_property
    def word_ends(self) -> Tensor:
        """Which tokens are the last of a word that has ended, bool (B, T), known from the next token on."""
        word = self.vocabulary.words.to(self.ids.device)[self.ids]
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
        ends = self.members("newline") if "newline" in self.vocabulary.classes else torch.zeros_like(self.ids).bool()
        return self.last(ends) + 1

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
        kinds = self.vocabulary.brackets[self.ids.cpu()].tolist()
        found = torch.full(self.ids.shape, -1)
        for b, row in enumerate(kinds):
            stack: list[tuple[int, int]] = []  # (position, kind) of the open brackets
            for i, kind in enumerate(row):
                found[b, i] = stack[-1][0] if stack else -1
                if kind > 0:
                    stack.append((i, kind))
                elif kind < 0 and stack and stack[-1][1] == -kind:
                    stack.pop()
        return found.to(self.ids.device)


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


def _after_same_pair(text: Text) -> Tensor:
    """Marks the tokens whose two predecessors equal the query and the token before it."""
    same = earlier_equals(text.ids)  # (B, T, T)
    pair = torch.nn.functional.pad((same[:, 1:, 1:] & same[:, :-1, :-1]), (1, 0, 1, 0))
    return torch.nn.functional.pad(pair[:, :, :-1], (1, 0))


def _same_pair(text: Text) -> Tensor:
    """Marks the earlier tokens that equal the query and follow a token that equals the one before the query."""
    same = earlier_equals(text.ids)
    return torch.nn.functional.pad((same[:, 1:, 1:] & same[:, :-1, :-1]), (1, 0, 1, 0))


#: The patterns that every vocabulary has, by name.
PATTERNS: dict[str, Pattern] = {
    "the first token": Pattern(
        "place", "j < the number of tokens that equal the first one, from the start",
        lambda x: (x.position < first_run(x.ids)[:, None])[:, None].expand(-1, len(x.position), -1)),
    "all earlier tokens": Pattern("place", "j ≤ i", lambda x: x.past.expand(len(x.ids), -1, -1)),
    "the start of the word": Pattern("structure", "j = the start of i's word", lambda x: x.at(x.word_start)),
    "this word": Pattern(
        "structure", "j ≥ the start of i's word", lambda x: x.position >= x.word_start.clamp(min=0)[..., None]),
    "the start of the previous word": Pattern(
        "structure", "j = the start of the word before i's word", lambda x: x.at(x.previous_word_start)),
    "the end of the previous word": Pattern(
        "structure", "j = the last token of the word before i's word", lambda x: x.at(x.previous_word_end)),
    "the start of the line": Pattern("structure", "j = the start of i's line", lambda x: x.at(x.line_start)),
    "this line": Pattern(
        "structure", "j ≥ the start of i's line", lambda x: x.position >= x.line_start[..., None]),
    "the same column in the line above": Pattern(
        "structure", "j = the start of the line above + i - the start of i's line", lambda x: x.at(x.column_above)),
    "the open bracket or quotation mark": Pattern(
        "structure", "j = the innermost bracket that is open before i", lambda x: x.at(x.open_bracket)),
    "the same token": Pattern("identity", "token j = token i, j < i", lambda x: earlier_equals(x.ids)),
    "the token after the same token": Pattern(
        "identity", "token j - 1 = token i, j < i", lambda x: after_earlier_equals(x.ids)),
    "the same pair of tokens": Pattern("identity", "tokens j - 1, j = tokens i - 1, i, j < i", _same_pair),
    "the token after the same pair": Pattern(
        "identity", "tokens j - 2, j - 1 = tokens i - 1, i, j ≤ i", _after_same_pair),
}  # fmt: skip


def class_patterns(vocabulary: Vocabulary) -> dict[str, Pattern]:
    """Returns two patterns for each class of tokens: its last member before the query, and all its members."""
    found: dict[str, Pattern] = {}
    for name in vocabulary.classes:
        found[f"the last {name}"] = Pattern("structure", f"j = the last {name} before i", partial(_last_member, name))
        found[f"all {name}s"] = Pattern("structure", f"token j is a {name}", partial(_all_members, name))
    return found


def _last_member(name: str, text: Text) -> Tensor:
    return text.at(text.last(text.members(name)))


def _all_members(name: str, text: Text) -> Tensor:
    return text.members(name)[:, None, :].expand(-1, len(text.position), -1)


def patterns_of(vocabulary: Vocabulary) -> dict[str, Pattern]:
    """Returns all patterns of a vocabulary, by name."""
    return PATTERNS | class_patterns(vocabulary)


def marks(pattern: Pattern, text: Text) -> Tensor:
    """Returns the keys that a pattern marks at or before each query, bool (B, T, T)."""
    return pattern.marks(text) & text.past


def map_of(pattern: Pattern, text: Text) -> Tensor:
    """Returns the map of a head that follows a pattern, (B, T, T). A row without a marked key is uniform."""
    marked = marks(pattern, text)
    marked = torch.where(marked.any(-1, keepdim=True), marked, text.past).float()
    return marked / marked.sum(-1, keepdim=True)
