"""The base class of positional schemes, with all hooks that a scheme can override.

Shapes: B batch, T positions (Tq of queries, Tk of keys), C = d_model, H heads, D = C / H.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from torch import Tensor, nn

Base = Annotated[float, Gt(0)]  #: the type of `base` in `frequencies`
OLD_NAMES = {"rotate": "queries_and_keys", "ways": "extension_methods", "undecayed": "no_weight_decay"}


def accept_old_names(cls: type, names: Mapping[str, str]) -> None:
    """Makes each hook that a new subclass overrides available under both names; `names` maps old names to new ones.

    Called from `__init_subclass__`, so that `super()` works under both names.
    """
    for old, new in names.items():
        # The first class in the method resolution order that defines one of the names has the current definition.
        own = next(vars(c) for c in cls.__mro__ if old in vars(c) or new in vars(c))
        if new not in own:
            setattr(cls, new, own[old])
        elif old not in own:
            setattr(cls, old, own[new])


class Position(nn.Module):
    """No positions (NoPE): only the causal mask shows the order (Haviv et al. 2022). The base class of all schemes.

    A model has one instance for its embedding and one for every layer. A scheme changes either the embedding or the
    layers, and overrides these hooks:

    - embedding: `init_embedding` creates weights and tables, `embed` adds vectors to the token embeddings.
    - layer: `init_layer` creates weights and tables, `queries_and_keys`, `keys` and `bias` change the attention scores.

    Keyword-only arguments of a constructor are the options of the scheme, which checkpoints store. A constructor sets
    each option as an attribute of the same name and then calls `super().__init__`, which calls one of the `init_`
    hooks. A subclass documents only its options. `layer` counts from 0, and is None in the embedding's instance.
    """

    no_weight_decay: ClassVar[tuple[str, ...]] = ()  #: names of the scheme's matrices that are exempt from weight decay
    extension_methods: ClassVar[tuple[str, ...]] = ("as trained",)  #: allowed values of `method` in `stretch`
    undecayed, ways = no_weight_decay, extension_methods  #: the old names

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        accept_old_names(cls, OLD_NAMES)

    def __init__(self, d_model: int, n_heads: int, block_size: int, layer: int | None = None) -> None:
        super().__init__()
        self.d_model, self.n_heads, self.block_size, self.layer = d_model, n_heads, block_size, layer
        self.scale = (d_model // n_heads) ** -0.5  #: factor on the scores q·k
        if layer is None:
            self.init_embedding()
        else:
            self.init_layer(layer)

    def init_embedding(self) -> None:
        """Creates weights and tables of the embedding's instance."""

    def init_layer(self, layer: int) -> None:
        """Creates weights and tables of a layer's instance."""

    def share(self, first: "Position") -> None:
        """Takes shared parameters from the first layer's instance. Called on the instance of every layer."""

    def embed(self, x: Tensor, offset: int) -> Tensor:
        """Adds positions to token embeddings (B, T, C), the first of which is at position `offset`."""
        return x

    def queries_and_keys(self, q: Tensor, k: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        """Maps queries and keys (B, H, T, D) to (B, H, T, D'), with positions applied, starting at `offset`.

        x (B, T, C) is the input of the attention layer. The returned keys are cached. They may be wider than the
        queries if `keys` removes the additional channels.
        """
        return q, k

    rotate = queries_and_keys  #: the old name

    def keys(self, k: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns the final keys, by which queries are multiplied, and a bias that depends on the keys, or None.

        k (B, H, Tk, D') holds all keys that `queries_and_keys` returned. The keys returned here are as wide as the
        queries. The bias is added to the scaled scores, broadcast to (B, H, Tq, Tk).
        """
        return k, None

    def bias(self, offset: int, t_q: int, t_k: int) -> Tensor | None:
        """Returns a bias that is added to the scaled scores, broadcast to (B, H, Tq, Tk), or None.

        The first query is at `offset`, the first key at 0. Softmax ignores a number that is added to all scores of one
        query. A bias with one number per key, (..., 1, Tk), is faster, because it allows PyTorch's fused causal kernel.
        """
        return None

    def stretch(self, block_size: int, method: str = "as trained") -> None:
        """Prepares a trained scheme for sequences of block_size tokens by one of the `extension_methods`.

        Raises ValueError if the scheme is limited to its training length, or lacks the method.
        """
        if method not in self.extension_methods:
            allowed = ", ".join(self.extension_methods)
            raise ValueError(f"{type(self).__name__} has no extension method {method!r}; it has: {allowed}")
        self.block_size = block_size

    def table(self) -> Tensor | None:
        """Returns the vectors (T, C) that the embedding's instance adds, for plots; None if it adds none."""
        return None


def frequencies(d: int, base: float) -> Tensor:
    """Returns θᵢ = base^(-2i/d), i = 0 … d/2 - 1, in float64: radians per position for each pair of channels."""
    return base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
