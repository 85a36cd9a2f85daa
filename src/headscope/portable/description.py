"""Describes a model as plain tensors and numbers, and verifies the description against the model.

The description of a transformer, whose keys the page's script reads (`render/model_page/transformer.js`):

    kind       "transformer"
    sizes      vocabulary V, width C, heads H, layers L, context T
    embedding  (V, C)
    table      (T, C), added to the embedding; or None
    layers     for each layer:
        norm1        LayerNorm: weight (C,), bias (C,), eps
        qkv          (3 C, C)
        qk_norm      {"eps": …} if queries and keys get mean 0 and variance 1; or None
        cos_sin      (T, D/2, 2), the rotation of each pair of channels of q and k; or None
        bias         (H, T), added to the scaled scores: column n for distance n between query and key; or None
        scale        factor on q·k
        out          (C, C)
        norm2        as norm1
        feedforward  computes down(curve(up x)) or, with a gate, down(curve(gate x) ⊙ up x). Its keys: width F, curve
                     (a name in `CURVES`), up (F, C), up_bias, gate (F, C), down (C, F), down_bias; the biases and
                     the gate may be None
    norm       as norm1
    head       weight (V, C), bias (V,)

The description is found by reading the weights and calling the hooks of the model's parts. The class of a positional
scheme, a feed-forward or a normalisation of queries and keys does not matter: a plugin's part is described too, if it
computes one of these forms.

Shapes: B batch, T positions, C = d_model, H heads, D = C / H, F width of a feed-forward network, V vocabulary.
"""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from headscope.model.attention import MultiHeadAttention, attention_weights
from headscope.model.feedforward import FeedForward
from headscope.model.mlp import FixedContextMLP
from headscope.model.position import Position
from headscope.model.qk_norm import EPS, QKNorm
from headscope.model.transformer import LanguageModel, TransformerLM
from headscope.portable.forward import CURVES, feed_forward, forward, pattern

TOLERANCE = 1e-3  #: allowed error, relative to the largest number, or absolute if that number is below 1


class NotPortable(ValueError):
    """A part of a model computes something that a description cannot express. The message names the part's class."""


def refusal(model: LanguageModel) -> str:
    """Returns the reason why a model cannot be described; empty if it can."""
    try:
        describe(model)
    except NotPortable as reason:
        return str(reason)
    return ""


@torch.no_grad()
def describe(model: LanguageModel) -> dict[str, Any]:
    """Returns the description of a model. Its weights share the model's memory.

    Any class other than `TransformerLM` and `FixedContextMLP` can have a method `made_of` that returns its description,
    in the layout of `_transformer` or `_fixed_context`. The model must be in eval mode. Raises NotPortable if a part of
    the model cannot be described, or if running the description gives other logits than the model.
    """
    if isinstance(model, TransformerLM):
        described = _transformer(model)
    elif isinstance(model, FixedContextMLP):
        described = _fixed_context(model)
    else:
        described = getattr(model, "made_of", dict)()
    _require(described, model)
    ids = random_ids(model).to(next(model.parameters()).device)
    _require(_agree(forward(described, ids), model(ids)), model)
    return described


def random_ids(model: LanguageModel) -> Tensor:
    """Returns random ids (2, T) that fill the context."""
    return torch.randint(model.vocab_size, (2, model.block_size), generator=torch.Generator().manual_seed(0))


