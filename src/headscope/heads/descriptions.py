"""What each head does, as a rule that can replace its attention, with the share of its contribution that is recovered.

Shapes: B texts, T positions, V vocabulary, L layers, H heads.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from headscope.heads.patterns import Kind
from headscope.heads.rules import Rule

PARTS: tuple[Kind, ...] = ("place", "structure", "identity", "content")


class Estimate(NamedTuple):
    """A number with its standard error over texts."""

    value: float
    error: float


class PatternShare(NamedTuple):
    """How much of a head's attention a pattern explains."""

    name: str  #: a name in `patterns_of`, or "place"
    weight: float  #: share of the head's attention, 0 to 1
    chance: float  #: share of a head that attends to its past evenly
    query_kind: str  #: the class of tokens from which the share is largest, or "any token"


@dataclass(frozen=True)
class Description:
    """What one head does."""

    layer: int
    head: int
    rule: Rule  #: the readable rule
    cost: Estimate  #: nats per token by which the loss on held-out text rises if the head is mean-ablated
    recovered: Estimate  #: share of the cost that remains recovered if the rule replaces the head's attention
    full: Estimate  #: the same for the full rule
    parts: dict[Kind, float]  #: share of the cost that each kind of term of the readable rule recovers
    full_parts: dict[Kind, float]  #: the same for the full rule
    patterns: tuple[PatternShare, ...]  #: largest first
    sentence: str  #: the description in plain English

    def facts(self) -> dict[str, Any]:
        """Returns the entries for `summary.json`."""
        return {
            "sentence": self.sentence,
            "cost": self.cost.value,
            "recovered": self.recovered.value,
            "parts": self.parts,
            "patterns": [{"name": p.name, "weight": p.weight, "query_kind": p.query_kind} for p in self.patterns],
        }
