"""Schemes that rotate queries and keys by an angle that grows with the position.

Shapes: B batch, T positions, C = d_model, H heads, D = C / H, R rotating channels of a head.
"""

import math
from collections.abc import Callable
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from headscope.model.position.base import Base, Position, frequencies


def interpolate(d: int, base: float, trained: int, s: float) -> tuple[Tensor, float]:
    """Divides positions by s, so that every angle stays in the range of training (Chen et al. 2023, eq. 3)."""
    return frequencies(d, base) / s, 1.0


def ntk(d: int, base: float, trained: int, s: float) -> tuple[Tensor, float]:
    """Multiplies the base by s^(d/(d-2)): interpolates the slowest pair and keeps the fastest pair (bloc97 2023)."""
    return frequencies(d, base * s ** (d / max(d - 2, 1))), 1.0


def yarn(d: int, base: float, trained: int, s: float) -> tuple[Tensor, float]:
    """Keeps pairs that rotate often within the trained length, and interpolates slow pairs (Peng et al. 2023, sec. 3).

    Between a pair with 32 rotations and a pair with one, a linear ramp blends the old and the interpolated frequency.
    Queries and keys are multiplied by 0.1 ln s + 1, which preserves the entropy of the attention weights.
    """

    def pair_with(turns: float) -> float:
        return d * math.log(trained / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = max(math.floor(pair_with(32)), 0), min(math.ceil(pair_with(1)), d - 1)
    ramp = ((torch.arange(d // 2, dtype=torch.float64) - low) / max(high - low, 1e-3)).clamp(0, 1)
    theta = frequencies(d, base)
    return theta / s * ramp + theta * (1 - ramp), 0.1 * math.log(s) + 1.0


#: Methods for sequences beyond the trained length. Each takes R, the base, the trained length and the factor s by which
#: the sequence is longer, and returns θ (R/2,) in radians per position, and a factor on queries and keys.
EXTENSIONS: dict[str, Callable[[int, float, int, float], tuple[Tensor, float]]] = {
    "interpolate": interpolate,
    "ntk": ntk,
    "yarn": yarn,
}


def rotations(theta: Tensor, block_size: int) -> Tensor:
    """Returns cosine and sine of p θ at each position p, (T, R/2, 2), for θ (R/2,)."""
    angles = torch.outer(torch.arange(block_size, dtype=torch.float64), theta)  # (T, R/2)
    return torch.stack((angles.cos(), angles.sin()), -1).float()


class Rotary(Position):
    """RoPE: rotates pairs of neighbouring channels of q and k by an angle p θ (Su et al. 2021, eq. 34).

    The score of a query and a key then depends only on their content and their distance. For `base`, see `frequencies`.
    """

    extension_methods = ("as trained", *EXTENSIONS)
    width = 0  #: R; stays 0 in the embedding's instance
    cos_sin: Tensor

    def __init__(
        self, d_model: int, n_heads: int, block_size: int, layer: int | None = None, *, base: Base = 10000.0
    ) -> None:
        self.base = base
        super().__init__(d_model, n_heads, block_size, layer)

    def init_layer(self, layer: int) -> None:
        self.width = self.channels(self.d_model // self.n_heads)
        if self.width % 2:
            head = f"the head width {self.d_model}/{self.n_heads}={self.width}"
            raise ValueError(f"rotary positions rotate pairs of channels, so {head} must be even")
        cos_sin = rotations(frequencies(self.width, self.base), self.block_size)
        self.register_buffer("cos_sin", cos_sin, persistent=False)

    def channels(self, d: int) -> int:
        """Returns R for a head of width d; the first R channels rotate in this layer."""
        return d

    def queries_and_keys(self, q: Tensor, k: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        cos_sin = self.cos_sin[offset : offset + q.shape[-2]]  # (T, R/2, 2)

        def rotate(u: Tensor) -> Tensor:
            pairs = u.float().view(*u.shape[:-1], -1, 2)  # (B, H, T, R/2, 2)
            if torch.compiler.is_compiling():  # inductor cannot compile complex numbers, which are faster in eager mode
                (a, b), (cos, sin) = pairs.unbind(-1), cos_sin.unbind(-1)
                rotated = torch.stack((a * cos - b * sin, a * sin + b * cos), -1)
            else:
                rotated = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(cos_sin))
            return rotated.flatten(-2).to(u.dtype)

        return rotate(q), rotate(k)

    def stretch(self, block_size: int, method: str = "as trained") -> None:
        trained = self.block_size
        super().stretch(block_size, method)
        if self.width:
            theta, factor = frequencies(self.width, self.base), 1.0
            if method != "as trained" and block_size > trained:
                theta, factor = EXTENSIONS[method](self.width, self.base, trained, block_size / trained)
            self.cos_sin = factor * rotations(theta, block_size).to(self.cos_sin.device)


class PartialRotary(Rotary):
    """RoPE on the first channels of each head; the others carry content only (GPT-NeoX: Black et al. 2022, sec. 2.1).

    A `fraction` of a head's channels rotates, rounded down to an even number. With `key_offset`, the other channels use
    the key of the previous token; the first token uses its own. A query can then match the token *before* a key, which
    otherwise needs a head in a lower layer. One layer is therefore enough for induction (modded-nanogpt, 2025).
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

    def channels(self, d: int) -> int:
        width = int(self.fraction * d) // 2 * 2
        if not width:
            head = f"the head width {self.d_model}/{self.n_heads}={d}"
            raise ValueError(f"fraction={self.fraction} of {head} is less than one pair of channels; increase it")
        return width

    def queries_and_keys(self, q: Tensor, k: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        rotated = super().queries_and_keys(q[..., : self.width], k[..., : self.width], x, offset)
        q, k = (torch.cat((r, u[..., self.width :]), -1) for r, u in zip(rotated, (q, k), strict=True))
        return q, k

    def keys(self, k: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.key_offset:
            content = k[..., self.width :]  # (B, H, Tk, D - R)
            previous = torch.cat((content[..., :1, :], content[..., :-1, :]), -2)
            k = torch.cat((k[..., : self.width], previous), -1)
        return k, None


class RotaryAndNone(Rotary):
    """RoPE in all layers except n-1, 2n-1 …, which have no positions; n is `every` (Yang et al. 2025, RNoPE)."""

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
        super().__init__(d_model, n_heads, block_size, layer, base=base)

    def channels(self, d: int) -> int:
        return 0 if self.layer is None or (self.layer + 1) % self.every == 0 else d

    def queries_and_keys(self, q: Tensor, k: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        return super().queries_and_keys(q, k, x, offset) if self.width else (q, k)


class Polar(Position):
    """PoPE: the content sets magnitudes, the position sets phases (Gopalakrishnan et al. 2025, eqs. 5-7).

    The score is Σ softplus(q_c) softplus(k_c) cos((j - i) θ_c + δ_c), θ_c = base^(-c/D), c = 0 … D - 1. Each head
    learns its own phases δ, which start at 0 and are limited to [-2π, 0]. Queries and keys become 2D wide, with a
    cosine and a sine for each channel.
    """

    no_weight_decay = ("phases",)
    cos_sin: Tensor

    def __init__(
        self, d_model: int, n_heads: int, block_size: int, layer: int | None = None, *, base: Base = 10000.0
    ) -> None:
        self.base = base
        super().__init__(d_model, n_heads, block_size, layer)

    def init_layer(self, layer: int) -> None:
        self.phases = nn.Parameter(torch.zeros(self.n_heads, self.d_model // self.n_heads))
        self.register_buffer("cos_sin", self._rotations(), persistent=False)  # (T, D, 2)

    def _rotations(self) -> Tensor:
        return rotations(frequencies(2 * self.phases.shape[1], self.base), self.block_size)

    def queries_and_keys(self, q: Tensor, k: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        cos, sin = self.cos_sin[offset : offset + q.shape[-2]].unbind(-1)  # (T, D) each
        phase = self.phases.clamp(-2 * math.pi, 0)[:, None]  # (H, 1, D)
        cos_phase, sin_phase = phase.cos(), phase.sin()
        u, w = F.softplus(q.float()), F.softplus(k.float())  # (B, H, T, D) each
        q = torch.cat((u * cos, u * sin), -1)  # (B, H, T, 2D)
        k = torch.cat((w * (cos * cos_phase - sin * sin_phase), w * (sin * cos_phase + cos * sin_phase)), -1)
        return q, k

    def stretch(self, block_size: int, method: str = "as trained") -> None:
        super().stretch(block_size, method)
        if self.layer is not None:
            self.cos_sin = self._rotations().to(self.cos_sin.device)
