"""A report on every head of a model: scores, role, evidence.

Shapes: B texts, T positions, H heads, L layers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from headscope.heads import circuits, scores
from headscope.heads.ablation import ablate, gradient_importance
from headscope.heads.capture import look
from headscope.heads.probes import foreseeable
from headscope.heads.roles import SIGNS, VAGUE, Looks, Probe, Role, measure, name_roles
from headscope.heads.seen import Seen
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
    """What every head does: one pass over each probe, one backward pass, and a pass for each head with a role.

    A role is confirmed when the mean ablation of the head alone costs at least `COSTS` nats a token, and `ERRORS`
    standard errors, where the role matters: on every target of the text, or on those of the repeated texts that can be
    foreseen. Heads that do the same may stand in for each other; `ablate` takes several away at once.

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
    seen: dict[Probe, Seen] = {probe: look(model, x, "maps", "mixed") for probe, x in ids.items()}
    measured = measure({probe: Looks(seen[probe].maps, x) for probe, x in ids.items()}, seed)
    roles = name_roles(measured)
    signs = SIGNS | VAGUE
    table = {signs[role].score: found.value for role, found in measured.items()}
    table |= _scores_without_role(model, seen["text"], text, repeated)
    columns = {name: value.tolist() for name, value in table.items()}  # (L, H) each

    reports = []
    for layer in range(model.n_layers):
        for head in range(model.n_heads):
            role, evidence = roles[layer][head], None
            if role != "none":
                probe, found = signs[role].probe, measured[role]
                where = foreseeable(repeated) if probe == "repeated" else torch.ones_like(text[:, 1:], dtype=torch.bool)
                rise = ablate(model, ids[probe], [(layer, head)], seen=seen[probe])[where]
                evidence = Evidence(
                    signs[role].score,
                    found.value[layer, head].item(),
                    found.uniform,
                    found.shuffled[layer, head].item(),
                    probe,
                    rise.mean().item(),
                    rise.std().item() / len(rise) ** 0.5,
                )
            own = {name: column[layer][head] for name, column in columns.items()}
            reports.append(HeadReport(layer, head, role, own, evidence, evidence is not None and _matters(evidence)))
    return reports


def _scores_without_role(model: TransformerLM, seen: Seen, text: Tensor, repeated: Tensor) -> dict[str, Tensor]:
    layers = range(model.n_layers)
    tokens = torch.unique(torch.cat((text.flatten(), repeated.flatten())))
    return {
        "distance": scores.distance(seen.maps),
        "copying": torch.stack([circuits.copying(model, layer, tokens) for layer in layers]),
        "ov_eigenvalues": torch.stack([circuits.ov_eigenvalue_score(model, layer) for layer in layers]),
        "importance": gradient_importance(model, text),
    }


def _matters(evidence: Evidence) -> bool:
    return evidence.cost >= COSTS and evidence.cost >= ERRORS * evidence.error
