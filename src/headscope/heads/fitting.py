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
import torch.nn.functional as F
from torch import Tensor

from headscope.heads.gains import RARE, distinct, gains
from headscope.heads.patterns import KINDS, Kind, Pattern
from headscope.heads.rules import (
    BANDS,
    Rule,
    content_scores,
    distance_bins,
    distances,
    mixed_scores,
)  # fmt: skip

TERMS = 6  #: maximum number of terms of a readable rule
OUTPUT = 10.0  #: weight of the error of the output
BATCH = 8  #: texts per step
BEFORE = 3  #: the full rule knows this many tokens: the current one and those before it
RANK = 8  #: rank of the full rule's table in each range of distances
RANGES = ((0, 10**9), (0, 0), (1, 1), (2, 3), (4, 7))  #: distances that have a table of their own in the full rule
STEPS = {"place": 60, "structure": 50, "identity": 30, "full": 180, "terms": 150, "classes": 150, "strengths": 60}
PAYS = 0.15  #: minimum gain of a pattern in the readable rule
CHECKED = 64  #: number of texts on which a content term must pay
GAIN, ERRORS = (
    0.002,
    3,
)  #: minimum gain of a content term: nats of cross-entropy per row, and standard errors over texts
PENALTY = 0.002  #: weight of `Classes.penalty` in the objective of readable rules
MIDDLE = 0.5  #: a token is in neither class if its weight is below this share of the mean weight


@dataclass(frozen=True)
class Observed:
    """The attention of one layer's heads on texts."""

    ids: Tensor  #: (B, T)
    maps: Tensor  #: (N, B, T, T)
    values: Tensor  #: (N, B, T, D)
    gram: Tensor  #: W_O W_Oᵀ of each head, (N, D, D): it measures outputs
    rows: Tensor  #: `pattern_rows` of all patterns, bool marks (K, B, T, T)

    def batch(self, chosen: Tensor) -> "Observed":
        """Returns the chosen texts."""
        return Observed(self.ids[chosen], self.maps[:, chosen], self.values[:, chosen], self.gram, self.rows[:, chosen])

    def normalised_rows(self) -> Tensor:
        """Returns Pₖ, (K, B, T, T)."""
        marked = self.rows.float()
        return marked / marked.sum(-1, keepdim=True).clamp(min=1)


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
    future = torch.ones(logs.shape[-2:], dtype=torch.bool, device=logs.device).triu(1)
    return -(maps * logs.masked_fill(future, 0.0)).sum(-1).mean(-1)


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


class Mixture:
    """The first part of a rule: profiles over distances and weights of patterns, as trainable numbers."""

    def __init__(self, n: int, t: int, kinds: Sequence[Kind], distinct: Tensor) -> None:
        self.kinds, self.distinct = kinds, distinct  #: of each pattern; see `gains.distinct`
        self.place = torch.zeros(n, int(distance_bins(t)[-1]) + 1, requires_grad=True)
        self.logits = torch.full((n, 1 + len(kinds)), -2.0)
        self.logits[:, 0] = 1.0
        self.logits.requires_grad_()
        self.allowed = torch.zeros(n, 1 + len(kinds), dtype=torch.bool)
        self.allowed[:, 0] = True
        self.allow("place")

    def allow(self, kind: Kind) -> None:
        """Allows the patterns of a kind."""
        of_kind = torch.tensor([k == kind for k in self.kinds]) & self.distinct
        self.allowed = self.allowed | F.pad(of_kind, (1, 0))

    @property
    def weights(self) -> Tensor:
        """The weights (N, 1 + K), zero for patterns that are not allowed."""
        return self.logits.masked_fill(~self.allowed, -torch.inf).softmax(-1)

    def scores(self, seen: Observed) -> Tensor:
        return mixed_scores(self.place, self.weights, seen.normalised_rows())

    def copy(self) -> "Mixture":
        other = Mixture.__new__(Mixture)
        other.kinds, other.distinct, other.allowed = self.kinds, self.distinct, self.allowed
        other.place, other.logits = (x.detach().clone().requires_grad_() for x in (self.place, self.logits))
        return other

    @torch.no_grad()
    def shares(self, seen: Observed) -> Tensor:
        """Returns which share of the real attention each pattern explains, (N, 1 + K); they sum to one."""
        weights, rows = self.weights, seen.normalised_rows()
        total = mixed_scores(self.place, weights, rows).exp()  # (N, B, T, T)
        real = seen.maps / total.clamp(min=1e-12)  # 0 for later keys
        found = torch.einsum("nbij,kbij->nk", real, rows) * weights[:, 1:]
        rest = seen.maps.sum((1, 2, 3)) - found.sum(1)
        return torch.cat((rest[:, None], found), 1) / seen.maps.sum((1, 2, 3))[:, None]


