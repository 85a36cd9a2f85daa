"""Measures the cost of ablating each head that has a role: alone, and after all other heads with the same role.

Shapes: N targets.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, get_args

from torch import Tensor

from headscope.heads.ablation import Head
from headscope.heads.roles import NO_ROLE, ROLE_RULES, Probe, Role

COSTS = 0.01  #: minimum cost of a head that matters, in nats per token
ERRORS = 3  #: minimum cost of a head that matters, in standard errors


class Costs(NamedTuple):
    """The costs of ablating a head on one probe: fields of `Evidence`."""

    probe: Probe
    cost: float
    error: float
    last: float | None = None
    last_error: float | None = None

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """The costs with their standard errors."""
        pairs = [(self.cost, self.error)]
        return pairs if self.last is None or self.last_error is None else [*pairs, (self.last, self.last_error)]

    @property
    def matters(self) -> bool:
        """Whether one of the costs reaches both limits."""
        return any(matters(*pair) for pair in self.pairs)

    @property
    def clearness(self) -> tuple[bool, float]:
        """A sort key that is higher the more clearly the loss depends on the head."""
        return self.matters, max(cost / max(error, 1e-9) for cost, error in self.pairs)


def evidence_costs(
    roles: Mapping[Head, Role],
    alone: Callable[[Probe, Sequence[Head]], Tensor],
    last: Callable[[Probe, Sequence[Head], Sequence[Head]], Tensor],
) -> dict[Head, Costs]:
    """Returns the costs of each head that has a role, on the probe of the role where the cost is clearest.

    A cost is measured only if no earlier cost of this head matters: first alone on each probe of the role, then after
    all other heads with the role.

    Args:
        roles: the role of each head.
        alone: returns how much each target's loss rises without each head, (heads, N), from a probe and heads.
        last: returns how much it rises if each head is ablated after all other heads of a group, (heads, N), from a
            probe, heads and the group.
    """
    found: dict[Head, dict[Probe, Costs]] = {head: {} for head, role in roles.items() if role != NO_ROLE}
    by_role: dict[Role, list[Head]] = defaultdict(list)
    for head in found:
        by_role[roles[head]].append(head)

    def undecided(heads: Sequence[Head], probe: Probe) -> list[Head]:
        rest = (head for head in heads if probe in ROLE_RULES[roles[head]].probes)
        return [head for head in rest if not any(costs.matters for costs in found[head].values())]

    for probe in get_args(Probe):
        if heads := undecided([*found], probe):
            for head, rise in zip(heads, alone(probe, heads), strict=True):
                found[head][probe] = Costs(probe, *mean_and_error(rise))
    for group in (group for group in by_role.values() if len(group) > 1):
        for probe in get_args(Probe):
            if heads := undecided(group, probe):
                for head, rise in zip(heads, last(probe, heads, group), strict=True):
                    found[head][probe] = Costs(*found[head][probe][:3], *mean_and_error(rise))
    return {head: max(costs.values(), key=lambda c: c.clearness) for head, costs in found.items()}


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Returns the mean of N values and its standard error."""
    return values.mean().item(), values.std().item() / len(values) ** 0.5


def matters(cost: float, error: float) -> bool:
    """Returns whether a cost reaches both limits, so that the loss depends on the head."""
    return cost >= COSTS and cost >= ERRORS * error