def _transformer(model: TransformerLM) -> dict[str, Any]:
    zeros = model.embedding.weight.new_zeros(1, model.block_size, model.d_model)
    return {
        "kind": "transformer",
        "sizes": _sizes(model) | {"heads": model.n_heads, "layers": model.n_layers},
        "embedding": model.embedding.weight,
        "table": _table(model.position, zeros),
        "layers": [
            {
                "norm1": _norm(block.norm1),
                "qkv": block.attention.qkv.weight,
                "qk_norm": _qk_norm(block.attention.qk_norm, zeros.new_empty(64, model.d_model // model.n_heads)),
                **_scores(block.attention, model.block_size),
                "out": block.attention.out.weight,
                "norm2": _norm(block.norm2),
                "feedforward": _feed_forward(block.feedforward),
            }
            for block in model.layers()
        ],
        "norm": _norm(model.norm),
        "head": {"weight": model.head.weight, "bias": model.head.bias},
    }


def _fixed_context(model: FixedContextMLP) -> dict[str, Any]:
    return {
        "kind": "fixed context",
        "sizes": _sizes(model) | {"seen": model.context, "hidden": model.hidden, "heads": 0, "layers": 0},
        "embedding": model.embedding.weight,
        "inner": {"weight": model.inner.weight, "bias": model.inner.bias},
        "head": {"weight": model.head.weight, "bias": model.head.bias},
    }


def _sizes(model: TransformerLM | FixedContextMLP) -> dict[str, int]:
    return {"vocabulary": model.vocab_size, "width": model.d_model, "context": model.block_size}


def _norm(norm: nn.LayerNorm) -> dict[str, Any]:
    _require(isinstance(norm, nn.LayerNorm) and norm.bias is not None, norm)
    return {"weight": norm.weight, "bias": norm.bias, "eps": norm.eps}


def _table(scheme: Position, zeros: Tensor) -> Tensor | None:
    """Returns the vectors (T, C) that a scheme adds to embeddings, found by calling `embed` with zeros (1, T, C)."""
    table = scheme.embed(zeros, 0)[0]
    x = _random(zeros)
    _require(_agree(x + table, scheme.embed(x, 0)), scheme)
    return table if table.any() else None


def _scores(attention: MultiHeadAttention, t: int) -> dict[str, Any]:
    """Returns `cos_sin`, `bias` and `scale` of a layer's scheme, found by calling its hooks."""
    scheme, weight, h = attention.position, attention.qkv.weight, attention.n_heads
    d = weight.shape[1] // h
    x = _random(weight.new_empty(1, t, weight.shape[1]))
    unit = torch.zeros_like(x).view(1, t, h, d).transpose(1, 2)  # (1, H, T, D)
    unit[..., ::2] = 1  # (1, 0) in every pair of channels, which a rotation turns into (cos, sin)
    rotated, keys = scheme.queries_and_keys(unit.clone(), unit.clone(), x, 0)  # a hook may work in place
    bias = scheme.bias(0, t, t)
    _require(rotated.shape == keys.shape == unit.shape and scheme.keys(keys)[1] is None, scheme)
    rotates = d % 2 == 0 and not rotated.equal(unit)
    found = {
        "cos_sin": rotated[0, 0].reshape(t, d // 2, 2) if rotates else None,
        "bias": None if bias is None else _by_distance(bias, h, t),
        "scale": scheme.scale,
    }
    # On random queries, keys and inputs, the patterns agree only if the scheme is a rotation that is the same for every
    # head and every x, and if its bias depends only on the distance. The bias may also contain a number per query,
    # because softmax ignores a number that is added to all keys of a query.
    q, k, x = (_random(u, seed=n) for n, u in enumerate((unit, unit, x), 1))
    rotated, keys = scheme.queries_and_keys(q.clone(), k.clone(), x, 0)
    keys, bias = attention.score_inputs(keys)
    expected = attention_weights(rotated, keys, scale=scheme.scale, bias=bias)
    _require(_agree(pattern(found, q, k), expected), scheme)
    return found


def _by_distance(bias: Tensor, h: int, t: int) -> Tensor:
    """Returns the bias at each distance, (H, T), read from the row of the last query, which has every distance."""
    rows = bias.shape[-2] if bias.ndim > 1 else 1
    last = bias.broadcast_to(1, h, rows, t)[0, :, -1]  # (H, T)
    if rows == 1:  # one number per key; subtracting the number of the query's own key does not change the softmax
        last = last - last[:, -1:]
    return last.flip(-1)


def _qk_norm(qk_norm: QKNorm, template: Tensor) -> dict[str, float] | None:
    lengths = torch.logspace(-3, 2, len(template)).to(template)[:, None]  # eps changes only short vectors noticeably
    q, k = (_random(template, seed=n)[None, None] * lengths for n in (1, 2))  # (1, 1, T, D) each
    found = qk_norm(q, k)
    if q.equal(found[0]) and k.equal(found[1]):
        return None
    for u, v in zip((q, k), found, strict=True):
        _require(_agree(nn.functional.layer_norm(u, u.shape[-1:], eps=EPS), v), qk_norm)
    return {"eps": EPS}


def _feed_forward(part: FeedForward) -> dict[str, Any]:
    """Identifies the activation function by its values, then compares the whole network."""
    up, down, gate = part.up, part.down, getattr(part, "gate", None)
    hidden = 2 * _random(up.weight.new_empty(1, 64, up.out_features))
    curves = []
    with suppress(NotImplementedError):  # raised by a class that overrides only `forward`
        values = part.activation(hidden)
        curves = [name for name, curve in CURVES.items() if _agree(curve(hidden), values)]
    _require(curves, part)
    described: dict[str, Any] = {
        "width": up.out_features,
        "curve": curves[0],
        "up": up.weight,
        "down": down.weight,
        "up_bias": up.bias,
        "down_bias": down.bias,
        "gate": gate.weight if isinstance(gate, nn.Linear) else None,
    }
    x = _random(up.weight.new_empty(1, 64, up.in_features))
    _require(_agree(feed_forward(described, x), part(x)), part)
    return described


def _require(holds: Any, part: nn.Module) -> None:
    if not holds:
        raise NotPortable(f"{type(part).__name__} computes something that the page cannot run")


def _random(like: Tensor, seed: int = 0) -> Tensor:
    """Returns normally distributed numbers that depend only on the shape and the seed."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)).to(like)


def _agree(found: Tensor, expected: Tensor) -> bool:
    """Whether two tensors are equal within the tolerance."""
    limit = TOLERANCE * expected.abs().max().clamp_min(1)
    return found.shape == expected.shape and bool((found - expected).abs().max() <= limit)
