"""What a forward pass showed.

Shapes: B batch, T positions, C = d_model, H heads, D = C / H, D' width of queries and keys, V vocabulary, L layers.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

What = Literal["queries", "keys", "values", "z", "feedforward", "resid", "maps", "heads"]  #: can be recorded
OLD_NAMES = {"mixed": "z", "stream": "resid"}  #: former names of fields, still accepted


class ActivationCache:
    """What the last forward pass under `capture` showed, after edits; with its graph where gradients are on.

    A field that was not asked for, or that no pass has filled, raises AttributeError.
    """

    def __init__(self, what: Sequence[What]) -> None:
        self._fields = frozenset((*(OLD_NAMES.get(name, name) for name in what), "logits"))
        self._by_layer: dict[str, dict[int, Tensor]] = defaultdict(dict)

    def keep(self, name: str, layer: int, x: Callable[[], Tensor]) -> None:
        """Records x() as a layer of a field, if that was asked for."""
        if name in self._fields:
            self._by_layer[name][layer] = x()

    def _stack(self, name: str) -> Tensor:
        if name not in self._fields:
            raise AttributeError(f"{name!r} was not asked for: capture(model, {name!r}, ...)")
        if name not in self._by_layer:
            raise AttributeError(f"no forward pass has shown {name!r} yet: call the model inside `with capture(...)`")
        return torch.stack(list(self._by_layer[name].values()))

    @property
    def maps(self) -> Tensor:
        """Attention weights (L, B, H, T, T), query before key, rows sum to one; of the q and k that the layer used.

        Computed beside the pass, whose kernels do not return them: no gradient runs from the logits to them.
        """
        return self._stack("maps")

    @property
    def queries(self) -> Tensor:
        """(L, B, H, T, D'), with positions applied."""
        return self._stack("queries")

    @property
    def keys(self) -> Tensor:
        """(L, B, H, T, D'), with positions applied."""
        return self._stack("keys")

    @property
    def values(self) -> Tensor:
        """(L, B, H, T, D)."""
        return self._stack("values")

    @property
    def z(self) -> Tensor:
        """Each head's output before the output projection: its values, mixed by its map. (L, B, H, T, D)."""
        return self._stack("z")

    @property
    def heads(self) -> Tensor:
        """What each head writes into the stream, before dropout: (L, B, H, T, C). Their sum is attention's output."""
        return self._stack("heads")

    @property
    def feedforward(self) -> Tensor:
        """What each feed-forward writes into the stream, before dropout: (L, B, T, C)."""
        return self._stack("feedforward")

    @property
    def resid(self) -> Tensor:
        """The residual stream before each block and after the last, (L + 1, B, T, C)."""
        return self._stack("resid")

    @property
    def mixed(self) -> Tensor:
        """The former name of `z`."""
        return self.z

    @property
    def stream(self) -> Tensor:
        """The former name of `resid`."""
        return self.resid

    @property
    def logits(self) -> Tensor:
        """(B, T, V); always there."""
        return self._stack("logits")[0]
