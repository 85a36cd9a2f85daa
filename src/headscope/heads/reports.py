"""A report on every head of a model: its scores, its role, and the evidence for the role.

Shapes: B texts, T positions, H heads, L layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from headscope.heads import circuits, scores
from headscope.heads.ablation import ablate_groups, look_with_importance
from headscope.heads.capture import ActivationCache, look
from headscope.heads.probes import LONGEST, TEXTS, predictable, repeated_probe
from headscope.heads.roles import NO_ROLE, ROLE_RULES, Probe, ProbeMaps, Role, measure, name_roles
from headscope.model.transformer import TransformerLM

COSTS = 0.01  #: minimum cost of a head that matters, in nats per token
ERRORS = 3  #: minimum cost of a head that matters, in standard errors
#: Minimum number of tokens in a text. A text of 2 tokens cannot distinguish the first token from the previous token,
#: and a text of 3 tokens distinguishes them in its last row only.
SHORTEST = 4


@dataclass(frozen=True)
class Evidence:
    """The evidence for a head's role."""

    score: str  #: name of the score that stands out
    value: float  #: the value of this score
    uniform: float  #: the score of a head that attends to its past evenly
    shuffled: float  #: the score of this head's weights in random order, or on the tokens of another text
    probe: Probe  #: the kind of text on which the role should matter
    cost: float  #: nats per token by which the loss rises on the probe when the head is mean-ablated
    error: float  #: standard error of the cost, if the losses of targets are independent
    #: The cost if this head is ablated last, after the layer's other heads with this role; None if not measured.
    last: float | None = None
    last_error: float | None = None  #: standard error of `last`

    @property
    def needed(self) -> bool:
        """Whether the loss depends on this head while all other heads are active."""
        return _matters(self.cost, self.error)

    @property
    def shared(self) -> bool:
        """Whether the loss depends on this head once the layer's other heads with this role are ablated."""
        return self.last is not None and self.last_error is not None and _matters(self.last, self.last_error)


@dataclass(frozen=True)
class HeadReport:
    """The findings about one head. A role is confirmed if the loss depends on the head."""

    layer: int
    head: int
    role: Role
    scores: dict[str, float]
    evidence: Evidence | None  #: None if the head has no role
    confirmed: bool

    @property
    def name(self) -> str:
        """The head's name, such as L1H2 for head 2 in layer 1."""
        return f"L{self.layer}H{self.head}"


class ScoreInputs(NamedTuple):
    """The inputs of scores that give no role."""

    model: TransformerLM
    maps: Tensor  #: attention maps on the text, (L, B, H, T, T)
    importance: Tensor  #: `gradient_importance` on the text, (L, H)
    tokens: Tensor  #: the distinct tokens of both probes, (N,)


#: Scores that give no role, by name. To add a score, add its row here. Each returns (L, H).
OTHER_SCORES: dict[str, Callable[[ScoreInputs], Tensor]] = {
    "distance": lambda x: scores.distance(x.maps),
    "copying": lambda x: torch.stack([circuits.copying(x.model, i, x.tokens) for i in range(len(x.maps))]),
    "ov_eigenvalues": lambda x: torch.stack([circuits.ov_eigenvalue_score(x.model, i) for i in range(len(x.maps))]),
    "importance": lambda x: x.importance,
}


def describe(model: TransformerLM, text: Tensor, repeated: Tensor | None = None, seed: int = 0) -> list[HeadReport]:
    """Returns a report on every head.

    A role is confirmed if mean ablation of the head costs at least `COSTS` nats per token and `ERRORS` standard errors
    on the role's probe: on all targets of the text, or on the predictable targets of the repeated texts. Heads of the
    same role can replace each other (Wang et al. 2022, section 3.4, backup heads; McGrath et al. 2023). If the cost is
    lower, the head is therefore ablated a second time, after all other heads of its layer that have its role. The role
    is then confirmed if the cost of this second ablation reaches both limits.

    Args:
        model: left unchanged.
        text: ids (B, T) of text that resembles the training text.
        repeated: ids (B', T') of at least two texts from `repeated_probe`; None uses the texts that every run uses.
        seed: seed of the control with weights in random order.

    Returns:
        One report per head, layer by layer, with the scores of `ROLE_RULES` and `OTHER_SCORES`: previous_token,
        sink, local and evenness on the text; duplicate_token and induction on the repeated texts; distance in tokens;
        copying for the tokens of both; ov_eigenvalues; and importance, the gradient importance on the text. Scores that
        cannot be computed are NaN: local for texts of up to 5 tokens, ov_eigenvalues before the first training step.

    Raises:
        ValueError: `repeated` has only one text, or `text` has fewer than `SHORTEST` tokens.
    """
    return inspect(model, text, repeated, seed)[0]


