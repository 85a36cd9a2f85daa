"""Gives heads roles: a head has a role if one of its scores is far above chance.

`ROLE_RULES` has one row per role. To add a role, add a row: reports, tables, sentences, pictures, logged
scalars and the page all use these rows.

Shapes: maps (L, B, H, T, T), ids (B, T), scores (L, H).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from headscope.heads import scores

Probe = Literal["text", "repeated"]  #: validation text, or repeated random tokens
Role = str  #: a key of `ROLE_RULES`, or `NO_ROLE`
NO_ROLE = "none"

#: A score stands out if it is at least this high on a scale where chance is 0 and the maximum is 1. Olsson et al. 2022
#: use 0.4 without subtracting chance. TransformerLens also uses 0.4, but its score on repeated tokens cannot exceed
#: 0.5, so its threshold is 0.8 of the maximum.
STANDS_OUT = 0.4
EVEN = 0.95  #: minimum evenness of a head with the role “uniform”


@dataclass(frozen=True)
class ProbeMaps:
    """The attention maps of all heads on one probe."""

    maps: Tensor  #: (L, B, H, T, T)
    ids: Tensor  #: (B, T)
    seed: int = 0  #: seed of the random order in `shuffled`

    @cached_property
    def shuffled(self) -> Tensor:
        """The maps with the weights of each row in random order, (L, B, H, T, T). Later keys keep weight 0."""
        order = random_order(self.ids, self.seed)[:, None].to(self.maps.device)  # (B, 1, T, T)
        return self.maps.gather(-1, order.expand(self.maps.shape))

    @property
    def uniform(self) -> Tensor:
        """The map of a head that attends to its past evenly, (1, B, 1, T, T)."""
        return scores.uniform(self.maps[:1, :, :1])


class Measurement(NamedTuple):
    """One score of every head, with its controls."""

    value: Tensor  #: (L, H)
    uniform: float  #: the score of a head that attends to its past evenly
    shuffled: Tensor  #: (L, H), the score of the head's own weights in random order, or on the tokens of another text
    chance: Tensor  #: the score that counts as chance; broadcasts to (L, H)

    def excess(self) -> Tensor:
        """Returns the value on a scale where chance is 0 and the maximum is 1; -inf where the score is NaN."""
        return ((self.value - self.chance) / (1 - self.chance)).nan_to_num(nan=-torch.inf)


def position_score(score: Callable[[Tensor], Tensor]) -> Callable[[ProbeMaps], Measurement]:
    """Returns a function that measures a score of positions. Its control puts the weights of each row in random order.

    The mean over many random orders equals the score of a uniform head, so that score counts as chance.
    """

    def measure(probe: ProbeMaps) -> Measurement:
        uniform = score(probe.uniform)  # (1, 1)
        return Measurement(score(probe.maps), uniform.item(), score(probe.shuffled), uniform)

    return measure


def token_score(score: Callable[[Tensor, Tensor], Tensor]) -> Callable[[ProbeMaps], Measurement]:
    """Returns a function that measures a score of tokens. Its control uses the head's maps with another text's tokens.

    A head that always looks back a fixed distance scores as high in the control, so it does not stand out. The higher
    of the control's score and a uniform head's score counts as chance.
    """

    def measure(probe: ProbeMaps) -> Measurement:
        uniform = score(probe.uniform, probe.ids)  # (1, 1)
        shuffled = score(probe.maps, probe.ids.roll(1, 0))
        return Measurement(score(probe.maps, probe.ids), uniform.item(), shuffled, torch.maximum(shuffled, uniform))

    return measure


def stands_out(measured: Measurement) -> Tensor:
    """Returns which heads have a score far above chance, bool (L, H)."""
    return measured.excess() >= STANDS_OUT


class RoleRule(NamedTuple):
    """A score, and how it gives heads a role."""

    score: str  #: the score's name in reports, tables, pictures and logs
    probe: Probe  #: the texts on which the score is measured, and on which ablating a head with this role should matter
    measure: Callable[[ProbeMaps], Measurement]
    sentence: str  #: continues the head's name; {share} is the score in percent, {unit} character, word or token
    caption: str  #: caption of the score's picture
    is_high: Callable[[Measurement], Tensor] = stands_out
    #: Whether a head gets this role only if no other role applies. If several fallbacks apply, the first row is used.
    is_fallback: bool = False


# fmt: off
ROLE_RULES: dict[Role, RoleRule] = {
    "previous token": RoleRule(
        "previous_token", "text", position_score(scores.previous_token),
        "puts {share} of its attention on the {unit} just before", "weight on the token before"),
    "duplicate token": RoleRule(
        "duplicate_token", "repeated", token_score(scores.duplicate_token),
        "puts {share} of its attention on earlier copies of the same {unit}",
        "weight on earlier equal tokens, in repeated random text"),
    "induction": RoleRule(
        "induction", "repeated", token_score(scores.induction),
        "puts {share} of its attention on what followed the same {unit} earlier",
        "weight on what followed earlier equal tokens, in repeated random text"),
    "sink": RoleRule(
        "sink", "text", position_score(scores.sink),
        "puts {share} of its attention on the first {unit} of the text", "weight on the first token"),
    "local": RoleRule(  # a fallback, because a previous-token head is local too
        "local", "text", position_score(scores.local),
        "puts {share} of its attention on the last five {unit}s", "weight on the last five tokens", is_fallback=True),
    "uniform": RoleRule(
        "evenness", "text", position_score(scores.evenness),
        "attends to its whole past evenly: {share} of the maximum entropy",
        "entropy as a share of its maximum: 1 attends to all tokens equally",
        is_high=lambda measured: measured.value >= EVEN, is_fallback=True),
}
# fmt: on


def measure(probes: Mapping[Probe, ProbeMaps]) -> dict[Role, Measurement]:
    """Returns the measurement of each role's score; raises ValueError if there is only one repeated text."""
    if len(probes["repeated"].ids) < 2:
        raise ValueError("roles need at least two repeated texts, because each text is a control for another")
    return {role: rule.measure(probes[rule.probe]) for role, rule in ROLE_RULES.items()}


