"""Gives heads roles: a head has a role if one of its scores is far above chance.

`ROLE_RULES` has one row per role. To add a role, add a row: reports, tables, sentences, pictures, logged
scalars and the page all use these rows.

Shapes: scores (L, H), S text samples.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from headscope.heads import scores
from headscope.heads.measurements import (
    Measurement,
    ProbeMaps,
    RowScores,
    evenness_score,
    position_score,
    sink_score,
    token_score,
)

Probe = Literal["text", "repeated"]  #: validation text, or repeated random tokens
Role = str  #: a key of `ROLE_RULES`, or `NO_ROLE`
NO_ROLE = "none"
SINK: Role = "sink"  #: the role that a head can have in addition to another role

#: A score stands out if it is at least this high on a scale where chance is 0 and the maximum is 1. Olsson et al. 2022
#: use 0.4 without subtracting chance. 0.4 is also usual for the detector of TransformerLens, whose score is the share
#: of all attention weights. If every token occurs twice, at most half of the rows have an earlier equal token, so that
#: the score cannot exceed 0.5, and 0.4 is 0.8 on the scale used here.
STANDS_OUT = 0.4
EVEN = 0.95  #: minimum evenness of a head with the role “uniform”
#: The length of a shortened text sample, as a share of the text. In the repeated texts, the first repeat comes after up
#: to half of the text.
SHORTENED: dict[Probe, float] = {"text": 1 / 2, "repeated": 3 / 4}


def stands_out(measured: Measurement) -> Tensor:
    """Returns which heads have a score far above chance, bool (L, H)."""
    return measured.excess() >= STANDS_OUT


class RoleRule(NamedTuple):
    """A score, and how it gives heads a role."""

    score: str  #: the score's name in reports, tables, pictures and logs
    probe: Probe  #: the texts on which the score is measured
    measure: Callable[[ProbeMaps], RowScores]
    sentence: str  #: continues the head's name; {share} is the score in percent, {unit} character, word or token
    caption: str  #: caption of the score's picture
    is_high: Callable[[Measurement], Tensor] = stands_out
    #: Whether a head gets this role only if no other role applies. If several fallbacks apply, the first row is used.
    is_fallback: bool = False
    also_on: tuple[Probe, ...] = ()  #: further texts on which ablating a head with this role should matter

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The texts on which ablating a head with this role should matter."""
        return (self.probe, *self.also_on)


# fmt: off
ROLE_RULES: dict[Role, RoleRule] = {
    "previous token": RoleRule(  # also on repeated tokens, because induction heads need the previous token there
        "previous_token", "text", position_score(scores.previous_token),
        "puts {share} of its attention on the {unit} just before", "weight on the token before",
        also_on=("repeated",)),
    "duplicate token": RoleRule(
        "duplicate_token", "repeated", token_score(scores.duplicate_token),
        "puts {share} of its attention on earlier copies of the same {unit}",
        "weight on earlier equal tokens, in repeated random text"),
    "induction": RoleRule(
        "induction", "repeated", token_score(scores.induction),
        "puts {share} of its attention on what followed the same {unit} earlier",
        "weight on what followed earlier equal tokens, in repeated random text"),
    SINK: RoleRule(  # a fallback, because heads with other roles rest on the first token where they find no match
        "sink", "text", sink_score,
        "puts {share} of its attention on the first {unit} of the text", "weight on the first token", is_fallback=True),
    "local": RoleRule(  # a fallback, because a previous-token head is local too
        "local", "text", position_score(scores.local),
        "puts {share} of its attention on the last five {unit}s", "weight on the last five tokens", is_fallback=True),
    "uniform": RoleRule(
        "evenness", "text", evenness_score,
        "attends to its whole past evenly: {share} of the maximum entropy",
        "entropy as a share of its maximum: 1 attends to all tokens equally",
        is_high=lambda measured: measured.value >= EVEN, is_fallback=True),
}
# fmt: on


def measure(probes: Mapping[Probe, ProbeMaps]) -> dict[Role, RowScores]:
    """Returns each role's score in every row; raises ValueError if there is only one repeated text."""
    if len(probes["repeated"].ids) < 2:
        raise ValueError("roles need at least two repeated texts, because each text is a control for another")
    return {role: rule.measure(probes[rule.probe]) for role, rule in ROLE_RULES.items()}


def name_roles(measured: Mapping[Role, Measurement]) -> list[list[Role]]:
    """Returns the role of every head, one list per layer. A head gets the role whose score is furthest above chance.

    If two scores are equally high, the head gets neither role. Fallbacks do not compete with other roles.
    """
    indices: list[list[int]] = _role_indices(measured).tolist()
    names = _names()
    return [[names[i] for i in layer] for layer in indices]


def stability(rows: Mapping[Role, RowScores], samples: int) -> Tensor:
    """Returns in which share of the text samples each head has the role that it has in all texts together, (L, H).

    There are 2 `samples` text samples, see `RowScores.in_samples`.
    """
    overall = _role_indices({role: found.overall() for role, found in rows.items()})  # (L, H)
    shortened = {role: SHORTENED[ROLE_RULES[role].probe] for role in rows}
    alone = _role_indices({role: found.in_samples(samples, shortened[role]) for role, found in rows.items()})
    return (alone == overall).cpu().double().mean(0)  # over S; on the CPU, because Apple GPUs have no float64


def _names() -> list[Role]:
    """Returns all roles, fallbacks last, then `NO_ROLE`."""
    return [*sorted(ROLE_RULES, key=lambda role: ROLE_RULES[role].is_fallback), NO_ROLE]


def _role_indices(measured: Mapping[Role, Measurement]) -> Tensor:
    """Returns the role of every head as an index of `_names`, (L, H), or (S, L, H) in text samples."""
    names = _names()
    distinct = [role for role in names[:-1] if not ROLE_RULES[role].is_fallback]
    is_high = {role: ROLE_RULES[role].is_high(measured[role]) for role in names[:-1]}  # (..., L, H) each
    excess = torch.stack([measured[role].excess().where(is_high[role], -torch.inf) for role in distinct])
    best = excess.topk(2, 0)  # (2, ..., L, H)
    chosen = torch.full_like(best.indices[0], len(names) - 1)
    for index in reversed(range(len(distinct), len(names) - 1)):  # the fallbacks
        chosen[is_high[names[index]]] = index
    is_clear = best.values[0].isfinite() & (best.values[0] - best.values[1] > 1e-6)
    return torch.where(is_clear, best.indices[0], chosen)
