"""What a positional scheme may do, and the scheme that does nothing.

Shapes: B batch, T positions (Tq of queries, Tk of keys), C = d_model, H heads, D = C / H.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from headscope.model.made_of import Order


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

    no_weight_decay: ClassVar[tuple[str, ...]] = ()  #: names of its matrices that weight decay leaves alone
    extension_methods: ClassVar[tuple[str, ...]] = (
        "as trained",
    )  #: how it can go on beyond the block size, for `stretch`

    def __init__(self, d_model: int, n_heads: int, block_size: int, layer: int | None = None) -> None:
        super().__init__()
        self.scale = (d_model // n_heads) ** -0.5
        self.block_size = block_size

    def share(self, first: "Position") -> None:
        """Called on the instance of every later layer with that of the first: to take over its parameters."""

    def embed(self, x: Tensor, offset: int) -> Tensor:
        """Token embeddings (B, T, C), the first at position `offset`, to the same shape."""
        return x

    def rotate(self, q: Tensor, k: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        """Queries and keys (B, H, T, D) of the layer's input x (B, T, C). May widen D. A cache keeps the keys."""
        return q, k

    def keys(self, k: Tensor) -> tuple[Tensor, Tensor | None]:
        """All keys so far, as `rotate` returned them, to the keys that queries meet and a further bias or None.

        Args:
            k: (B, H, Tk, D'). Called anew for every query, so that nothing has to be remembered elsewhere.

        Returns:
            Keys as wide as queries, and what is added to the scaled scores, broadcast to (B, H, Tq, Tk).
        """
        return k, None

    def bias(self, offset: int, t_q: int, t_k: int) -> Tensor | None:
        """What is added to the scaled scores, broadcast to (B, H, Tq, Tk); queries start at `offset`, keys at 0.

        What is the same for all keys of a query changes no weight. A bias that comes in the shape (..., 1, Tk), one
        number a key, keeps the fused causal kernel.
        """
        return None

    def stretch(self, block_size: int, method: str = "as trained") -> None:
        """Makes a trained scheme ready for a longer context.

        Args:
            block_size: the new one, in tokens.
            method: one of `extension_methods`.

        Raises:
            ValueError: the scheme ends with its training length; a method that it does not know.
        """
        if method not in self.extension_methods:
            raise ValueError(
                f"{type(self).__name__} cannot go on by {method!r}; it can by: {', '.join(self.extension_methods)}"
            )
        self.block_size = block_size

    def table(self) -> Tensor | None:
        """The vectors added at each position, (T, C), for schemes that have them: a picture of the scheme."""
        return None

    def made_of(self) -> Order | None:
        """What this instance is made of, for a program that runs the model elsewhere; None: something else."""
        return Order(self.scale)


def frequencies(d: int, base: float) -> Tensor:
    """θᵢ = base^(-2i/d), i = 0 … d/2 - 1, in float64: radians per position, for every pair of channels."""
    return base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
