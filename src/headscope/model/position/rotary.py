"""Schemes that turn queries and keys by an angle that grows with the position.

Shapes: B batch, T positions, C = d_model, H heads, D = C / H, R channels of a head that turn.
"""

import math
from collections.abc import Callable
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from headscope.model.made_of import Order
from headscope.model.position.base import Position, frequencies

Base = Annotated[float, Gt(0)]  #: of the frequencies, as in `frequencies`


def interpolated(d: int, base: float, trained: int, s: float) -> tuple[Tensor, float]:
    """Positions divided by s: every angle is one that was seen in training (Chen et al. 2023, eq. 3)."""
    return frequencies(d, base) / s, 1.0


def ntk(d: int, base: float, trained: int, s: float) -> tuple[Tensor, float]:
    """Another base, base · s^(d/(d-2)): the slowest pair is interpolated, the fastest kept (bloc97 2023)."""
    return frequencies(d, base * s ** (d / max(d - 2, 1))), 1.0


def yarn(d: int, base: float, trained: int, s: float) -> tuple[Tensor, float]:
    """Pairs that turn often in the trained length are kept, slow ones interpolated (Peng et al. 2023, section 3).

    The ramp between them runs from the pair that turns 32 times to the one that turns once. Queries and keys grow by
    0.1 ln s + 1, which keeps the entropy of the weights.
    """

    def pair(turns: float) -> float:
        return d * math.log(trained / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = max(math.floor(pair(32)), 0), min(math.ceil(pair(1)), d - 1)
    ramp = ((torch.arange(d // 2, dtype=torch.float64) - low) / max(high - low, 1e-3)).clamp(0, 1)
    theta = frequencies(d, base)
    return theta / s * ramp + theta * (1 - ramp), 0.1 * math.log(s) + 1.0


#: Ways beyond the trained length. Each takes R, the base, that length and the factor s, and returns θ (R/2,) in radians
#: per position, and a factor on queries and keys.
BEYOND: dict[str, Callable[[int, float, int, float], tuple[Tensor, float]]] = {
    "interpolate": interpolated,
    "ntk": ntk,
    "yarn": yarn,
}


def turning(theta: Tensor, block_size: int) -> Tensor:
    """Points on the unit circle for θ (R/2,) at each position, (T, R/2, 2)."""
    angles = torch.outer(torch.arange(block_size, dtype=torch.float64), theta)  # (T, R/2)
    return torch.stack((angles.cos(), angles.sin()), -1).float()


class Rotary(Position):
    """RoPE: pairs of channels of q and k turn with the position (Su et al. 2021, eq. 34), interleaved pairs.

    Scores depend on the distance alone. `base` as in `frequencies`, over the channels that turn.
    """

    extension_methods = ("as trained", *BEYOND)
    cos_sin: Tensor

    def __init__(
        self, d_model: int, n_heads: int, block_size: int, layer: int | None = None, *, base: Base = 10000.0
    ) -> None:
        super().__init__(d_model, n_heads, block_size, layer)
        self.base = base
        self.width = self.channels(d_model // n_heads) if layer is not None else 0  # R
        if self.width:
            if self.width % 2:
                raise ValueError(
                    f"rotary positions pair channels: the head width {d_model}/{n_heads}={self.width} must be even"
                )
            self.register_buffer("cos_sin", turning(frequencies(self.width, base), block_size), persistent=False)

    def channels(self, d: int) -> int:
        """How many channels of a head of width d turn, R: the first ones."""
        return d

    def rotate(self, q: Tensor, k: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        cos_sin = self.cos_sin[offset : offset + q.shape[-2]]  # (T, R/2, 2)

        def turn(u: Tensor) -> Tensor:
            pairs = u.float().view(*u.shape[:-1], -1, 2)  # (B, H, T, R/2, 2)
            if torch.compiler.is_compiling():  # inductor makes no code for complex numbers; eager, they are faster
                (a, b), (cos, sin) = pairs.unbind(-1), cos_sin.unbind(-1)
                turned = torch.stack((a * cos - b * sin, a * sin + b * cos), -1)
            else:
                turned = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(cos_sin))
            return turned.flatten(-2).to(u.dtype)

        return turn(q), turn(k)

    def stretch(self, block_size: int, method: str = "as trained") -> None:
        trained = self.block_size
        super().stretch(block_size, method)
        if self.width:
            theta, factor = frequencies(self.width, self.base), 1.0
            if method != "as trained" and block_size > trained:
                theta, factor = BEYOND[method](self.width, self.base, trained, block_size / trained)
            self.cos_sin = factor * turning(theta, block_size).to(self.cos_sin.device)

    def made_of(self) -> Order | None:
        return Order(self.scale, cos_sin=getattr(self, "cos_sin", None))


class PartialRotary(Rotary):
    """Only the first channels of each head turn (GPT-NeoX: Black et al. 2022, section 2.1); the rest carries content.

    With the key offset, those that do not turn meet the key of the token before: a query then finds what *followed* an
    earlier token without a head in a layer below, so that one layer can do induction (modded-nanogpt, 2025).

    Args:
        d_model: C.
        n_heads: H.
        block_size: T.
        layer: as in `Position`.
        base: of the frequencies, over the channels that turn.
        fraction: of a head's channels that turn, rounded down to an even number.
        key_offset: channels that do not turn use the key of the token before; the first token uses its own.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        block_size: int,
        layer: int | None = None,
        *,
        base: Base = 10000.0,
        fraction: Annotated[float, Gt(0), Le(1)] = 0.5,
        key_offset: bool = False,
    ) -> None:
        self.fraction, self.key_offset = fraction, key_offset
        super().__init__(d_model, n_heads, block_size, layer, base=base)
        self.d = d_model // n_heads
        if layer is not None and not self.width:
            raise ValueError(f"a fraction of {fraction} of the head width {d_model}/{n_heads}={self.d} is no pair")

    def channels(self, d: int) -> int:
        return int(self.fraction * d) // 2 * 2

    def rotate(self, q: Tensor, k: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        turned = super().rotate(q[..., : self.width], k[..., : self.width], x, offset)
        q, k = (torch.cat((t, u[..., self.width :]), -1) for t, u in zip(turned, (q, k), strict=True))
        return q, k

    def keys(self, k: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.key_offset:
            still = k[..., self.width :]  # (B, H, Tk, D - R)
            before = torch.cat((still[..., :1, :], still[..., :-1, :]), -2)
            k = torch.cat((k[..., : self.width], before), -1)
        return k, None

    def made_of(self) -> Order | None:
        if self.key_offset:
            return None
        if not self.width:
            return Order(self.scale)
        still = self.cos_sin.new_tensor((1.0, 0.0)).expand(len(self.cos_sin), (self.d - self.width) // 2, 2)
        return Order(self.scale, cos_sin=torch.cat((self.cos_sin, still), 1)) if self.d % 2 == 0 else None


class RotaryAndNone(Rotary):
    """RoPE in most layers, nothing in every nth: those look at content alone (Yang et al. 2025, RNoPE).

    Args:
        d_model: C.
        n_heads: H.
        block_size: T.
        layer: as in `Position`; layers every-1, 2·every-1 … have no positions.
        base: of the frequencies.
        every: n.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        block_size: int,
        layer: int | None = None,
        *,
        base: Base = 10000.0,
        every: Annotated[int, Ge(2)] = 2,
    ) -> None:
        self.every = every
        self.turned = layer is not None and (layer + 1) % every != 0
        super().__init__(d_model, n_heads, block_size, layer, base=base)

    def channels(self, d: int) -> int:
        return d if self.turned else 0

    def rotate(self, q: Tensor, k: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        return super().rotate(q, k, x, offset) if self.turned else (q, k)


class Polar(Position):
    """PoPE: channels give magnitudes, positions give phases (Gopalakrishnan et al. 2025, eqs. 5-7).

    The score is Σ softplus(q_c) softplus(k_c) cos((j - i) θ_c + δ_c), θ_c = base^(-c/D), c = 0 … D - 1. Each head
    learns its own δ, in [-2π, 0], from 0. Queries and keys become 2D wide: a cosine and a sine a channel.
    """

    no_weight_decay = ("phases",)
    cos_sin: Tensor

    def __init__(
        self, d_model: int, n_heads: int, block_size: int, layer: int | None = None, *, base: Base = 10000.0
    ) -> None:
        super().__init__(d_model, n_heads, block_size, layer)
        self.base = base
        if layer is not None:
            d = d_model // n_heads
            self.register_buffer("cos_sin", turning(frequencies(2 * d, base), block_size), persistent=False)
            self.phases = nn.Parameter(torch.zeros(n_heads, d))

    def rotate(self, q: Tensor, k: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        cos, sin = self.cos_sin[offset : offset + q.shape[-2]].unbind(-1)  # (T, D) each
        shift = self.phases.clamp(-2 * math.pi, 0)[:, None]  # (H, 1, D)
        u, w = F.softplus(q.float()), F.softplus(k.float())  # (B, H, T, D) each
        kept, crossed = shift.cos(), shift.sin()
        q = torch.cat((u * cos, u * sin), -1)  # (B, H, T, 2D)
        k = torch.cat((w * (cos * kept - sin * crossed), w * (sin * kept + cos * crossed)), -1)
        return q, k

    def stretch(self, block_size: int, method: str = "as trained") -> None:
        super().stretch(block_size, method)
        if hasattr(self, "cos_sin"):
            longer = turning(frequencies(2 * self.phases.shape[1], self.base), block_size)
            self.cos_sin = longer.to(self.cos_sin.device)

    def made_of(self) -> Order | None:
        return None if hasattr(self, "cos_sin") else Order(self.scale)
