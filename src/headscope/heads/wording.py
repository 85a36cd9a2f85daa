"""Describes rules in plain English.

Shapes: V vocabulary, R content terms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from headscope.heads.rules import BANDS, Rule
from headscope.heads.token_classes import Vocabulary

SHOWN = 5  #: maximum number of tokens that stand for a class without a name
SAME = 0.75  #: minimum overlap of a class with a named one, weighted by frequency
WINDOW = 0.5  #: a place is the fewest distances next to each other that have this share of the profile
WIDEST = 8  #: maximum number of distances in a place
STATED = 2  #: maximum number of content terms in a sentence


@dataclass(frozen=True)
class Wording:
    """What the words depend on: the vocabulary, how often each token is used, and the name of one token."""

    vocabulary: Vocabulary
    used: Tensor  #: frequency of each token, (V,)
    unit: str  #: character, word or token

    def named(self, members: Tensor) -> str:
        """Returns the name of a class of tokens, bool (V,): a known class, or its most common members."""
        if bool(members.all()) or float(self.used[members].sum()) > 0.98:
            return f"any {self.unit}"
        for name, known in self.vocabulary.classes.items():
            both, either = self.used[known & members].sum(), self.used[known | members].sum()
            if both > SAME * either:
                return f"{name}s"
        common = [i for i in self.used.argsort(descending=True).tolist() if members[i]]
        shown = " ".join(visible(self.vocabulary.text[i]) for i in common[:SHOWN])
        return shown + " …" * (len(common) > SHOWN)

    def back(self, first: int, last: int) -> str:
        """Returns a name for the distances `first` … `last`."""
        if last == 0:
            return f"the current {self.unit}"
        if first == last:
            return f"the {self.unit} before" if first == 1 else f"the {self.unit} {first} back"
        if first == 0:
            return f"the current {self.unit} and the {self.unit} before" if last == 1 else (
                f"the current {self.unit} and {last} before it")  # fmt: skip
        return f"{first} to {last} {self.unit}s back"

    def term(self, rule: Rule, r: int) -> str:
        """Returns a content term in words, such as "from vowels it looks for consonants, not spaces, 1 back"."""
        strengths = rule.strengths[r]
        strongest = int(strengths.abs().argmax())
        sign = 1 if strengths[strongest] > 0 else -1
        query = 1 if self.share(rule.queries[:, r] == 1) >= self.share(rule.queries[:, r] == -1) else -1
        sought = rule.keys[:, r] == sign * query
        avoided = rule.keys[:, r] == -sign * query
        near = [b for b in range(len(BANDS)) if strengths[b] * sign > 0.5 * strengths[strongest].abs()]
        parts = [f"from {self.named(rule.queries[:, r] == query)} it"]
        if self.share(sought) > 0:
            parts.append(f"prefers {self.named(sought)}")
            if self.share(avoided) > 0:
                parts.append(f"to {self.named(avoided)}")
        else:
            parts.append(f"avoids {self.named(avoided)}")
        where = self.bands(near[0], near[-1]) if near == list(range(near[0], near[-1] + 1)) else ""
        return " ".join([*parts, where] if where else parts)

    def bands(self, first: int, last: int) -> str:
        """Returns where a range of distance bands is; an empty text for all."""
        if last == len(BANDS) - 1:
            return f"{BANDS[first]} or more {self.unit}s back" if first else ""
        end = BANDS[last + 1] - 1
        if first == 0:
            return f"among itself and the last {end}" if end else f"if it is the {self.unit} itself"
        return f"{BANDS[first]} back" if end == BANDS[first] else f"{BANDS[first]} to {end} back"

    def share(self, members: Tensor) -> float:
        """Returns how often a token of a class, bool (V,), is used."""
        return float(self.used[members].sum())

    def importance(self, rule: Rule, r: int) -> float:
        """Returns how much a content term changes scores: its largest strength times the spread of both classes."""
        spread = 1.0
        for signs in (rule.queries[:, r].float(), rule.keys[:, r].float()):
            spread *= float((self.used * signs**2).sum() - (self.used * signs).sum() ** 2) if signs is not None else 1
        return float(rule.strengths[r].abs().max()) * float(max(spread, 0.0) ** 0.5)

    def content(self, rule: Rule) -> str:
        """Returns the most important content terms in words; an empty text if there are none."""
        order = sorted(range(rule.strengths.shape[0]), key=lambda r: -self.importance(rule, r))
        return "; ".join(self.term(rule, r) for r in order[:STATED] if self.importance(rule, r) > 0)


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


def most_raised(rises: Mapping[str, tuple[float, float, float]], overall: float) -> str | None:
    """Returns the kind of target whose loss rises most without a head, or None if no kind stands out.

    `rises` has the mean rise of each kind, its standard error, and its share of the targets.
    """
    clear = {k: r for k, (r, error, share) in rises.items() if share >= 0.01 and r > 1.5 * overall and r > 3 * error}
    return max(clear, key=clear.__getitem__) if clear else None
