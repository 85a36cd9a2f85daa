"""The activations of a forward pass.

Shapes: B batch, T positions, C = d_model, H heads, D = C / H, D' width of queries and keys, V vocabulary, L layers.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

Field = Literal["queries", "keys", "values", "z", "feedforward", "resid", "maps", "heads"]  #: what can be recorded
OLD_NAMES = {"mixed": "z", "stream": "resid"}  #: former names of fields, still accepted


class ActivationCache:
    """The activations of the last forward pass under `capture`, after edits. They keep their autograd graph, if any.

    Reading a field that is not recorded, or is not filled yet, raises AttributeError.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = frozenset((*(OLD_NAMES.get(name, name) for name in fields), "logits"))
        self._by_layer: dict[str, dict[int, Tensor]] = defaultdict(dict)

    def keep(self, name: str, layer: int, compute: Callable[[], Tensor]) -> None:
        """Records compute() as one layer of a field, if that field is recorded."""
        if name in self._fields:
            self._by_layer[name][layer] = compute()

    def detach(self) -> "ActivationCache":
        """Returns the same activations without their autograd graph."""
        detached = ActivationCache(())
        detached._fields = self._fields
        for name, layers in self._by_layer.items():
            detached._by_layer[name] = {layer: x.detach() for layer, x in layers.items()}
        return detached

    def _stack(self, name: str) -> Tensor:
        if name not in self._fields:
            raise AttributeError(f"{name!r} is not recorded; use capture(model, {name!r}, ...)")
        if name not in self._by_layer:
            raise AttributeError(f"no forward pass has filled {name!r} yet; call the model inside `with capture(...)`")
        return torch.stack(list(self._by_layer[name].values()))

    @property
    def maps(self) -> Tensor:
        """Attention weights (L, B, H, T, T), query before key; rows sum to one.

        They are computed a second time from the layer's queries and keys, because fused kernels do not return them. So
        no gradient flows from the logits to the maps.
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
        """Each head's output before the output projection, its map times its values: (L, B, H, T, D)."""
        return self._stack("z")

    @property
    def heads(self) -> Tensor:
        """Each head's part of attention's output, before dropout: (L, B, H, T, C)."""
        return self._stack("heads")

    @property
    def feedforward(self) -> Tensor:
        """The output of each feed-forward, before dropout: (L, B, T, C)."""
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
        """(B, T, V); always recorded."""
        return self._stack("logits")[0]
