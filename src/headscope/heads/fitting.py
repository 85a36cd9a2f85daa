"""Fits rules to the attention maps of a layer's heads.

Two versions are fitted. The full rule has every pattern and a table of which query token prefers which key token, with
the two tokens before each. The readable rule has at most `TERMS` terms: the profile over distances, the patterns that
pay, and content terms with classes of tokens.

The objective of a head is the cross-entropy between real and predicted rows, plus `OUTPUT` times the squared error of
its output A V W_O as a share of the variance. The optimizer is Adam, with a learning rate that falls to zero.

Shapes: B texts, T positions, N heads of the layer, V vocabulary, K patterns, R content terms.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headscope.heads.gains import RARE, distinct, gains
from headscope.heads.patterns import KINDS, Kind, Pattern
from headscope.heads.rules import Rule, future
from headscope.heads.terms import Classes, Mixture, Observed, Table

TERMS = 6  #: maximum number of terms of a readable rule
OUTPUT = 10.0  #: weight of the error of the output
BATCH = 8  #: texts per step
STEPS = {"place": 60, "structure": 50, "identity": 30, "full": 180, "terms": 150, "classes": 150, "strengths": 60}
PAYS = 0.15  #: minimum gain of a pattern in the readable rule
CHECKED = 64  #: number of texts on which a content term must pay
GAIN = 0.002  #: minimum gain of a content term, in nats of cross-entropy per row
ERRORS = 3  #: minimum gain of a content term, in standard errors over texts
PENALTY = 0.002  #: weight of `Classes.penalty` in the objective of readable rules


def objective(scores: Tensor, seen: Observed) -> Tensor:
    """Returns the objective of predicted scores (N, B, T, T), summed over heads."""
    logs = scores.log_softmax(-1)
    crossed = cross_entropy(logs, seen.maps).mean(1)  # (N,)
    missed = (logs.exp() - seen.maps) @ seen.values  # (N, B, T, D)
    centred = seen.values - seen.values.mean((1, 2), keepdim=True)
    error, variance = (((x @ seen.gram[:, None]) * x).sum(-1).mean((1, 2)) for x in (missed, centred))
    return (crossed + OUTPUT * error / variance.clamp(min=1e-12)).sum()


def cross_entropy(logs: Tensor, maps: Tensor) -> Tensor:
    """Returns the mean over rows of -Σⱼ A log Â in nats, (N, B), from log Â and A, both (N, B, T, T)."""
    return -(maps * logs.masked_fill(future(logs.shape[-1], logs.device), 0.0)).sum(-1).mean(-1)


def descend(
    scores: Callable[[Observed], Tensor],
    groups: Sequence[tuple[Sequence[Tensor], float]],
    seen: Observed,
    steps: int,
    penalty: Callable[[], Tensor] = lambda: torch.zeros(()),
) -> None:
    """Changes the parameters of `groups`, pairs of parameters and their rate, so that the objective falls."""
    optimizer = torch.optim.Adam([{"params": params, "lr": rate} for params, rate in groups], betas=(0.9, 0.99))
    random = torch.Generator().manual_seed(0)
    for step in range(steps):
        for group, (_, rate) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] = rate * min(1.0, (steps - step) / (0.6 * steps))
        batch = seen.batch(torch.randint(len(seen.ids), (min(BATCH, len(seen.ids)),), generator=random))
        optimizer.zero_grad()
        (objective(scores(batch), batch) + PENALTY * penalty()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@dataclass(frozen=True)
class Fitted:
    """What was fitted to the heads of one layer. Each function predicts scores (N, B, T, T)."""

    stages: dict[Kind, Callable[[Observed], Tensor]]  #: by kind: the full rule with this kind and those before it
    rules: list[Rule]  #: the readable rule of each head
    shares: Tensor  #: the share of the real attention that each pattern explains, (N, 1 + K)


def fit(seen: Observed, patterns: dict[str, Pattern], vocab_size: int) -> Fitted:
    """Fits the full and the readable rules of a layer's heads."""
    n, t = len(seen.maps), seen.ids.shape[1]
    mixture = Mixture(n, t, [p.kind for p in patterns.values()], distinct(seen.rows))
    stages: dict[Kind, Callable[[Observed], Tensor]] = {}
    for kind in KINDS[:3]:
        if kind != "place":
            mixture.allow(kind)
        descend(mixture.scores, [([mixture.place, mixture.logits], 0.1)], seen, STEPS[kind])
        stages[kind] = mixture.copy().scores
    shares = mixture.shares(seen)
    full, table = mixture.copy(), Table(n, vocab_size)

    def with_table(batch: Observed) -> Tensor:
        return full.scores(batch) + table.scores(batch.ids)

    groups = [([full.place, full.logits], 0.1), ([table.queries, table.keys, table.bias], 0.03)]
    descend(with_table, groups, seen, STEPS["full"])
    stages["content"] = with_table
    return Fitted(stages, _readable(seen, mixture, shares, patterns, vocab_size), shares)


