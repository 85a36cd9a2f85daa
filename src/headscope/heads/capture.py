"""Records and changes the activations of a forward pass, with forward hooks on the unmodified model.

Shapes: B batch, T positions, C = d_model, H heads, D = C / H, D' width of queries and keys, V vocabulary, L layers.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

from headscope.model.attention import MultiHeadAttention, attention_weights
from headscope.model.transformer import TransformerLM

Point = Literal["queries", "keys", "values", "z", "feedforward", "resid"]  #: tensors that can be edited
Field = Literal[Point, "maps", "heads"]  #: tensors that can be recorded
OLD_NAMES = {"mixed": "z", "stream": "resid"}  #: former names of fields, still accepted


class ActivationCache:
    """The activations of the last forward pass under `capture`, after edits. They keep their autograd graph.

    Reading a field raises AttributeError if the field is not recorded, or before a forward pass.
    """

    queries: Tensor  #: (L, B, H, T, D'), with positions applied
    keys: Tensor  #: (L, B, H, T, D'), with positions applied
    values: Tensor  #: (L, B, H, T, D)
    z: Tensor  #: each head's output before the output projection (maps @ values): (L, B, H, T, D)
    heads: Tensor  #: each head's contribution to the output of attention, before dropout: (L, B, H, T, C)
    feedforward: Tensor  #: the output of each feed-forward layer, before dropout: (L, B, T, C)
    resid: Tensor  #: the residual stream before each block and after the last: (L + 1, B, T, C)
    logits: Tensor  #: (B, T, V); always recorded
    #: Attention weights (L, B, H, T, T), indexed [query, key]; rows sum to one. They are computed again from queries
    #: and keys, because fused kernels do not return them. The logits therefore have no gradient with respect to the
    #: maps.
    maps: Tensor
    mixed: Tensor  #: the former name of `z`
    stream: Tensor  #: the former name of `resid`

    _fields: frozenset[str] = frozenset()

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = frozenset((*(OLD_NAMES.get(name, name) for name in fields), "logits"))
        self._by_layer: dict[str, dict[int, Tensor]] = defaultdict(dict)

    def __getattr__(self, name: str) -> Tensor:
        name = OLD_NAMES.get(name, name)
        if name not in self._fields:
            raise AttributeError(f"{name!r} is not recorded; add it to the fields: capture(model, {name!r}, ...)")
        if name not in self._by_layer:
            raise AttributeError(f"no forward pass has filled {name!r} yet; call the model inside `with capture(...)`")
        layers = [*self._by_layer[name].values()]
        return layers[0] if name == "logits" else torch.stack(layers)

    def record(self, name: str, layer: int, compute: Callable[[], Tensor]) -> None:
        """Stores compute() as one layer of a field; does nothing if the field was not requested."""
        if name in self._fields:
            self._by_layer[name][layer] = compute()

    def detach(self) -> "ActivationCache":
        """Returns the same activations without their autograd graph."""
        detached = ActivationCache(())
        detached._fields = self._fields
        for name, layers in self._by_layer.items():
            detached._by_layer[name] = {layer: x.detach() for layer, x in layers.items()}
        return detached


class Edit(Protocol):
    """Changes one tensor in each layer. The pass calls it once per layer; for "resid", also after the last layer."""

    @property
    def at(self) -> Point: ...

    def __call__(self, layer: int, x: Tensor) -> Tensor:
        """Returns the new value of x, in the same shape. x is one layer of the `ActivationCache` field `at`."""


@dataclass(frozen=True)
class Scale:
    """Multiplies every head's output by a gate: 0 removes the head, and 1 leaves every bit unchanged."""

    gates: Tensor  #: (L, H), or (L, B, H) with separate gates for each text of the batch
    at: Literal["z"] = "z"

    def __call__(self, layer: int, x: Tensor) -> Tensor:
        return x * self.gates[layer][..., None, None].to(x.dtype)  # (B, H, T, D)


@dataclass(frozen=True)
class Replace:
    """Replaces a tensor, for example with its mean or zeros. `heads_at` and `positions_at` return masks for `where`."""

    at: Point
    #: The new values. They broadcast to the shape of the `ActivationCache` field, such as (L, B, H, T, D) for "z"; a
    #: tensor without dimensions sets every number to the same value.
    by: Tensor
    #: True where the tensor is replaced. The mask broadcasts to the field's shape without the last axis: (L, B, H, T)
    #: for "z", (L, B, T) for "feedforward", and (L + 1, B, T) for "resid".
    where: Tensor

    def __call__(self, layer: int, x: Tensor) -> Tensor:
        def select_layer(tensor: Tensor, ndim: int) -> Tensor:
            return tensor[layer if tensor.shape[0] > 1 else 0] if tensor.ndim == ndim else tensor

        by, where = select_layer(self.by, x.ndim + 1), select_layer(self.where, x.ndim)
        return torch.where(where[..., None], by.to(x.dtype), x)


