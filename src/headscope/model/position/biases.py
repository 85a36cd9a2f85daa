"""Schemes that add a number to each score.

Shapes: B batch, T positions (Tq of queries, Tk of keys), C = d_model, H heads, D = C / H.
"""

import math
from typing import Annotated, cast

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from headscope.model.made_of import Order
from headscope.model.position.base import Position


class ALiBi(Position):
    """A penalty on the distance, steeper from head to head: -m (i - j) (Press et al. 2022, section 3).

    What is the same for all keys of a query changes no weight, so m j alone is added, one number a key.
    """

    slopes: Tensor

    def __init__(self, d_model: int, n_heads: int, block_size: int, layer: int | None = None) -> None:
        super().__init__(d_model, n_heads, block_size, layer)
        self.register_buffer("slopes", self.slopes_of(n_heads), persistent=False)

    @staticmethod
    def slopes_of(n_heads: int) -> Tensor:
        """m of every head, (H,): 2^(-8h/n), and for n no power of two every other slope of the next power behind."""
        whole = 2 ** (n_heads.bit_length() - 1)  # the largest power of two in n_heads
        slopes = [2 ** (-8 * h / whole) for h in range(1, whole + 1)]
        slopes += [2 ** (-4 * h / whole) for h in range(1, 2 * whole, 2)]
        return torch.tensor(slopes[:n_heads])

    def bias(self, offset: int, t_q: int, t_k: int) -> Tensor | None:
        return self.slopes[:, None, None] * torch.arange(t_k, device=self.slopes.device)  # (H, 1, Tk)

    def made_of(self) -> Order | None:
        return Order(self.scale, bias=-self.slopes[:, None] * torch.arange(self.block_size))  # (H, T)


def by_distance(values: Tensor, offset: int, t_q: int) -> Tensor:
    """Biases at the distances 0 … offset + Tq - 1, (H, Tk), to those of queries i and keys j, (H, Tq, Tk)."""
    t_k = values.shape[1]
    i, j = torch.arange(offset, offset + t_q, device=values.device), torch.arange(t_k, device=values.device)
    return values[:, (i[:, None] - j).clamp_min(0)]  # later keys are hidden, whatever they have


class T5(Position):
    """A learned bias for each bucket of distances, shared by all layers (Raffel et al. 2020, section 2.1).

    Half of the buckets hold one distance each; from there to `max_distance` they widen logarithmically, and the last
    holds everything beyond, so that it goes on past the trained length. Scores stay scaled by 1/√D.

    Args:
        d_model: C.
        n_heads: H.
        block_size: T.
        layer: as in `Position`.
        buckets: how many.
        max_distance: in tokens, from which on distances are told apart no more.
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
        super().__init__(d_model, n_heads, block_size, layer)
        if max_distance <= buckets // 2:
            raise ValueError(f"max_distance={max_distance} must exceed half of the {buckets} buckets")
        self.buckets, self.max_distance = buckets, max_distance
        if layer is not None:
            self.biases = nn.Parameter(torch.zeros(n_heads, buckets))

    def share(self, first: Position) -> None:
        self.biases = cast(T5, first).biases

    def bucket(self, distance: Tensor) -> Tensor:
        """Distances, from 0, to the numbers of their buckets."""
        exact = self.buckets // 2
        # In float64, where the ends of buckets are exact: a distance of 64 is 2/3 of the way from 16 to 128.
        logs = (distance.clamp_min(1).double() / exact).log() / math.log(self.max_distance / exact)
        wide = exact + (logs * (self.buckets - exact)).clamp_min(0).long()
        return torch.where(distance < exact, distance, wide.clamp_max(self.buckets - 1))

    def at_distances(self, n: int) -> Tensor:
        """The biases at the distances 0 … n - 1, (H, n)."""
        return self.biases[:, self.bucket(torch.arange(n, device=self.biases.device))]

    def bias(self, offset: int, t_q: int, t_k: int) -> Tensor | None:
        return by_distance(self.at_distances(t_k), offset, t_q)

    def made_of(self) -> Order | None:
        return Order(self.scale, bias=self.at_distances(self.block_size).detach() if hasattr(self, "biases") else None)


class Kerple(Position):
    """A penalty that grows with the logarithm of the distance: -r₁ ln(1 + r₂ (i - j)) (Chi et al. 2022, eq. 5).

    r₁ and r₂ are learned for every head and stay positive: their logarithms are the parameters. They start spread
    evenly over the ranges that the paper draws them from, r₁ up to 2 and r₂ up to 1.
    """

    def __init__(self, d_model: int, n_heads: int, block_size: int, layer: int | None = None) -> None:
        super().__init__(d_model, n_heads, block_size, layer)
        if layer is not None:
            spread = torch.arange(1, n_heads + 1) / n_heads  # (H,)
            self.log_r1 = nn.Parameter((2 * spread).log())
            self.log_r2 = nn.Parameter(spread.log())

    def at_distances(self, n: int) -> Tensor:
        """The biases at the distances 0 … n - 1, (H, n)."""
        distance = torch.arange(n, device=self.log_r1.device)
        return -self.log_r1.exp()[:, None] * torch.log1p(self.log_r2.exp()[:, None] * distance)

    def bias(self, offset: int, t_q: int, t_k: int) -> Tensor | None:
        return by_distance(self.at_distances(t_k), offset, t_q)

    def made_of(self) -> Order | None:
        return Order(self.scale, bias=self.at_distances(self.block_size).detach() if hasattr(self, "log_r1") else None)


class Forgetting(Position):
    """FoX: each head forgets by gates that the tokens set, Σ log σ(f_l) over l = j+1 … i (Lin et al. 2025, eq. 4).

    f = W x + b + 5 of the layer's input, b from 0: at first a head keeps 99.3% a token. With C_j the sum up to j, the
    bias is C_i - C_j. Adding -C_j alone gives the same weights: one number a key.
    """

    def __init__(self, d_model: int, n_heads: int, block_size: int, layer: int | None = None) -> None:
        super().__init__(d_model, n_heads, block_size, layer)
        if layer is not None:
            self.gate = nn.Linear(d_model, n_heads)

    def rotate(self, q: Tensor, k: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, enabled=False):  # few numbers, which are summed up: in fp32, without copies
            f = F.logsigmoid(self.gate(x.to(self.gate.weight.dtype)) + 5)  # (B, T, H)
        return q, torch.cat((k, f.to(k.dtype).transpose(1, 2)[..., None]), -1)  # keys are cached with their gates

    def keys(self, k: Tensor) -> tuple[Tensor, Tensor | None]:
        k, f = torch.split(k, [k.shape[-1] - 1, 1], -1)  # one pass back, where two slices would take five
        return k, -f.to(torch.promote_types(k.dtype, torch.float32)).cumsum(-2).mT  # (B, H, 1, Tk)

    def made_of(self) -> Order | None:
        return None if hasattr(self, "gate") else Order(self.scale)
