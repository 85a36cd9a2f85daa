"""A head's role: the one thing it does, if one of its scores stands out from what chance would give.

Shapes: maps (L, B, H, T, T), ids (B, T), scores (L, H).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from headscope.heads import scores

Probe = Literal["text", "repeated"]  #: a passage of text, or random tokens that repeat
Role = Literal["previous token", "duplicate token", "induction", "sink", "local", "uniform", "none"]

STANDS_OUT = 0.4  #: of the way from chance to 1; Olsson et al. 2022 and TransformerLens draw the line there, from 0
EVEN = 0.95  #: evenness of a head that is called uniform


class Looks(NamedTuple):
    """What heads attended to on one probe."""

    maps: Tensor  #: (L, B, H, T, T)
    ids: Tensor  #: (B, T)


class Measured(NamedTuple):
    """A score of every head, and what it is worth by chance."""

    value: Tensor  #: (L, H)
    uniform: float  #: the same for a head that looks at its past evenly, exact
    shuffled: Tensor  #: (L, H), for the head's own weights on the wrong keys
    chance: Tensor  #: what the value must stand out from, broadcast to (L, H)

    def excess(self) -> Tensor:
        """How far the value is from chance to 1: 0 is chance, 1 perfect; -inf where there is no score."""
        return ((self.value - self.chance) / (1 - self.chance)).nan_to_num(nan=-torch.inf)


class RoleRule(NamedTuple):
    """What gives a role away."""

    score: str  #: its name in the reports
    probe: Probe  #: where it is measured, and where a head that has the role should matter
    measure: Callable[[Looks, Tensor], Measured]


def by_place(score: Callable[[Tensor], Tensor]) -> Callable[[Looks, Tensor], Measured]:
    """Measures a score of places; shuffled are the weights of each row, on the keys of its past in random order.

    Over many orders that is the uniform head's score, which is what the value must stand out from.
    """

    def measure(looks: Looks, order: Tensor) -> Measured:
        shuffled = looks.maps.gather(-1, order.expand(looks.maps.shape))
        uniform = score(scores.uniform(looks.maps[:1, :, :1]))  # (1, 1)
        return Measured(score(looks.maps), uniform.item(), score(shuffled), uniform)

    return measure


def by_tokens(score: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Looks, Tensor], Measured]:
    """Measures a score of tokens; shuffled are the head's maps, against the tokens of another text of the probe.

    That leaves the head all its habits of place: one that looks back a fixed distance gains nothing by it. The value
    must stand out from the higher control.
    """

    def measure(looks: Looks, order: Tensor) -> Measured:
        uniform = score(scores.uniform(looks.maps[:1, :, :1]), looks.ids)  # (1, 1)
        shuffled = score(looks.maps, looks.ids.roll(1, 0))
        return Measured(score(looks.maps, looks.ids), uniform.item(), shuffled, torch.maximum(shuffled, uniform))

    return measure


#: Of roles that exclude each other, the one with the largest excess is taken.
ROLE_RULES: dict[Role, RoleRule] = {
    "previous token": RoleRule("previous_token", "text", by_place(scores.previous_token)),
    "duplicate token": RoleRule("duplicate_token", "repeated", by_tokens(scores.duplicate_token)),
    "induction": RoleRule("induction", "repeated", by_tokens(scores.induction)),
    "sink": RoleRule("sink", "text", by_place(scores.sink)),
}
#: Where none of them stands out, the first of these: a previous-token head is local too, and is not called so.
VAGUE: dict[Role, RoleRule] = {
    "local": RoleRule("local", "text", by_place(scores.local)),
    "uniform": RoleRule("evenness", "text", by_place(scores.evenness)),
}
ALL_ROLE_RULES: dict[Role, RoleRule] = ROLE_RULES | VAGUE


def measure(looks: dict[Probe, Looks], seed: int = 0) -> dict[Role, Measured]:
    """Every score that may give a head a role, with its controls.

    Args:
        looks: what the heads attended to on both probes; two repeated texts at least.
        seed: of the random order of keys.

    Raises:
        ValueError: one repeated text alone: there is no other to compare with.
    """
    if len(looks["repeated"].ids) < 2:
        raise ValueError("roles need two repeated texts at least: one is the control of the other")
    orders = {probe: random_order(look.ids, seed)[:, None].to(look.maps.device) for probe, look in looks.items()}
    return {role: sign.measure(looks[sign.probe], orders[sign.probe]) for role, sign in ALL_ROLE_RULES.items()}


def name_roles(measured: dict[Role, Measured]) -> list[list[Role]]:
    """The role of every head, by layer. Two that stand out alike are no role: at T = 2 the sink is the token before."""
    names: list[Role] = list(ROLE_RULES)
    best = torch.stack([measured[name].excess() for name in names]).topk(2, 0)  # (2, L, H)
    clear = (best.values[0] >= STANDS_OUT) & (best.values[0] - best.values[1] > 1e-6)
    near = measured["local"].excess() >= STANDS_OUT
    even = measured["uniform"].value >= EVEN
    others: Tensor = torch.where(near, -1, torch.where(even, -2, -3))
    chosen: list[list[int]] = torch.where(clear, best.indices[0], others).tolist()
    names += ["none", "uniform", "local"]  # from the end: -1, -2, -3
    return [[names[i] for i in layer] for layer in chosen]


def random_order(ids: Tensor, seed: int) -> Tensor:
    """For every row of ids (B, T) its past in random order: (B, T, T); row i holds 0 … i first, then what is later."""
    b, t = ids.shape
    noise = torch.rand(b, t, t, generator=torch.Generator().manual_seed(seed))
    return (noise + torch.ones(t, t).triu(1)).argsort(-1)