def name_roles(measured: Mapping[Role, Measurement]) -> list[list[Role]]:
    """Returns the role of every head, one list per layer. A head gets the role whose score is furthest above chance.

    If two scores are equally high, the head gets neither role. In texts of two tokens, for example, the first token is
    also the previous token.
    """
    distinct = [role for role, rule in ROLE_RULES.items() if not rule.is_fallback]
    fallbacks = [role for role, rule in ROLE_RULES.items() if rule.is_fallback]
    names = [*distinct, *fallbacks, NO_ROLE]
    is_high = {role: ROLE_RULES[role].is_high(measured[role]) for role in names[:-1]}  # (L, H) each
    excess = torch.stack([measured[role].excess().where(is_high[role], -torch.inf) for role in distinct])
    best = excess.topk(2, 0)  # (2, L, H)
    chosen = torch.full_like(best.indices[0], names.index(NO_ROLE))
    for role in reversed(fallbacks):
        chosen[is_high[role]] = names.index(role)
    is_clear = best.values[0].isfinite() & (best.values[0] - best.values[1] > 1e-6)
    indices: list[list[int]] = torch.where(is_clear, best.indices[0], chosen).tolist()
    return [[names[i] for i in layer] for layer in indices]


def random_order(ids: Tensor, seed: int) -> Tensor:
    """Returns an order of keys for each query of ids (B, T): (B, T, T). Row i begins with a random order of 0 … i."""
    b, t = ids.shape
    noise = torch.rand(b, t, t, generator=torch.Generator().manual_seed(seed))
    return (noise + torch.ones(t, t).triu(1)).argsort(-1)
