"""A report on every head of a model: its scores, its role, and the evidence for the role.

Shapes: B texts, T positions, H heads, L layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from headscope.heads import circuits, scores
from headscope.heads.ablation import Head, ablate_groups, ablate_last, look_with_importance
from headscope.heads.capture import ActivationCache, look
from headscope.heads.costs import evidence_costs, matters
from headscope.heads.measurements import ProbeMaps
from headscope.heads.probes import LONGEST, TEXTS, predictable, repeated_probe
from headscope.heads.roles import NO_ROLE, ROLE_RULES, SINK, Probe, Role, measure, name_roles, stability
from headscope.model.transformer import TransformerLM

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
    probe: Probe  #: the kind of text on which the cost is measured; of a role's probes, the one with the clearest cost
    cost: float  #: nats per token by which the loss rises on the probe when the head is mean-ablated
    error: float  #: standard error of the cost, if the losses of targets are independent
    #: The cost if this head is ablated last, after all other heads with this role in all layers; None if not measured.
    last: float | None = None
    last_error: float | None = None  #: standard error of `last`

    @property
    def needed(self) -> bool:
        """Whether the loss depends on this head while all other heads are active."""
        return matters(self.cost, self.error)

    @property
    def shared(self) -> bool:
        """Whether the loss depends on this head once all other heads with this role are ablated."""
        return self.last is not None and self.last_error is not None and matters(self.last, self.last_error)


@dataclass(frozen=True)
class HeadReport:
    """The findings about one head. A role is confirmed if the loss depends on the head."""

    layer: int
    head: int
    role: Role
    scores: dict[str, float]
    evidence: Evidence | None  #: None if the head has no role
    confirmed: bool
    #: Whether the head puts far more weight on the first token of a text than chance. A head with another role does so
    #: where it finds no match.
    rests_on_first: bool = False
    stability: float = 1.0  #: the share of the text samples in which the head has the same role
    samples: int = 1  #: number of text samples: each text alone, complete and shortened

    @property
    def name(self) -> str:
        """The head's name, such as L1H2 for head 2 in layer 1."""
        return f"L{self.layer}H{self.head}"

    @property
    def same_role(self) -> int:
        """The number of text samples in which the head has the same role."""
        return round(self.stability * self.samples)


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


def describe(
    model: TransformerLM, text: Tensor, repeated: Tensor | None = None, seed: int = 0, special: Sequence[int] = ()
) -> list[HeadReport]:
    """Returns a report on every head.

    A role is confirmed if mean ablation of the head costs at least `COSTS` nats per token and `ERRORS` standard errors
    on a probe of the role: on all targets of the text, or on the predictable targets of the repeated texts. If a role
    has both probes, the head is ablated on the repeated texts only if the cost on the text is lower. Heads of the same
    role can replace each other (Wang et al. 2022, section 3.4, backup heads; McGrath et al. 2023). If no cost reaches
    both limits, the head is therefore ablated a second time, after all other heads that have its role, in all layers.
    The role is then confirmed if the cost of this second ablation reaches both limits. The evidence has the probe where
    the cost is clearest.

    Args:
        model: left unchanged.
        text: ids (B, T) of text that resembles the training text.
        repeated: ids (B', T') of at least two texts from `repeated_probe`; None uses the texts that every run uses.
        seed: seed of the control with weights in random order.
        special: ids that the texts used for `repeated=None` do not contain (`Tokenizer.special`).

    Returns:
        One report per head, layer by layer, with the scores of `ROLE_RULES` and `OTHER_SCORES`: previous_token,
        sink, local and evenness on the text; duplicate_token and induction on the repeated texts; distance in tokens;
        copying for the tokens of both; ov_eigenvalues; and importance, the gradient importance on the text. Scores that
        cannot be computed are NaN: local for texts of up to 5 tokens, ov_eigenvalues before the first training step.

    Raises:
        ValueError: `repeated` has only one text, or `text` has fewer than `SHORTEST` tokens.
    """
    return inspect(model, text, repeated, seed, special)[0]


def inspect(
    model: TransformerLM, text: Tensor, repeated: Tensor | None = None, seed: int = 0, special: Sequence[int] = ()
) -> tuple[list[HeadReport], ActivationCache]:
    """Returns the reports of `describe`, and the maps, values, z and resid of the forward pass on the text.

    The function runs one forward pass per probe and one backward pass. For the ablations, it runs further forward
    passes, which start at the first layer of the ablated heads.
    """
    if text.shape[1] < SHORTEST:
        raise ValueError(f"heads are described on texts of at least {SHORTEST} tokens, not {text.shape[1]}")
    if repeated is None:
        length = min(LONGEST, model.block_size)
        repeated = repeated_probe(model.vocab_size, length, TEXTS, special=special).to(text.device)
    ids: dict[Probe, Tensor] = {"text": text, "repeated": repeated}
    on_text, importance = look_with_importance(model, text, "maps", "values", "z", "resid")
    caches: dict[Probe, ActivationCache] = {"text": on_text, "repeated": look(model, repeated, "maps", "z", "resid")}
    rows = measure({probe: ProbeMaps(caches[probe].maps, ids[probe], seed) for probe in ids})
    measured = {role: found.overall() for role, found in rows.items()}
    inputs = ScoreInputs(model, on_text.maps, importance, torch.unique(torch.cat((text.flatten(), repeated.flatten()))))
    table = {ROLE_RULES[role].score: found.value for role, found in measured.items()}
    table |= {name: score(inputs) for name, score in OTHER_SCORES.items()}
    columns = {name: values.tolist() for name, values in table.items()}  # (L, H) each

    samples = max(len(text), len(repeated))
    shares, rests = stability(rows, samples).tolist(), ROLE_RULES[SINK].is_high(measured[SINK]).tolist()
    counted = {"text": torch.ones_like(text[:, 1:], dtype=torch.bool), "repeated": predictable(repeated)}

    def alone(probe: Probe, heads: Sequence[Head]) -> Tensor:
        return ablate_groups(model, ids[probe], [[head] for head in heads], caches[probe])[:, counted[probe]]

    def last(probe: Probe, heads: Sequence[Head], group: Sequence[Head]) -> Tensor:
        return ablate_last(model, ids[probe], heads, group, caches[probe])[:, counted[probe]]

    roles = {(i, h): role for i, layer in enumerate(name_roles(measured)) for h, role in enumerate(layer)}
    costs, reports = evidence_costs(roles, alone, last), []
    for (layer, head), role in roles.items():
        evidence = None
        if role != NO_ROLE:
            found = measured[role]
            value, shuffled = found.value[layer, head].item(), found.shuffled[layer, head].item()
            evidence = Evidence(ROLE_RULES[role].score, value, found.uniform.item(), shuffled, *costs[layer, head])
        head_scores = {name: column[layer][head] for name, column in columns.items()}
        confirmed = evidence is not None and (evidence.needed or evidence.shared)
        state = rests[layer][head], shares[layer][head], 2 * samples
        reports.append(HeadReport(layer, head, role, head_scores, evidence, confirmed, *state))
    return reports, on_text