class Table:
    """The full rule's content: a low-rank table of query tokens × key tokens for each range of distances."""

    def __init__(self, n: int, vocab_size: int) -> None:
        random = torch.Generator().manual_seed(0)
        shape = BEFORE, vocab_size, len(RANGES) * n * RANK
        self.n = n
        self.queries = (torch.randn(shape, generator=random) * 0.3 * RANK**-0.25).requires_grad_()
        self.keys = torch.zeros(shape, requires_grad=True)
        self.bias = torch.zeros(BEFORE, vocab_size, n, requires_grad=True)

    def scores(self, ids: Tensor) -> Tensor:
        """Returns (N, B, T, T) for ids (B, T)."""
        b, t = ids.shape
        tables = self.queries, self.keys, self.bias
        q, k, bias = (torch.stack([_before(table[i], ids, i) for i in range(BEFORE)]).sum(0) for table in tables)
        q, k = (x.view(b, t, len(RANGES), self.n, RANK).permute(2, 3, 0, 1, 4) for x in (q, k))
        far = distances(t)
        ranges = torch.stack([(far >= a) & (far <= z) for a, z in RANGES]).float()  # (ranges, T, T)
        matched = ((q @ k.transpose(-1, -2)) * ranges[:, None, None]).sum(0)  # (N, B, T, T)
        return matched + bias.permute(2, 0, 1)[:, :, None]


def _before(table: Tensor, ids: Tensor, n: int) -> Tensor:
    """Returns the rows of a table (V, …) for the tokens n before each token of ids (B, T)."""
    return F.embedding(F.pad(ids, (n, 0))[:, : ids.shape[1]], table)


class Classes:
    """The readable rule's content: R terms, each with a weight per query token and per key token."""

    def __init__(self, n: int, vocab_size: int, terms: Tensor, used: Tensor) -> None:
        """`terms` is the number of terms of each head, (N,); `used` is the frequency of each token, (V,)."""
        random = torch.Generator().manual_seed(0)
        r = int(terms.max())
        self.used = used
        self.active = (torch.arange(r) < terms[:, None]).float()  # (N, R)
        self.queries = (torch.randn(vocab_size, n, r, generator=random) * 0.5).requires_grad_()
        self.keys = (torch.randn(vocab_size, n, r, generator=random) * 0.1).requires_grad_()
        self.strengths = torch.ones(n, r, len(BANDS), requires_grad=True)
        self.rounded = False

    def scores(self, ids: Tensor) -> Tensor:
        q, k = (self.straight(x) if self.rounded else x for x in (self.queries, self.keys))
        return content_scores(q, k, self.strengths * self.active[..., None], ids)

    def penalty(self) -> Tensor:
        """Returns the sum over terms of the root mean square of their scores, if queries and keys were independent.

        Without it, terms that a head does not need grow, because they fit the small differences that its patterns leave
        on the texts of the fit. Such terms then change the attention on other texts.
        """
        q, k = ((x.square() * self.used[:, None, None]).sum(0) for x in (self.queries, self.keys))  # (N, R)
        size = (q * k * self.strengths.square().mean(-1) + 1e-8).sqrt()
        return (size * self.active).sum()

    def signs(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Returns 1, 0 or -1 for each token, (V, N, R), and the mean size of the weights that are not 0."""
        used = self.used[:, None, None]
        size = weights.abs()
        sign = weights.sign() * (size > MIDDLE * (size * used).sum(0)) * (used > 0)
        kept = (sign != 0) * used
        return sign, (size * kept).sum(0) / kept.sum(0).clamp(min=1e-9)

    def straight(self, weights: Tensor) -> Tensor:
        """Returns rounded weights whose gradient is that of the weights (straight-through)."""
        sign, size = self.signs(weights.detach())
        return weights + (sign * size - weights).detach()

    def finish(self) -> None:
        """Replaces the weights with 1, 0 and -1, and moves their size into the strengths."""
        with torch.no_grad():
            (q, a), (k, b) = self.signs(self.queries), self.signs(self.keys)
            self.strengths.mul_((a * b)[..., None])
            self.queries, self.keys, self.rounded = q, k, False


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
    gains_of_terms = _keep_terms_that_pay(scores, content, checked)
    descend(scores, [(numbers, 0.05)], seen, STEPS["strengths"], content.penalty)
    rules, weights = [], mixture.weights.detach()
    names = ["place", *patterns]
    for i in range(n):
        r = [k for k in gains_of_terms[i].argsort(descending=True).tolist() if content.active[i, k]]
        rules.append(Rule(
            mixture.place[i].detach(), {names[k]: weights[i, k].item() for k in kept[i].nonzero().flatten().tolist()},
            content.queries[:, i, r].to(torch.int8), content.keys[:, i, r].to(torch.int8),
            content.strengths[i, r].detach(),
        ).merged())  # fmt: skip
    return rules


@torch.no_grad()
def _keep_terms_that_pay(scores: Callable[[Observed], Tensor], content: Classes, checked: Observed) -> Tensor:
    """Turns off the content terms without which other texts are predicted as well; returns the gain of each (N, R)."""
    kept, found = content.active, []
    before = cross_entropy(scores(checked).log_softmax(-1), checked.maps)  # (N, B)
    for r in range(kept.shape[1]):
        content.active = kept.clone()
        content.active[:, r] = 0
        gain = cross_entropy(scores(checked).log_softmax(-1), checked.maps) - before
        error = gain.std(1) / gain.shape[1] ** 0.5
        found.append(gain.mean(1).where(gain.mean(1) > torch.maximum(ERRORS * error, torch.tensor(GAIN)), 0.0))
    gains_of_terms = torch.stack(found, 1) * kept if found else kept
    content.active = (gains_of_terms > 0).float()
    return gains_of_terms
