"""The description of a head: its rule, what the rule recovers, and a sentence. `replacing` measures the numbers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from headscope.heads.patterns import Kind
from headscope.heads.rules import BANDS, Rule
from headscope.heads.wording import Wording, listed

MENTIONED = 0.05  #: a sentence mentions a kind of term if it recovers at least this share of the cost, or costs it
MEANINGS: dict[Kind, str] = {
    "place": "distance alone",
    "structure": "words and lines",
    "identity": "equal tokens",
    "content": "which tokens they are",
}
LITTLE = 0.5  #: a rule that recovers less than this share explains little
ANY = "any token"


class Estimate(NamedTuple):
    """A number with its standard error over texts."""

    value: float
    error: float


class PatternShare(NamedTuple):
    """How much of a head's attention a pattern explains."""

    name: str  #: a name in `patterns_of`, or the distances of the rule's profile, such as "1 to 3 tokens back"
    weight: float  #: share of the head's attention, 0 to 1
    chance: float  #: share of a head that attends to its past evenly
    query_kind: str  #: the class of tokens from which the share is largest, or "any token"


@dataclass(frozen=True)
class Description:
    """The description of one head."""

    layer: int
    head: int
    rule: Rule  #: the readable rule
    cost: Estimate  #: nats per token by which the loss on held-out text rises if the head is mean-ablated
    recovered: Estimate | None  #: share of the cost that the readable rule recovers; None if the cost is within noise
    full: Estimate | None  #: the same for the full rule
    parts: dict[Kind, float]  #: share of the cost that each kind of term of the readable rule recovers
    full_parts: dict[Kind, float]  #: the same for the full rule
    patterns: tuple[PatternShare, ...]  #: largest first
    helps: str | None  #: the kind of target whose loss rises most without the head
    sentence: str  #: the description in plain English

    @property
    def name(self) -> str:
        """The head's name, such as L1H2 for head 2 in layer 1."""
        return f"L{self.layer}H{self.head}"

    @property
    def matters(self) -> bool:
        """Whether the cost is above the noise, so that shares of it mean something."""
        return self.recovered is not None

    def facts(self) -> dict[str, Any]:
        """Returns the entries for `summary.json`."""
        return {
            "sentence": self.sentence,
            "cost": self.cost.value,
            "cost_error": self.cost.error,
            "recovered": self.recovered and self.recovered.value,
            "recovered_error": self.recovered and self.recovered.error,
            "recovered_full": self.full and self.full.value,
            "parts": self.parts,
            "parts_full": self.full_parts,
            "patterns": [{"name": p.name, "weight": p.weight, "query_kind": p.query_kind} for p in self.patterns],
        }


def sentence(d: Description, wording: Wording) -> str:
    """Returns a description in plain English: where the head looks, what it costs, and what explains that."""
    looks = []
    for p in d.patterns:
        source = "" if p.query_kind == ANY else f"; most from {p.query_kind}s"
        looks.append(f"{p.name} ({p.weight:.0%} of its attention; even attention: {p.chance:.0%}{source})")
    where = " and ".join(looks) or f"the current and all earlier {wording.unit}s, without a clear place"
    text = f"{d.name} looks at {where}."
    cost = f"{d.cost.value:.4f} ± {d.cost.error:.4f} nats"
    if d.recovered is None:
        return f"{text} Without it, the loss changes by {cost}: too little to measure."
    most = f", most when the model predicts {d.helps}" if d.helps else ""
    text += f" Without it, the loss rises by {cost}{most}."
    shares = [f"{share:.0%} from {MEANINGS[kind]}" for kind, share in d.parts.items() if abs(share) >= MENTIONED]
    only = "only " * (d.recovered.value < LITTLE)
    text += f" A rule in its place wins back {only}{d.recovered.value:.0%}"
    text += f": {listed(shares)}." if shares else "."
    terms = wording.content(d.rule) if d.parts["content"] >= MENTIONED else ""
    return f"{text} {terms[0].upper()}{terms[1:]}." if terms else text


def to_data(descriptions: Sequence[Description]) -> list[dict[str, Any]]:
    """Returns descriptions as plain data for `from_data`."""
    plain = []
    for d in descriptions:
        rule = {k: v.tolist() if isinstance(v, Tensor) else v for k, v in vars(d.rule).items()}
        plain.append(asdict(replace(d, rule=None)) | {"rule": rule})  # type: ignore[arg-type]
    return plain


def from_data(plain: Sequence[dict[str, Any]]) -> list[Description]:
    """Returns the descriptions of `to_data`; raises an error of Python if the data are not from it."""
    found = []
    for entry in plain:
        rule, vocab = entry["rule"], len(entry["rule"]["queries"])
        queries, keys = (torch.tensor(rule[k], dtype=torch.int8).view(vocab, -1) for k in ("queries", "keys"))
        strengths = torch.tensor(rule["strengths"]).view(-1, len(BANDS))
        numbers = {k: entry[k] and Estimate(*entry[k]) for k in ("cost", "recovered", "full")}
        patterns = tuple(PatternShare(*p) for p in entry["patterns"])
        parsed = Rule(torch.tensor(rule["place"]), rule["weights"], queries, keys, strengths)
        found.append(Description(**(entry | numbers | {"rule": parsed, "patterns": patterns})))
    return found
