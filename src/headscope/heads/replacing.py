"""Describes what each head of a model does: fits rules, replaces the attention by them, and measures the loss.

A rule is fitted on training text and measured on held-out text. The loss recovered is

    (loss with the head ablated - loss with its attention replaced) / (loss with the head ablated - original loss).

Shapes: B texts, T positions, V vocabulary, L layers, H heads, D head width.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from headscope.heads.ablation import mean, replace_each
from headscope.heads.capture import ActivationCache, look, output_matrices
from headscope.heads.costs import ERRORS, mean_and_error
from headscope.heads.descriptions import ANY, Description, Estimate, PatternShare, sentence
from headscope.heads.fitting import PAYS, fit
from headscope.heads.patterns import KINDS, Kind, Text, all_marks, marks, patterns_of
from headscope.heads.rules import Rule
from headscope.heads.scores import distance_profile
from headscope.heads.targets import kinds_of_targets, most_raised
from headscope.heads.terms import Observed
from headscope.heads.token_classes import Vocabulary
from headscope.heads.wording import Wording, window
from headscope.model.transformer import TransformerLM

TOGETHER = 32  #: maximum number of heads that are fitted together; the heads of one layer always are
LARGEST = TOGETHER << 12  #: maximum number of heads that are fitted together times the size of the vocabulary
PART = 16  #: number of texts whose maps are predicted at a time
RAISED = 1.2  #: a pattern is mentioned if its share of the attention is this many times the share by chance
MOSTLY = 1.5  #: a kind of query is mentioned if a pattern's share from it is this many times the share from all


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
    wording, found = Wording(vocabulary, used, unit), []
    text = Text(held_out, vocabulary)
    targets = kinds_of_targets(text, unit)
    profile = distance_profile(cache.maps).flatten(0, 1)  # (L H, T)
    for i, rule in enumerate(rules):
        at = divmod(i, model.n_heads)
        full = {kind: _recovered(rises[kind][i], cost[i]) for kind in KINDS}
        readable = _readable_parts(model, held_out, rule, vocabulary, cache, at, cost[i])
        total = Estimate(*mean_and_error(cost[i].mean(1)))
        matters = total.value > ERRORS * total.error
        shares = _patterns(rule, cache.maps[at[0], :, at[1]], text, wording, profile[i])
        helps = most_raised(cost[i], targets) if matters else None
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
    marked = [all_marks(patterns.values(), Text(ids, vocabulary)) for ids in (fitting, held_out)]
    seen = look(model, fitting, "maps", "values")
    rules: list[Rule] = []
    outputs: dict[Kind, list[Tensor]] = {kind: [] for kind in KINDS}
    together = min(TOGETHER, LARGEST // model.vocab_size)
    for chosen in _parts(model.n_layers, max(together // model.n_heads, 1)):
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
            z = _predicted(scores, test)  # (layers H, B, T, D)
            outputs[kind].append(z.view(-1, model.n_heads, *z.shape[1:]).transpose(1, 2))
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
        if not weight >= RAISED * chance:  # NaN if no text has such a key
            continue
        best, kind = MOSTLY * weight, ANY
        for label in text.vocabulary.classes:
            members = text.members(label) & exists
            if members.sum() >= 0.02 * members.numel() and (share := rows[members].mean().item()) > best:
                best, kind = share, label
        found.append(PatternShare(name, weight, chance, kind))
    return tuple(sorted(found, key=lambda p: -p.weight))
