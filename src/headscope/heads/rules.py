"""Rules that predict the attention maps of heads from the text alone.

A rule mixes rows of attention, and then multiplies them by what the tokens themselves say:

    A[i, j] ∝ (Σₖ wₖ Pₖ[i, j] + ε) exp(Σᵣ aᵣ[band(i - j)] qᵣ[token i] kᵣ[token j])

P₀ is a profile over distances; the other Pₖ are patterns (`headscope.heads.patterns`). Each content term r has a class
of query tokens (q = 1), its opposite (q = -1), and the same for keys. It raises the attention of queries in the class
to keys in the class at some distances, and lowers the attention to the opposite keys.

Shapes: B texts, T positions, N heads, V vocabulary, P distance bins, K patterns, R content terms.
"""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from headscope.heads.patterns import Text, all_marks, patterns_of, spread
from headscope.heads.token_classes import Vocabulary

NEAREST = 32  #: every distance below it has its own bin; further away, each doubling of the distance has `PER_OCTAVE`
PER_OCTAVE = 4
BANDS = (0, 1, 2, 3, 5, 9)  #: the smallest distance of each band of a content term
WEAK = 0.05  #: a content term with smaller strengths is left out; it changes weights by less than this share
FLOOR = 1e-4  #: ε, so that no key is impossible


def distances(t: int) -> Tensor:
    """Returns i - j for each query i and key j ≤ i, int64 (T, T); 0 for later keys."""
    position = torch.arange(t)
    return (position[:, None] - position).clamp(min=0)


def distance_bins(t: int) -> Tensor:
    """Returns the bin of each distance 0 … T - 1, int64 (T,)."""
    far = NEAREST + (PER_OCTAVE * (torch.arange(t).clamp(min=1) / NEAREST).log2()).floor()
    return torch.where(torch.arange(t) < NEAREST, torch.arange(t), far.long())


def distance_bands(t: int) -> Tensor:
    """Returns the band of each distance 0 … T - 1, int64 (T,)."""
    return torch.bucketize(torch.arange(t), torch.tensor(BANDS), right=True) - 1


def future(t: int, device: torch.device | None = None) -> Tensor:
    """Returns which keys come after each query, bool (T, T)."""
    return torch.ones(t, t, dtype=torch.bool, device=device).triu(1)


def place_rows(place: Tensor, t: int) -> Tensor:
    """Returns P₀ for profiles (N, P) of log weights per bin: (N, T, T). Distances after the last bin count in it."""
    bins = distance_bins(t).clamp(max=place.shape[1] - 1).to(place.device)
    scores = place[:, bins[distances(t).to(place.device)]]
    return scores.masked_fill(future(t, place.device), -math.inf).softmax(-1)


def mixed_scores(place: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
    """Returns the logarithm of the mixed rows, (N, B, T, T), and -inf for later keys.

    `place` is (N, P), `weights` (N, 1 + K), and `rows` Pₖ (K, B, T, T). A row of zeros is left to the other patterns.
    """
    t = rows.shape[-1]
    mixture = torch.einsum("nk,kbij->nbij", weights[:, 1:], rows)
    mixture = mixture + (weights[:, :1, None] * place_rows(place, t))[:, None]
    return (mixture + FLOOR).log().masked_fill(future(t, rows.device), -math.inf)


def content_scores(queries: Tensor, keys: Tensor, strengths: Tensor, ids: Tensor) -> Tensor:
    """Returns Σᵣ aᵣ qᵣ kᵣ for ids (B, T): (N, B, T, T).

    `queries` and `keys` are (V, N, R), and `strengths` are a per band (N, R, len(BANDS)).
    """
    t = ids.shape[1]
    q, k = (F.embedding(ids, x.flatten(1)).view(*ids.shape, *x.shape[1:]).permute(2, 0, 1, 3) for x in (queries, keys))
    band = distance_bands(t).to(ids.device)[distances(t).to(ids.device)]  # (T, T)
    total = torch.zeros(())
    for b in range(len(BANDS)):
        scores = (q * strengths[:, None, None, :, b]) @ k.transpose(-1, -2)  # (N, B, T, T)
        total = total + scores * (band == b)
    return total


@dataclass(frozen=True)
class Rule:
    """The rule of one head."""

    place: Tensor  #: log weights of the distance bins, (P,)
    weights: dict[str, float]  #: the weight of P₀, "place", and of each pattern; they sum to one
    queries: Tensor  #: 1, 0 or -1 for each token, int8 (V, R); the strongest term comes first
    keys: Tensor  #: the same for keys
    strengths: Tensor  #: a, (R, len(BANDS))

    def map(self, ids: Tensor, vocabulary: Vocabulary) -> Tensor:
        """Returns the predicted map for ids (B, T): (B, T, T)."""
        patterns = patterns_of(vocabulary)
        rows = spread(all_marks((patterns[k] for k in self.weights if k != "place"), Text(ids, vocabulary)))
        weights = torch.tensor([list(self.weights.values())], device=ids.device)
        scores = mixed_scores(self.place[None], weights, rows)[0]
        if self.queries.shape[1]:
            q, k = self.queries[:, None].float(), self.keys[:, None].float()
            scores = scores + content_scores(q, k, self.strengths[None], ids)[0]
        return scores.softmax(-1)

    def merged(self) -> "Rule":
        """Returns the same rule without content terms that repeat the classes of another term, or that are weak.

        The strengths of terms with the same classes are added. A term whose queries and keys both have the opposite
        signs has the same classes.
        """
        terms: dict[bytes, list[Tensor]] = {}  # by classes: queries, keys and strengths
        for q, k, a in zip(self.queries.T, self.keys.T, self.strengths, strict=True):
            sign_q, sign_k = (x[x != 0][:1].sum().to(torch.int8) for x in (q, k))  # of the first member, or 0
            q, k, a = q * sign_q, k * sign_k, a * sign_q * sign_k
            term = terms.setdefault(torch.cat((q, k)).numpy().tobytes(), [q, k, torch.zeros_like(a)])
            term[2] = term[2] + a
        kept = sorted((t for t in terms.values() if t[2].abs().max() >= WEAK), key=lambda t: -t[2].abs().max().item())
        empty = (self.queries.T[:0], self.keys.T[:0], self.strengths[:0])
        q, k, a = (torch.stack(x) for x in zip(*kept, strict=True)) if kept else empty
        return replace(self, queries=q.T, keys=k.T, strengths=a)
