"""Looking inside a forward pass, and changing it there, by hooks on the model that is there.

Shapes: B batch, T positions, C = d_model, H heads, D = C / H, D' width of queries and keys, V vocabulary, L layers.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

from headscope.heads.activation_cache import OLD_NAMES, ActivationCache, What
from headscope.model.attention import MultiHeadAttention, attention_weights
from headscope.model.transformer import TransformerLM

Point = Literal["queries", "keys", "values", "z", "feedforward", "resid"]  #: where a tensor passes; can be edited


class Edit(Protocol):
    """A change to what passes at one point. It is called once per layer; `stream` has one call more, after the last."""

    @property
    def at(self) -> Point: ...

    def __call__(self, layer: int, x: Tensor) -> Tensor:
        """What takes the place of x, in x's shape: that of a layer of `ActivationCache`'s field of this name."""
        ...


@dataclass(frozen=True)
class Scale:
    """Multiplies every head's output. 0 removes a head, 1 leaves every bit; with a gradient it measures importance.

    Args:
        gates: (L, H), or (L, B, H) with factors of its own for each row of the batch.
    """

    gates: Tensor
    at: Literal["z"] = "z"

    def __call__(self, layer: int, x: Tensor) -> Tensor:
        return x * self.gates[layer][..., None, None].to(x.dtype)  # (B, H, T, D)


@dataclass(frozen=True)
class Replace:
    """Puts another run's tensor, a mean or zeros in the place of what passes.

    Args:
        at: the point.
        by: broadcast to the shape of that field of `ActivationCache`, all layers: (L, B, H, T, D) for "z"; or one
            number for all.
        where: bool, broadcast to that shape without its last axis, True where to replace: (L, B, H, T) for "z",
            (L, B, T) for "feedforward", (L + 1, B, T) for "resid". `heads_at` and `positions_at` make such masks.
    """

    at: Point
    by: Tensor
    where: Tensor

    def __call__(self, layer: int, x: Tensor) -> Tensor:
        by = _of_layer(self.by, layer, x.ndim + 1)
        return torch.where(_of_layer(self.where, layer, x.ndim)[..., None], by.to(x.dtype), x)


def _of_layer(x: Tensor, layer: int, ndim: int) -> Tensor:
    return x[layer if x.shape[0] > 1 else 0] if x.ndim == ndim else x


@contextmanager
def capture(model: TransformerLM, *what: What, edits: Sequence[Edit] = ()) -> Iterator[ActivationCache]:
    """Records what passes inside `model` while it computes, and changes it by `edits`, in their order.

    The model computes by its own code, and with no edits every logit keeps every bit. Modes are left alone: dropout
    acts in training (`look` does not let it). A compiled model runs uncompiled meanwhile: its kernels have no hooks.

    Args:
        model: that will be called inside the `with`.
        what: fields of `ActivationCache` to record.
        edits: changes, such as `Scale` and `Replace`.

    Raises:
        ValueError: something that cannot be recorded.
    """
    for name in what:
        if name not in get_args(What) and name not in OLD_NAMES:
            raise ValueError(f"{name!r} cannot be captured; these can: {', '.join(get_args(What))}")
    seen = ActivationCache(what)
    hooks = _Hooks(seen, edits)
    handles = [model.register_forward_hook(lambda _m, _a, logits: seen.keep("logits", 0, lambda: logits))]
    for layer, block in enumerate(model.layers()):
        handles += hooks.on_attention(layer, block.attention)
        handles.append(block.feedforward.register_forward_hook(hooks.after("feedforward", layer)))
    for layer, reader in enumerate((*model.layers(), model.norm)):
        handles.append(reader.register_forward_pre_hook(hooks.before("resid", layer)))
    try:
        eager = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
        with eager:
            yield seen
    finally:
        for handle in handles:
            handle.remove()


class _Hooks:
    """Hooks that edit and record; one returns None, which leaves the pass alone, where no edit has a say."""

    def __init__(self, seen: ActivationCache, edits: Sequence[Edit]) -> None:
        self.seen = seen
        self.edits: dict[str, list[Edit]] = defaultdict(list)
        for edit in edits:
            self.edits[OLD_NAMES.get(edit.at, edit.at)].append(edit)

    def pass_by(self, point: Point, layer: int, x: Tensor) -> Tensor:
        for edit in self.edits[point]:
            x = edit(layer, x)
        self.seen.keep(point, layer, lambda: x)
        return x

    def before(self, point: Point, layer: int) -> Any:
        return lambda _module, args: (self.pass_by(point, layer, args[0]), *args[1:])

    def after(self, point: Point, layer: int) -> Any:
        return lambda _module, _args, x: self.pass_by(point, layer, x)

    def on_attention(self, layer: int, attention: MultiHeadAttention) -> list[Any]:
        def attend(_module: Any, args: tuple[Tensor, ...], options: dict[str, Any]) -> Any:
            q = self.pass_by("queries", layer, args[0])
            k = self.pass_by("keys", layer, args[1])
            v = self.pass_by("values", layer, args[2])
            with torch.autocast(q.device.type, enabled=False):  # as `attention` does
                self.seen.keep("maps", layer, lambda: attention_weights(q, k, **options))
            return (q, k, v), options

        def project(module: Any, args: tuple[Tensor]) -> Any:
            b, t, width = args[0].shape
            z = args[0].view(b, t, attention.n_heads, width // attention.n_heads).transpose(1, 2)  # (B, H, T, D)
            z = self.pass_by("z", layer, z)
            self.seen.keep("heads", layer, lambda: z @ output_matrices(module.weight, attention.n_heads).to(z.dtype))
            return z.transpose(1, 2).flatten(2) if self.edits["z"] else None

        return [
            attention.attend.register_forward_pre_hook(attend, with_kwargs=True),
            attention.out.register_forward_pre_hook(project),
        ]


def output_matrices(weight: Tensor, n_heads: int) -> Tensor:
    """The output projection (C, H D) as a matrix for each head, W_O: (H, D, C), for rows on the left."""
    c, width = weight.shape
    return weight.view(c, n_heads, width // n_heads).permute(1, 2, 0)


@contextmanager
def evaluating(model: TransformerLM) -> Iterator[None]:
    """Dropout is off inside; afterwards every module has the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@torch.no_grad()
def look(model: TransformerLM, ids: Tensor, *what: What, edits: Sequence[Edit] = ()) -> ActivationCache:
    """One forward pass on ids (B, T), recorded: no dropout and no gradient; the model is left as it was."""
    with evaluating(model), capture(model, *what, edits=edits) as seen:
        model(ids)
    return seen


def heads_at(model: TransformerLM, *heads: tuple[int, int]) -> Tensor:
    """A `where` for "queries", "keys", "values" and "z": (L, 1, H, 1), True at each (layer, head)."""
    where = torch.zeros(model.n_layers, 1, model.n_heads, 1, dtype=torch.bool, device=model.norm.weight.device)
    for layer, head in heads:
        where[layer, :, head] = True
    return where


def positions_at(model: TransformerLM, t: int, layer: int, *positions: int) -> Tensor:
    """A `where` for "resid", over t tokens: (L + 1, 1, T), True at positions before one layer; L is the end."""
    where = torch.zeros(model.n_layers + 1, 1, t, dtype=torch.bool, device=model.norm.weight.device)
    where[layer, :, list(positions)] = True
    return where
