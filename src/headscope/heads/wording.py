"""Describes rules in plain English.

Shapes: V vocabulary, R content terms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from headscope.heads.rules import BANDS, Rule
from headscope.heads.token_classes import Vocabulary

RARE = 0.01  #: kinds of tokens that are used less often are not named
LEFT = 0.35  #: members of a class that belong to no named kind are listed if they are at least this share of it
SEEN = 0.02  #: a class that is used less often is not mentioned
SHOWN = 4  #: maximum number of tokens that stand for a class without a name
MOST, SOME = 0.9, 0.6  #: share of a kind of tokens, by frequency, from which a class has all or most of it
WINDOW = 0.5  #: a place is the fewest distances next to each other that have this share of the profile
WIDEST = 8  #: maximum number of distances in a place
STATED = 2  #: maximum number of content terms in a sentence


@dataclass(frozen=True)
class Wording:
    """What the words depend on: the vocabulary, how often each token is used, and the name of one token."""

    vocabulary: Vocabulary
    used: Tensor  #: frequency of each token, (V,)
    unit: str  #: character, word or token

    @cached_property
    def kinds(self) -> dict[str, Tensor]:
        """Classes that do not overlap, bool (V,), by the name of their members."""
        found: dict[str, Tensor] = {}
        for name, members in self.vocabulary.classes.items():
            if not any(bool((members & other).any()) for other in found.values()):
                found[f"{name}s"] = members
        return found

    def named(self, members: Tensor) -> str:
        """Returns a name for a class of tokens, bool (V,), such as "spaces and most vowels" or "any letter but a e"."""
        names, others = self._names(members), self._names(~members)
        if self.share(members) > 0.5 and len(others) < len(names):
            return f"any {self.unit} but {listed(others)}" if others else f"any {self.unit}"
        return listed(names)

    def _names(self, members: Tensor) -> list[str]:
        """Returns the names of the kinds of which a class has all or most, and its common members if they are many."""
        names, covered = [], torch.zeros_like(members)
        for name, kind in self.kinds.items():
            inside = self.share(members & kind) / max(self.share(kind), 1e-9)
            if inside >= SOME and self.share(kind) >= RARE:
                names.append(name if inside >= MOST else f"most {name}")
                covered |= kind
        if self.share(members & ~covered) > max(LEFT * self.share(members), RARE if names else 0.0):
            names.append(self._common(members & ~covered))
        return names

    def _common(self, members: Tensor) -> str:
        """Returns the most common tokens of a class."""
        common = [i for i in self.used.argsort(descending=True).tolist() if members[i] and self.used[i] > 0]
        shown = " ".join(f"“{visible(self.vocabulary.text[i])}”" for i in common[:SHOWN])
        return shown + f" and {len(common) - SHOWN} more" * (len(common) > SHOWN)

    def back(self, first: int, last: int) -> str:
        """Returns a name for the distances `first` … `last`."""
        if last == 0:
            return f"the current {self.unit}"
        if first == 0:
            return f"the current {self.unit} and the {self.unit if last == 1 else f'{last} {self.unit}s'} before it"
        if first == last:
            return f"the {self.unit} before" if first == 1 else f"the {self.unit} {first} back"
        return f"{first} to {last} {self.unit}s back"

    def term(self, rule: Rule, r: int) -> str:
        """Returns a content term in words: from which tokens the head prefers which tokens, and at which distances.

        Of the two classes of queries, which have opposite preferences, the more common one is described.
        """
        strengths = rule.strengths[r]
        strongest = int(strengths.abs().argmax())
        sign = 1 if strengths[strongest] > 0 else -1
        query = 1 if self.share(rule.queries[:, r] == 1) >= self.share(rule.queries[:, r] == -1) else -1
        queries, sought, avoided = (
            signs == value for signs, value in
            ((rule.queries[:, r], query), (rule.keys[:, r], sign * query), (rule.keys[:, r], -sign * query))
        )  # fmt: skip
        near = [b for b in range(len(BANDS)) if strengths[b] * sign > 0.5 * strengths[strongest].abs()]
        if near == [0]:  # the key is the query itself
            more, less = self.share(queries & sought), self.share(queries & avoided)
            which, effect = (sought, "more") if more >= less else (avoided, "less")
            return f"it puts {effect} weight on the current {self.unit} if that is among {self.named(queries & which)}"
        weight = f"more weight on {self.named(sought)}"
        if self.share(sought) < SEEN:
            weight = f"less weight on {self.named(avoided)}"
            if self.share(avoided) >= 0.5:
                weight = f"more weight on {self.named(~avoided)}"
        elif self.share(avoided) >= SEEN:
            weight += f" than on {self.named(avoided)}"
        where = f", {self.bands(near[0], near[-1])}" if near == [*range(near[0], near[-1] + 1)] else ""
        always = self.share(queries) >= MOST
        when = "" if always else f"when the current {self.unit} is among {self.named(queries)}, "
        return f"{when}it puts {weight}{where}"

    def bands(self, first: int, last: int) -> str:
        """Returns the distances of a range of distance bands."""
        nearest = BANDS[first]
        if last == len(BANDS) - 1:
            return f"{nearest} or more {self.unit}s back" if first else "at any distance"
        furthest = BANDS[last + 1] - 1
        distance = f"{nearest}" if furthest == nearest else f"{nearest} to {furthest}"
        return f"{distance} {self.unit}{'s' * (distance != '1')} back"

    def share(self, members: Tensor) -> float:
        """Returns how often a token of a class, bool (V,), is used."""
        return float(self.used[members].sum())

    def content(self, rule: Rule) -> str:
        """Returns the strongest content terms in words; an empty text if there are none."""
        return "; ".join(self.term(rule, r) for r in range(min(STATED, len(rule.strengths))))


def listed(names: Sequence[str]) -> str:
    """Returns names as text: "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def visible(token: str) -> str:
    """Returns a token as it is shown in a sentence; white space is shown by signs."""
    return token.replace("\n", "⏎").replace(" ", "␣") if token.strip() == "" else token.strip()


def window(profile: Sequence[float]) -> tuple[int, int]:
    """Returns the first and last of at most `WIDEST` adjacent distances that have the share `WINDOW` of a profile."""
    best = max(range(len(profile)), key=profile.__getitem__)
    first = last = best
    while sum(profile[first : last + 1]) < WINDOW * sum(profile) and last - first + 1 < min(WIDEST, len(profile)):
        below = profile[first - 1] if first else -1.0
        above = profile[last + 1] if last + 1 < len(profile) else -1.0
        first, last = (first - 1, last) if below > above else (first, last + 1)
    return first, last
