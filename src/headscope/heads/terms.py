"""The parts of a rule as trainable numbers: the mixture of patterns, and the content of the full and the readable rule.

Shapes: B texts, T positions, N heads, V vocabulary, K patterns, R content terms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from headscope.heads.patterns import Kind, spread
from headscope.heads.rules import BANDS, content_scores, distance_bins, distances, mixed_scores

BEFORE = 3  #: the full rule knows this many tokens: the current one and those before it
RANK = 8  #: rank of the full rule's table in each range of distances
RANGES = ((0, 10**9), (0, 0), (1, 1), (2, 3), (4, 7))  #: distances that have a table of their own in the full rule
MIDDLE = 0.5  #: a token is in neither class if its weight is below this share of the mean weight


@dataclass(frozen=True)
class Observed:
    """The attention of one layer's heads on texts."""

    ids: Tensor  #: (B, T)
    maps: Tensor  #: (N, B, T, T)
    values: Tensor  #: (N, B, T, D)
    gram: Tensor  #: W_O W_Oᵀ of each head, (N, D, D): it measures outputs
    rows: Tensor  #: the marks of all patterns, bool (K, B, T, T)

    def batch(self, chosen: Tensor) -> "Observed":
        """Returns the chosen texts."""
        return Observed(self.ids[chosen], self.maps[:, chosen], self.values[:, chosen], self.gram, self.rows[:, chosen])

    def normalised_rows(self) -> Tensor:
        """Returns Pₖ, (K, B, T, T)."""
        return spread(self.rows)


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
        """Returns rounded weights; their gradient equals the gradient of the weights (straight-through)."""
        sign, size = self.signs(weights.detach())
        return weights + (sign * size - weights).detach()

    def finish(self) -> None:
        """Replaces the weights with 1, 0 and -1, and moves their size into the strengths."""
        with torch.no_grad():
            (q, a), (k, b) = self.signs(self.queries), self.signs(self.keys)
            self.strengths.mul_((a * b)[..., None])
            self.queries, self.keys, self.rounded = q, k, False
