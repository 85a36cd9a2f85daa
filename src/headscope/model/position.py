"""How a model knows the order of its tokens: one class per scheme.

Shapes: B batch, T positions (Tq of queries, Tk of keys), C = d_model, H heads, D = C / H.
"""

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn

from headscope.model.made_of import Order

Base = Annotated[float, Gt(0)]  #: of the frequencies of sinusoidal and rotary positions


class Position(nn.Module):
    """A scheme, with hooks that do nothing: by itself NoPE, order from the causal mask alone (Haviv et al. 2022).

    One instance serves the embedding and one each layer. A scheme overrides the hooks it needs; attention calls them
    all and asks no names. Keyword-only arguments are a scheme's options: it keeps each as an attribute of that name,
    and a checkpoint stores them.

    Args:
        d_model: C.
        n_heads: H.
        block_size: the longest sequence, T.
        layer: which layer this instance serves, from 0; None is the embedding.
    """

    def __init__(self, d_model: int, n_heads: int, block_size: int, layer: int | None = None) -> None:
        super().__init__()
        self.scale = (d_model // n_heads) ** -0.5

    def embed(self, x: Tensor, offset: int) -> Tensor:
        """Token embeddings (B, T, C), the first at position `offset`, to the same shape."""
        return x

    def rotate(self, q: Tensor, k: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        """Queries and keys (B, H, T, D) of the layer's input x (B, T, C). May widen D of both."""
        return q, k

    def bias(self, offset: int, t_q: int, t_k: int) -> Tensor | None:
        """What is added to the scaled scores, broadcast to (B, H, Tq, Tk); queries start at `offset`, keys at 0."""
        return None

    def table(self) -> Tensor | None:
        """The vectors added at each position, (T, C), for schemes that have them: a picture of the scheme."""
        return None

    def made_of(self) -> Order | None:
        """What this instance is made of, for a program that runs the model elsewhere; None: something else."""
        return Order(self.scale)


def frequencies(d: int, base: float) -> Tensor:
    """θᵢ = base^(-2i/d), i = 0 … d/2 - 1, in float64: radians per position, for every pair of channels."""
    return base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)


class Sinusoidal(Position):
    """Sines and cosines of the position, added to the embedding (Vaswani et al. 2017, section 3.5).

    PE(p, 2i) = sin(p θᵢ), PE(p, 2i+1) = cos(p θᵢ), θᵢ = base^(-2i/C).
    """

    sines: Tensor

    def __init__(
        self, d_model: int, n_heads: int, block_size: int, layer: int | None = None, *, base: Base = 10000.0
    ) -> None:
        super().__init__(d_model, n_heads, block_size, layer)
        self.base = base
        if layer is None:
            if d_model % 2:
                raise ValueError(f"sinusoidal positions pair channels: d_model={d_model} must be even")
            angles = torch.outer(torch.arange(block_size, dtype=torch.float64), frequencies(d_model, base))
            sines = torch.stack((angles.sin(), angles.cos()), -1).flatten(1)  # (T, C/2, 2) to (T, C)
            self.register_buffer("sines", sines.float(), persistent=False)

    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x + self.sines[offset : offset + x.shape[1]]

    def table(self) -> Tensor | None:
        return self.sines

    def made_of(self) -> Order | None:
        return Order(self.scale, table=getattr(self, "sines", None))


class Learned(Position):
    """A trained vector for every position, added to the embedding (Gehring et al. 2017; GPT-2)."""

    def __init__(self, d_model: int, n_heads: int, block_size: int, layer: int | None = None) -> None:
        super().__init__(d_model, n_heads, block_size, layer)
        if layer is None:
            self.vectors = nn.Embedding(block_size, d_model)

    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x + self.vectors.weight[offset : offset + x.shape[1]]

    def table(self) -> Tensor | None:
        return self.vectors.weight.detach()

    def made_of(self) -> Order | None:
        return Order(self.scale, table=self.vectors.weight.detach() if hasattr(self, "vectors") else None)


class Rotary(Position):
    """RoPE: pairs of channels of q and k turn with the position (Su et al. 2021, eq. 34), interleaved pairs.

    Scores depend on the distance alone. `base` as in `frequencies`, over the width of a head.
    """

    turns: Tensor

    def __init__(
        self, d_model: int, n_heads: int, block_size: int, layer: int | None = None, *, base: Base = 10000.0
    ) -> None:
        super().__init__(d_model, n_heads, block_size, layer)
        self.base = base
        if layer is not None:
            d = d_model // n_heads
            if d % 2:
                raise ValueError(f"rotary positions pair channels: the head width {d_model}/{n_heads}={d} must be even")
            angles = torch.outer(torch.arange(block_size, dtype=torch.float64), frequencies(d, base))  # (T, D/2)
            self.register_buffer("turns", torch.stack((angles.cos(), angles.sin()), -1).float(), persistent=False)

    def rotate(self, q: Tensor, k: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        turns = self.turns[offset : offset + q.shape[-2]]  # (T, D/2, 2), points on the unit circle

        def turn(u: Tensor) -> Tensor:
            pairs = u.float().view(*u.shape[:-1], -1, 2)  # (B, H, T, D/2, 2)
            if torch.compiler.is_compiling():  # inductor makes no code for complex numbers; eager, they are faster
                (a, b), (cos, sin) = pairs.unbind(-1), turns.unbind(-1)
                turned = torch.stack((a * cos - b * sin, a * sin + b * cos), -1)
            else:
                turned = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(turns))
            return turned.flatten(-2).to(u.dtype)

        return turn(q), turn(k)

    def made_of(self) -> Order | None:
        return Order(self.scale, turns=getattr(self, "turns", None))


class ALiBi(Position):
    """A penalty on the distance, steeper from head to head: -m (i - j) (Press et al. 2022, section 3)."""

    slopes: Tensor

    def __init__(self, d_model: int, n_heads: int, block_size: int, layer: int | None = None) -> None:
        super().__init__(d_model, n_heads, block_size, layer)
        self.block_size = block_size
        self.register_buffer("slopes", self.slopes_of(n_heads), persistent=False)

    @staticmethod
    def slopes_of(n_heads: int) -> Tensor:
        """m of every head, (H,): 2^(-8h/n), and for n no power of two every other slope of the next power behind."""
        whole = 2 ** (n_heads.bit_length() - 1)  # the largest power of two in n_heads
        slopes = [2 ** (-8 * h / whole) for h in range(1, whole + 1)]
        slopes += [2 ** (-4 * h / whole) for h in range(1, 2 * whole, 2)]
        return torch.tensor(slopes[:n_heads])

    def bias(self, offset: int, t_q: int, t_k: int) -> Tensor | None:
        i = torch.arange(offset, offset + t_q, device=self.slopes.device)
        j = torch.arange(t_k, device=self.slopes.device)
        return -self.slopes[:, None, None] * (i[:, None] - j)  # (H, Tq, Tk)

    def made_of(self) -> Order | None:
        return Order(self.scale, bias=-self.slopes[:, None] * torch.arange(self.block_size))  # (H, T)
