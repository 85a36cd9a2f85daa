"""A report on every head of a model: scores, role, evidence.

Shapes: B texts, T positions, H heads, L layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

import torch
from torch import Tensor

from headscope.heads import circuits, scores
from headscope.heads.ablation import ablate_groups, gradient_importance
from headscope.heads.activation_cache import ActivationCache
from headscope.heads.capture import look
from headscope.heads.probes import foreseeable
from headscope.heads.roles import ALL_ROLE_RULES, Looks, Probe, Role, measure, name_roles
from headscope.model.transformer import TransformerLM

COSTS = 0.01  #: nats; a head whose loss costs less is not said to matter
SHORTEST = 4  #: tokens; in two the first is the one before, in three the score that stands out rests on one row
ERRORS = 3  #: standard errors that a cost must be above 0


@dataclass(frozen=True)
class Evidence:
    """Why a head is said to have a role."""

    score: str  #: the name of the score that stands out
    value: float
    uniform: float  #: the score of a head that looks at its past evenly, exact
    shuffled: float  #: the score of the head's own weights on the wrong keys
    probe: Probe  #: where the role matters
    cost: float  #: nats a token by which the loss rises there when the head's output is replaced by its mean
    error: float  #: the standard error of that, over targets taken as independent
    last: float | None = None  #: the same after the others of its layer with its role; None if not asked for
    last_error: float | None = None

    @property
    def needed(self) -> bool:
        """The loss needs the head, whatever others do."""
        return _matters(self.cost, self.error)

    @property
    def shared(self) -> bool:
        """Others stand in for the head, and the loss needs one of them."""
        return self.last is not None and self.last_error is not None and _matters(self.last, self.last_error)


@dataclass(frozen=True)
class HeadReport:
    """What is known of one head. A role is confirmed where the loss needs the head that has it."""

    layer: int
    head: int
    role: Role
    scores: dict[str, float]
    evidence: Evidence | None  #: None where there is no role
    confirmed: bool

    @property
    def name(self) -> str:
        return f"L{self.layer}H{self.head}"


def describe(model: TransformerLM, text: Tensor, repeated: Tensor, seed: int = 0) -> list[HeadReport]:
    """What every head does: a pass over each probe, one backward pass, and a few from each layer on.

    A role is confirmed when the mean ablation of the head costs at least `COSTS` nats a token, and `ERRORS` standard
    errors, where the role matters: on every target of the text, or on those of the repeated texts that can be foreseen.
    Heads that do the same stand in for each other (Wang et al. 2022, section 3.4, backup heads; McGrath et al. 2023):
    one that costs less alone is ablated again, after all others of its layer that have its role.

    Args:
        model: whose heads they are; it is left as it was.
        text: ids (B, T) of text like that of its training.
        repeated: ids (B', T') of at least two texts as `repeated_probe` makes them.
        seed: of the random control.

    Returns:
        A report for each head, layer by layer. Its scores: those of `roles` by their names there (previous_token, sink,
        local, evenness on the text; duplicate_token, induction on the repeated texts), `distance` in tokens, `copying`
        of the tokens in the probes, `ov_eigenvalues`, and `importance`, by gradient, on the text. One that cannot be
        had is NaN: `local` in texts of 5 tokens or fewer, `ov_eigenvalues` before the first step.

    Raises:
        ValueError: one repeated text alone, which has no other as its control; texts too short to tell roles apart.
    """
    if text.shape[1] < SHORTEST:
        raise ValueError(f"roles need texts of {SHORTEST} tokens at least, not {text.shape[1]}")
    ids: dict[Probe, Tensor] = {"text": text, "repeated": repeated}
    seen: dict[Probe, ActivationCache] = {probe: look(model, x, "maps", "z", "resid") for probe, x in ids.items()}
    measured = measure({probe: Looks(seen[probe].maps, x) for probe, x in ids.items()}, seed)
    roles = name_roles(measured)
    table = {ALL_ROLE_RULES[role].score: found.value for role, found in measured.items()}
    table |= _scores_without_role(model, seen["text"], text, repeated)
    columns = {name: value.tolist() for name, value in table.items()}  # (L, H) each

    where = {"text": torch.ones_like(text[:, 1:], dtype=torch.bool), "repeated": foreseeable(repeated)}

    def rises(layer: int, probe: Probe, groups: Sequence[Sequence[int]]) -> Tensor:
        """What every target that counts costs without each group of a layer's heads: (G, N), in nats."""
        return ablate_groups(model, ids[probe], layer, groups, seen[probe])[:, where[probe]]

    reports = []
    for layer in range(model.n_layers):
        costs = _costs(roles[layer], partial(rises, layer))
        for head, role in enumerate(roles[layer]):
            evidence = None
            if role != "none":
                sign, found = ALL_ROLE_RULES[role], measured[role]
                value, shuffled = found.value[layer, head].item(), found.shuffled[layer, head].item()
                evidence = Evidence(sign.score, value, found.uniform, shuffled, sign.probe, *costs[head])
            own = {name: column[layer][head] for name, column in columns.items()}
            confirmed = evidence is not None and (evidence.needed or evidence.shared)
            reports.append(HeadReport(layer, head, role, own, evidence, confirmed))
    return reports


def _scores_without_role(
    model: TransformerLM, seen: ActivationCache, text: Tensor, repeated: Tensor
) -> dict[str, Tensor]:
    layers = range(model.n_layers)
    tokens = torch.unique(torch.cat((text.flatten(), repeated.flatten())))
    return {
        "distance": scores.distance(seen.maps),
        "copying": torch.stack([circuits.copying(model, layer, tokens) for layer in layers]),
        "ov_eigenvalues": torch.stack([circuits.ov_eigenvalue_score(model, layer) for layer in layers]),
        "importance": gradient_importance(model, text),
    }


def _costs(
    roles: Sequence[Role], rises: Callable[[Probe, Sequence[Sequence[int]]], Tensor]
) -> dict[int, tuple[float, ...]]:
    """Cost and error of each head of a layer that has a role; as the last, too, if others that have it may stand in.

    Args:
        roles: of the layer's heads.
        rises: of a probe and G groups of heads, what every target costs without each: (G, N), in nats.
    """
    found: dict[int, tuple[float, ...]] = {}
    for probe in get_args(Probe):
        heads = [head for head, role in enumerate(roles) if role != "none" and ALL_ROLE_RULES[role].probe == probe]
        if not heads:
            continue
        found |= {head: _cost(rise) for head, rise in zip(heads, rises(probe, [[h] for h in heads]), strict=True)}
        alike = {h: [o for o in heads if roles[o] == roles[h]] for h in heads if not _matters(*found[h])}
        alike = {head: group for head, group in alike.items() if len(group) > 1}
        if alike:
            others = [[o for o in group if o != head] for head, group in alike.items()]
            without = rises(probe, [*alike.values(), *others]).view(2, len(alike), -1)  # (2, G, N)
            found |= {h: found[h] + _cost(rise) for h, rise in zip(alike, without[0] - without[1], strict=True)}
    return found


def _cost(rises: Tensor) -> tuple[float, float]:
    """The mean of what targets cost (N,), and its standard error."""
    return rises.mean().item(), rises.std().item() / len(rises) ** 0.5


def _matters(cost: float, error: float) -> bool:
    return cost >= COSTS and cost >= ERRORS * error