@contextmanager
def capture(model: TransformerLM, *fields: Field, edits: Sequence[Edit] = ()) -> Iterator[ActivationCache]:
    """Records the activations of `model` in each call inside the `with` block, and applies `edits` in order.

    The model runs its own code; without edits, every bit of the logits stays the same. The training mode does not
    change, so dropout is active if the model is in training mode (`look` turns dropout off). A compiled model runs
    uncompiled inside the block, because compiled kernels do not call hooks.

    Args:
        model: the model that you call inside the block.
        fields: fields of `ActivationCache` to record; another name raises ValueError.
        edits: changes, such as `Scale` and `Replace`.
    """
    for name in fields:
        if name not in get_args(Field) and name not in OLD_NAMES:
            raise ValueError(f"{name!r} cannot be captured; choose from {', '.join(get_args(Field))}")
    cache = ActivationCache(fields)
    hooks = _Hooks(cache, edits)
    handles = [model.register_forward_hook(lambda _m, _a, logits: cache.record("logits", 0, lambda: logits))]
    for layer, block in enumerate(model.layers()):
        handles += hooks.on_attention(layer, block.attention)
        handles.append(block.feedforward.register_forward_hook(hooks.after("feedforward", layer)))
    for layer, module in enumerate((*model.layers(), model.norm)):
        handles.append(module.register_forward_pre_hook(hooks.before("resid", layer)))
    try:
        eager = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
        with eager:
            yield cache
    finally:
        for handle in handles:
            handle.remove()


class _Hooks:
    """The forward hooks that edit and record activations."""

    def __init__(self, cache: ActivationCache, edits: Sequence[Edit]) -> None:
        self.cache = cache
        self.edits: dict[str, list[Edit]] = defaultdict(list)
        for edit in edits:
            self.edits[OLD_NAMES.get(edit.at, edit.at)].append(edit)

    def edit_and_record(self, point: Point, layer: int, x: Tensor) -> Tensor:
        for edit in self.edits[point]:
            x = edit(layer, x)
        self.cache.record(point, layer, lambda: x)
        return x

    def before(self, point: Point, layer: int) -> Any:
        return lambda _module, args: (self.edit_and_record(point, layer, args[0]), *args[1:])

    def after(self, point: Point, layer: int) -> Any:
        return lambda _module, _args, x: self.edit_and_record(point, layer, x)

    def on_attention(self, layer: int, attention: MultiHeadAttention) -> list[Any]:
        def attend(_module: Any, args: tuple[Tensor, ...], options: dict[str, Any]) -> Any:
            q = self.edit_and_record("queries", layer, args[0])
            k = self.edit_and_record("keys", layer, args[1])
            v = self.edit_and_record("values", layer, args[2])
            with torch.autocast(q.device.type, enabled=False):  # like `attention` itself
                self.cache.record("maps", layer, lambda: attention_weights(q, k, **options))
            return (q, k, v), options

        def project(module: Any, args: tuple[Tensor]) -> Any:
            b, t, width = args[0].shape
            z = args[0].view(b, t, attention.n_heads, width // attention.n_heads).transpose(1, 2)  # (B, H, T, D)
            z = self.edit_and_record("z", layer, z)
            self.cache.record("heads", layer, lambda: z @ output_matrices(module.weight, attention.n_heads).to(z.dtype))
            return z.transpose(1, 2).flatten(2) if self.edits["z"] else None  # None leaves the argument unchanged

        return [
            attention.attend.register_forward_pre_hook(attend, with_kwargs=True),
            attention.out.register_forward_pre_hook(project),
        ]


def output_matrices(weight: Tensor, n_heads: int) -> Tensor:
    """Splits the output projection (C, H D) into one matrix W_O per head (H, D, C), used as z W_O."""
    c, width = weight.shape
    return weight.view(c, n_heads, width // n_heads).permute(1, 2, 0)


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Turns dropout off inside the `with` block and restores the mode of every module afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@torch.no_grad()
def look(model: TransformerLM, ids: Tensor, *fields: Field, edits: Sequence[Edit] = ()) -> ActivationCache:
    """Runs one forward pass on ids (B, T), without dropout or gradients, and returns the recorded activations."""
    with evaluating(model), capture(model, *fields, edits=edits) as cache:
        model(ids)
    return cache


def heads_at(model: TransformerLM, *heads: tuple[int, int]) -> Tensor:
    """Returns a mask for `Replace` at "queries", "keys", "values" or "z": (L, 1, H, 1), True at each (layer, head)."""
    where = torch.zeros(model.n_layers, 1, model.n_heads, 1, dtype=torch.bool, device=model.norm.weight.device)
    for layer, head in heads:
        where[layer, :, head] = True
    return where


def positions_at(model: TransformerLM, t: int, layer: int, *positions: int) -> Tensor:
    """Returns a mask for `Replace` at "resid": (L + 1, 1, T), True at the given positions before the given layer.

    T is `t`. Layers and positions count from 0; layer L means the residual stream after the last layer.
    """
    where = torch.zeros(model.n_layers + 1, 1, t, dtype=torch.bool, device=model.norm.weight.device)
    where[layer, :, list(positions)] = True
    return where