def _readable(
    seen: Observed, mixture: Mixture, shares: Tensor, patterns: dict[str, Pattern], vocab_size: int
) -> list[Rule]:
    """Returns the readable rules. Of the patterns that pay, the `TERMS` - 1 with the largest shares stay."""
    n, texts = len(seen.maps), torch.arange(len(seen.ids))
    checked = seen.batch(texts[-CHECKED:])  # these texts are not fitted
    seen = seen.batch(texts[:-CHECKED]) if len(texts) > CHECKED else seen
    pays = (gains(shares, seen.rows, mixture.kinds) >= PAYS) & (shares[:, 1:] >= RARE)
    paid = shares[:, 1:] * pays
    kept = pays & (paid >= paid.topk(min(TERMS - 1, paid.shape[1]), 1).values[:, -1:])
    kept = torch.cat((torch.ones(n, 1, dtype=torch.bool), kept), 1)
    mixture.allowed = kept
    used = torch.bincount(seen.ids.flatten(), minlength=vocab_size).float() / seen.ids.numel()
    content = Classes(n, vocab_size, TERMS - kept.sum(1), used)

    def scores(batch: Observed) -> Tensor:
        return mixture.scores(batch) + content.scores(batch.ids)

    tokens, numbers = [content.queries, content.keys], [content.strengths, mixture.place, mixture.logits]
    descend(scores, [(tokens, 0.05), (numbers, 0.1)], seen, STEPS["terms"], content.penalty)
    content.rounded = True
    descend(scores, [(tokens, 0.025), (numbers, 0.05)], seen, STEPS["classes"], content.penalty)
    content.finish()
    _keep_terms_that_pay(scores, content, checked)
    descend(scores, [(numbers, 0.05)], seen, STEPS["strengths"], content.penalty)
    rules, weights = [], mixture.weights.detach()
    names = ["place", *patterns]
    for i in range(n):
        r = content.active[i].nonzero().flatten()
        rules.append(Rule(
            mixture.place[i].detach(), {names[k]: weights[i, k].item() for k in kept[i].nonzero().flatten().tolist()},
            content.queries[:, i, r].to(torch.int8), content.keys[:, i, r].to(torch.int8),
            content.strengths[i, r].detach(),
        ).merged())  # fmt: skip
    return rules


@torch.no_grad()
def _keep_terms_that_pay(scores: Callable[[Observed], Tensor], content: Classes, checked: Observed) -> None:
    """Turns off the content terms without which other texts are predicted as well."""
    kept, pays = content.active, torch.zeros_like(content.active)
    before = cross_entropy(scores(checked).log_softmax(-1), checked.maps)  # (N, B)
    for r in range(kept.shape[1]):
        content.active = kept.clone()
        content.active[:, r] = 0
        gain = cross_entropy(scores(checked).log_softmax(-1), checked.maps) - before
        error = gain.std(1) / gain.shape[1] ** 0.5
        pays[:, r] = (gain.mean(1) > (ERRORS * error).clamp(min=GAIN)).float()
    content.active = kept * pays
