"""Schemes that add a bias to each attention score.

Shapes: B batch, T positions (Tq of queries, Tk of keys), C = d_model, H heads, D = C / H.
"""

import math
from typing import Annotated, cast

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from headscope.model.position.base import Position


class ALiBi(Position):
    """A penalty proportional to the distance, -m (i - j), with a separate slope m for each head (Press et al. 2022).

    The term -m i is the same for all keys of query i and has no effect on the softmax. The bias is therefore m j, one
    number per key.
    """

    slopes: Tensor

    def init_layer(self, layer: int) -> None:
        self.register_buffer("slopes", self.slopes_of(self.n_heads), persistent=False)

    @staticmethod
    def slopes_of(n_heads: int) -> Tensor:
        """Returns the slope m of every head, (H,): 2^(-8h/H), h = 1 … H, if H is a power of two (section 3).

        Otherwise: all slopes for the largest power of two below H, then every other slope for the next power of two.
        """
        power = 2 ** (n_heads.bit_length() - 1)  # the largest power of two up to n_heads
        slopes = [2 ** (-8 * h / power) for h in range(1, power + 1)]
        slopes += [2 ** (-4 * h / power) for h in range(1, 2 * power, 2)]
        return torch.tensor(slopes[:n_heads])

    def bias(self, offset: int, t_q: int, t_k: int) -> Tensor | None:
        return self.slopes[:, None, None] * torch.arange(t_k, device=self.slopes.device)  # (H, 1, Tk)


def by_distance(values: Tensor, offset: int, t_q: int) -> Tensor:
    """Returns the bias (H, Tq, Tk) of queries i ≥ `offset` and keys j; `values[:, n]` (H, Tk) is for i - j = n."""
    t_k = values.shape[1]
    i, j = torch.arange(offset, offset + t_q, device=values.device), torch.arange(t_k, device=values.device)
    return values[:, (i[:, None] - j).clamp_min(0)]  # the causal mask hides later keys, so their values are irrelevant


class T5(Position):
    """A learned bias for each bucket of distances, shared by all layers (Raffel et al. 2020, section 2.1).

    Each bucket in the first half holds one distance. After that, buckets widen logarithmically up to `max_distance`
    (in tokens). The last bucket also holds all larger distances, so the scheme works beyond the training length.
    Unlike in T5, scores are scaled by 1/√D. Raises ValueError unless `max_distance` exceeds half of `buckets`.
    """

    no_weight_decay = ("biases",)

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        block_size: int,
        layer: int | None = None,
        *,
        buckets: Annotated[int, Ge(4)] = 32,
        max_distance: Annotated[int, Ge(4)] = 128,
    ) -> None:
        if max_distance <= buckets // 2:
            raise ValueError(f"max_distance={max_distance} must exceed half of the {buckets} buckets")
        self.buckets, self.max_distance = buckets, max_distance
        super().__init__(d_model, n_heads, block_size, layer)

    def init_layer(self, layer: int) -> None:
        self.biases = nn.Parameter(torch.zeros(self.n_heads, self.buckets))

    def share(self, first: Position) -> None:
        self.biases = cast(T5, first).biases

    def bucket(self, distance: Tensor) -> Tensor:
        """Returns the index of the bucket for each distance ≥ 0."""
        exact = self.buckets // 2
        logs = (distance.clamp_min(1).double() / exact).log() / math.log(self.max_distance / exact)
        wide = exact + (logs * (self.buckets - exact)).clamp_min(0).long()
        return torch.where(distance < exact, distance, wide.clamp_max(self.buckets - 1))

    def bias(self, offset: int, t_q: int, t_k: int) -> Tensor | None:
        buckets = self.bucket(torch.arange(t_k, device=self.biases.device))  # (Tk,)
        return by_distance(self.biases[:, buckets], offset, t_q)


class Kerple(Position):
    """A penalty that grows with the logarithm of the distance, -r₁ ln(1 + r₂ (i - j)) (Chi et al. 2022, eq. 5).

    Each head learns r₁ and r₂. The parameters are their logarithms, so r₁ and r₂ stay positive. Their initial values
    are spread evenly over the ranges from which the paper draws them: r₁ up to 2, r₂ up to 1.
    """

    def init_layer(self, layer: int) -> None:
        spread = torch.arange(1, self.n_heads + 1) / self.n_heads  # (H,)
        self.log_r1 = nn.Parameter((2 * spread).log())
        self.log_r2 = nn.Parameter(spread.log())

    def bias(self, offset: int, t_q: int, t_k: int) -> Tensor | None:
        r1, r2 = self.log_r1.exp()[:, None], self.log_r2.exp()[:, None]  # (H, 1) each
        return by_distance(-r1 * torch.log1p(r2 * torch.arange(t_k, device=r1.device)), offset, t_q)


class Forgetting(Position):
    """FoX: each head forgets earlier tokens at a rate that depends on the tokens in between (Lin et al. 2025, eq. 4).

    The bias of query i and key j is Σ log σ(f_l), l = j+1 … i, where f = W x + b + 5 is computed from the input of the
    layer. b starts at 0, so the forget gate σ(f) starts near σ(5) = 99.3%. The code of the paper adds no 5, so that its
    gates start near σ(0) = 50%. With S as the cumulative sum, the bias
    is S_i - S_j. S_i is the same for all keys of query i and has no effect, which leaves -S_j, one number per key.
    """

    def init_layer(self, layer: int) -> None:
        self.gate = nn.Linear(self.d_model, self.n_heads)

    def queries_and_keys(self, q: Tensor, k: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        """Adds log σ(f) to the keys as one more channel, so that the cache keeps it."""
        with torch.autocast(x.device.type, enabled=False):  # the cumulative sum needs fp32
            log_f = F.logsigmoid(self.gate(x.to(self.gate.weight.dtype)) + 5)  # (B, T, H)
        return q, torch.cat((k, log_f.to(k.dtype).transpose(1, 2)[..., None]), -1)

    def keys(self, k: Tensor) -> tuple[Tensor, Tensor | None]:
        k, log_f = torch.split(k, [k.shape[-1] - 1, 1], -1)  # backward: one pass over memory; two slices need five
        return k, -log_f.to(torch.promote_types(k.dtype, torch.float32)).cumsum(-2).mT  # (B, H, 1, Tk)
