"""What each head does, as a rule that can replace its attention, with the share of its contribution that is recovered.

A rule is fitted on training text and measured on held-out text. The loss recovered is

    (loss with the head ablated - loss with its attention replaced) / (loss with the head ablated - original loss).

Shapes: B texts, T positions, V vocabulary, L layers, H heads, D head width.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from headscope.heads.ablation import mean, replace_each
from headscope.heads.capture import ActivationCache, look, output_matrices
from headscope.heads.costs import ERRORS
from headscope.heads.fitting import PAYS, Observed, fit
from headscope.heads.patterns import KINDS, Kind, Text, marks, patterns_of
from headscope.heads.rules import Rule
from headscope.heads.scores import distance_profile
from headscope.heads.targets import kinds_of_targets
from headscope.heads.token_classes import Vocabulary
from headscope.heads.wording import Wording, most_raised, window
from headscope.model.transformer import TransformerLM

LITTLE = 0.5  #: a rule that recovers less than this share explains little
TOGETHER = 32  #: maximum number of heads that are fitted together, if a layer has no more
RAISED = 1.2  #: a pattern is mentioned if its share of the attention is this many times the share by chance
MOSTLY = 1.5  #: a kind of query is mentioned if a pattern's share from it is this many times the share from all
ANY = "any token"
PART = 16  #: number of texts whose maps are predicted at a time


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
    """What one head does."""

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


@torch.inference_mode(False)
@torch.no_grad()
def describe_attention(
    model: TransformerLM, fitting: Tensor, held_out: Tensor, vocabulary: Vocabulary, unit: str = "token"
) -> list[Description]:
    """Returns a description of every head, layer by layer.

    Args:
        model: left unchanged. On another device than the CPU, a copy is described on the CPU.
        fitting: ids (B, T) of training text, to which the rules are fitted.
        held_out: ids (B', T) of text that the model was not trained on, on which costs and shares are measured.
        vocabulary: the text of every token.
        unit: the name of one token: character, word or token.
    """
    if fitting.device.type != "cpu" or next(model.parameters()).device.type != "cpu":
        model, fitting, held_out = copy.deepcopy(model).cpu(), fitting.cpu(), held_out.cpu()
    cache = look(model, held_out, "maps", "values", "z", "resid")
    rules, stages = _fitted(model, fitting, held_out, cache, vocabulary)
    cost = replace_each(model, held_out, mean(cache.z), cache)  # (L H, B, T - 1)
    rises = {kind: replace_each(model, held_out, z, cache) for kind, z in stages.items()}
    used = torch.bincount(fitting.flatten(), minlength=model.vocab_size).float() / fitting.numel()
    wording, found = Wording(vocabulary, used.cpu(), unit), []
    targets = kinds_of_targets(Text(held_out, vocabulary), unit)
    profile = distance_profile(cache.maps).flatten(0, 1)  # (L H, T)
    for i, rule in enumerate(rules):
        at = divmod(i, model.n_heads)
        full = {kind: _recovered(rises[kind][i], cost[i]) for kind in KINDS}
        readable = _readable_parts(model, held_out, rule, vocabulary, cache, at, cost[i])
        total = _estimate(cost[i])
        matters = total.value > ERRORS * total.error
        shares = _patterns(rule, cache.maps[at[0], :, at[1]], Text(held_out, vocabulary), wording, profile[i])
        helps = most_raised({k: _kind(cost[i], mask) for k, mask in targets.items()}, total.value) if matters else None
        description = Description(
            *at, rule, total, readable["content"] if matters else None, full["content"] if matters else None,
            _increments(readable) if matters else dict.fromkeys(KINDS, 0.0),
            _increments(full) if matters else dict.fromkeys(KINDS, 0.0), shares, helps, "",
        )  # fmt: skip
        found.append(replace(description, sentence=sentence(description, wording)))
    return found


def _fitted(
    model: TransformerLM, fitting: Tensor, held_out: Tensor, cache: ActivationCache, vocabulary: Vocabulary
) -> tuple[list[Rule], dict[Kind, Tensor]]:
    """Returns the readable rules of all heads, and the outputs of the full rules by stage, (L, B, H, T, D) each."""
    patterns = patterns_of(vocabulary)
    marked = [torch.stack([marks(p, Text(ids, vocabulary)) for p in patterns.values()]) for ids in (fitting, held_out)]
    seen = look(model, fitting, "maps", "values")
    rules: list[Rule] = []
    outputs: dict[Kind, list[Tensor]] = {kind: [] for kind in KINDS}
    for chosen in _parts(model.n_layers, max(TOGETHER // model.n_heads, 1)):
        weights = [output_matrices(model.layers()[i].attention.out.weight.detach(), model.n_heads) for i in chosen]
        gram = torch.cat([(w @ w.transpose(1, 2)).float() for w in weights])  # (N, D, D)

        def observed(
            ids: Tensor, x: ActivationCache, rows: Tensor, chosen: list[int] = chosen, gram: Tensor = gram
        ) -> Observed:
            maps, values = (y[chosen].transpose(1, 2).flatten(0, 1).float() for y in (x.maps, x.values))  # heads first
            return Observed(ids, maps, values, gram, rows)

        with torch.enable_grad():
            found = fit(observed(fitting, seen, marked[0]), patterns, model.vocab_size)
        rules += found.rules
        test = observed(held_out, cache, marked[1])
        for kind, scores in found.stages.items():
            z = _predicted(scores, test).reshape(
                len(chosen), model.n_heads, *held_out.shape, -1
            )  # (layers, H, B, T, D)
            outputs[kind].append(z.transpose(1, 2))
    return rules, {kind: torch.cat(parts) for kind, parts in outputs.items()}


def _parts(n: int, size: int) -> Iterator[list[int]]:
    """Yields the numbers below n in lists of at most `size`."""
    for first in range(0, n, size):
        yield [*range(first, min(first + size, n))]


@torch.no_grad()
def _predicted(scores: Callable[[Observed], Tensor], seen: Observed) -> Tensor:
    """Returns the outputs (H, B, T, D) of heads whose attention is predicted."""
    parts = map(torch.tensor, _parts(len(seen.ids), PART))
    return torch.cat([scores(x := seen.batch(part)).softmax(-1) @ x.values for part in parts], 1)


def _readable_parts(
    model: TransformerLM,
    ids: Tensor,
    rule: Rule,
    vocabulary: Vocabulary,
    cache: ActivationCache,
    at: tuple[int, int],
    cost: Tensor,
) -> dict[Kind, Estimate]:
    """Returns what the readable rule recovers with the terms of each kind and of the kinds before it."""
    patterns = patterns_of(vocabulary)
    found: dict[Kind, Estimate] = {}
    last: Rule | None = None
    for i, kind in enumerate(KINDS):
        allowed = KINDS[: i + 1]
        weights = {k: w for k, w in rule.weights.items() if (patterns[k].kind if k in patterns else "place") in allowed}
        part = replace(rule, weights=weights)
        if kind != "content":
            part = replace(part, queries=rule.queries[:, :0], keys=rule.keys[:, :0], strengths=rule.strengths[:0])
        if last is None or len(part.weights) + len(part.strengths) > len(last.weights) + len(last.strengths):
            by = torch.zeros_like(cache.z)
            by[at[0], :, at[1]] = (part.map(ids, vocabulary) @ cache.values[at[0], :, at[1]].float()).to(by.dtype)
            rise = replace_each(model, ids, by, cache, [at])[0]
            estimate = _recovered(rise, cost)
        last = part
        found[kind] = estimate
    return found


def _estimate(values: Tensor) -> Estimate:
    """Returns the mean of values (B, T - 1) and its standard error over texts."""
    texts = values.mean(1)
    return Estimate(texts.mean().item(), texts.std().item() / len(texts) ** 0.5)


def _recovered(rise: Tensor, cost: Tensor) -> Estimate:
    """Returns 1 - rise / cost with its standard error over texts, from the losses of targets (B, T - 1)."""
    r, c = rise.mean(1), cost.mean(1)  # (B,)
    lost = (r.sum() / c.sum()).item()
    error = (r - lost * c).std().item() / len(r) ** 0.5 / max(abs(c.mean().item()), 1e-12)
    return Estimate(1 - lost, error)


def _increments(recovered: dict[Kind, Estimate]) -> dict[Kind, float]:
    """Returns what each kind of term adds to the kinds before it."""
    before = 0.0
    parts: dict[Kind, float] = {}
    for kind in KINDS:
        parts[kind] = recovered[kind].value - before
        before = recovered[kind].value
    return parts


def _kind(cost: Tensor, mask: Tensor) -> tuple[float, float, float]:
    """Returns the mean cost of the targets in a mask (B, T - 1), its standard error, and their share."""
    chosen = cost[mask]
    if len(chosen) < 2:
        return 0.0, 0.0, 0.0
    return chosen.mean().item(), chosen.std().item() / len(chosen) ** 0.5, mask.float().mean().item()


@torch.no_grad()
def _patterns(rule: Rule, maps: Tensor, text: Text, wording: Wording, profile: Tensor) -> tuple[PatternShare, ...]:
    """Returns what share of the real attention (B, T, T) each part of the rule's mixture marks.

    The profile over distances counts with the distances that `window` finds in the real attention, (T,).
    """
    patterns, found = patterns_of(text.vocabulary), []
    first, last = window(profile.tolist())
    distance = text.position[:, None] - text.position
    marked = {}
    if rule.weights.get("place", 0.0) >= PAYS:
        marked[wording.back(first, last)] = ((distance >= first) & (distance <= last)).expand_as(maps)
    marked |= {name: marks(patterns[name], text) for name in rule.weights if name != "place"}
    even = text.past / text.past.sum(-1, keepdim=True)
    for name, keys in marked.items():
        rows = (maps * keys).sum(-1)  # (B, T)
        exists = keys.any(-1)
        weight, chance = (x[exists].mean().item() for x in (rows, (even * keys).sum(-1)))
        if weight < RAISED * chance:
            continue
        best, kind = MOSTLY * weight, ANY
        for label in text.vocabulary.classes:
            members = text.members(label) & exists
            if members.sum() >= 0.02 * members.numel() and (share := rows[members].mean().item()) > best:
                best, kind = share, label
        found.append(PatternShare(name, weight, chance, kind))
    return tuple(sorted(found, key=lambda p: -p.weight))


def sentence(d: Description, wording: Wording) -> str:
    """Returns a description in plain English."""
    looks = []
    for p in d.patterns:
        source = "" if p.query_kind == ANY else f", most from {p.query_kind}s"
        looks.append(f"{p.name} ({p.weight:.0%} of its attention, {p.chance:.0%} by chance{source})")
    text = f"{d.name} looks at {' and '.join(looks)}." if looks else f"{d.name} looks at all earlier {wording.unit}s."
    if terms := wording.content(d.rule):
        text += f" {terms[0].upper()}{terms[1:]}."
    cost = f"{d.cost.value:.3f} ± {d.cost.error:.3f} nats"
    if d.recovered is None:
        return f"{text} Without it, the loss changes by {cost}, which is within the noise."
    share = f"{d.recovered.value:.0%} of its contribution of {cost}"
    text += f" That explains only {share}." if d.recovered.value < LITTLE else f" That explains {share}."
    return f"{text} It helps most on {d.helps}." if d.helps else text


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
        strengths = torch.tensor(rule["strengths"]).view(-1, 6)
        numbers = {k: entry[k] and Estimate(*entry[k]) for k in ("cost", "recovered", "full")}
        patterns = tuple(PatternShare(*p) for p in entry["patterns"])
        parsed = Rule(torch.tensor(rule["place"]), rule["weights"], queries, keys, strengths)
        found.append(Description(**(entry | numbers | {"rule": parsed, "patterns": patterns})))
    return found