def inspect(
    model: TransformerLM, text: Tensor, repeated: Tensor | None = None, seed: int = 0
) -> tuple[list[HeadReport], ActivationCache]:
    """Returns the reports of `describe`, and the maps, values, z and resid of the forward pass on the text.

    The function runs one forward pass per probe and one backward pass. For the ablations, it runs further forward
    passes, which start at the layer of the ablated heads.
    """
    if text.shape[1] < SHORTEST:
        raise ValueError(f"heads are described on texts of at least {SHORTEST} tokens, not {text.shape[1]}")
    if repeated is None:
        repeated = repeated_probe(model.vocab_size, min(LONGEST, model.block_size), TEXTS).to(text.device)
    ids: dict[Probe, Tensor] = {"text": text, "repeated": repeated}
    on_text, importance = look_with_importance(model, text, "maps", "values", "z", "resid")
    caches: dict[Probe, ActivationCache] = {"text": on_text, "repeated": look(model, repeated, "maps", "z", "resid")}
    measured = measure({probe: ProbeMaps(caches[probe].maps, ids[probe], seed) for probe in ids})
    inputs = ScoreInputs(model, on_text.maps, importance, torch.unique(torch.cat((text.flatten(), repeated.flatten()))))
    table = {ROLE_RULES[role].score: found.value for role, found in measured.items()}
    table |= {name: score(inputs) for name, score in OTHER_SCORES.items()}
    columns = {name: values.tolist() for name, values in table.items()}  # (L, H) each

    counted = {"text": torch.ones_like(text[:, 1:], dtype=torch.bool), "repeated": predictable(repeated)}

    def rises(layer: int, probe: Probe, groups: Sequence[Sequence[int]]) -> Tensor:
        """Returns how much each counted target's loss rises without each group of heads: (G, N), in nats."""
        return ablate_groups(model, ids[probe], layer, groups, caches[probe])[:, counted[probe]]

    reports = []
    for layer, roles in enumerate(name_roles(measured)):
        costs = _costs(roles, partial(rises, layer))
        for head, role in enumerate(roles):
            evidence = None
            if role != NO_ROLE:
                rule, found = ROLE_RULES[role], measured[role]
                value, shuffled = found.value[layer, head].item(), found.shuffled[layer, head].item()
                evidence = Evidence(rule.score, value, found.uniform, shuffled, rule.probe, *costs[head])
            head_scores = {name: column[layer][head] for name, column in columns.items()}
            confirmed = evidence is not None and (evidence.needed or evidence.shared)
            reports.append(HeadReport(layer, head, role, head_scores, evidence, confirmed))
    return reports, on_text


def _costs(
    roles: Sequence[Role], rises: Callable[[Probe, Sequence[Sequence[int]]], Tensor]
) -> dict[int, tuple[float, ...]]:
    """Returns `cost`, `error` and, if measured, `last` and `last_error` for each head of a layer that has a role.

    `rises` takes a probe and G groups of heads, and returns how much each target's loss rises without each group:
    (G, N).
    """
    found: dict[int, tuple[float, ...]] = {}
    for probe in get_args(Probe):
        heads = [head for head, role in enumerate(roles) if role != NO_ROLE and ROLE_RULES[role].probe == probe]
        if not heads:
            continue
        singles: list[tuple[int, ...]] = [(head,) for head in heads]
        rise = dict(zip(singles, rises(probe, singles), strict=True))  # keys: groups of ablated heads
        found |= {head: _cost(rise[head,]) for head in heads}
        peers = {h: tuple(o for o in heads if roles[o] == roles[h]) for h in heads if not _matters(*found[h])}
        peers = {head: group for head, group in peers.items() if len(group) > 1}  # each group includes the head
        others = {head: tuple(o for o in group if o != head) for head, group in peers.items()}
        groups = [g for g in dict.fromkeys((*peers.values(), *others.values())) if g not in rise]
        if groups:
            rise |= zip(groups, rises(probe, groups), strict=True)
        found |= {h: found[h] + _cost(rise[peers[h]] - rise[others[h]]) for h in peers}
    return found


def _cost(rises: Tensor) -> tuple[float, float]:
    """Returns the mean of N rises and its standard error."""
    return rises.mean().item(), rises.std().item() / len(rises) ** 0.5


def _matters(cost: float, error: float) -> bool:
    return cost >= COSTS and cost >= ERRORS * error
