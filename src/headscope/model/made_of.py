"""What the parts of a model are made of, as numbers: for a program elsewhere that runs the model without this code.

Each part says it of itself, in `made_of`. None means: something else, that these numbers cannot say. `arithmetic` is
the forward pass from the numbers alone; it tells whether the parts have said the truth.

Shapes: B batch, T positions, C = d_model, H heads, D = C / H, F width of a feed-forward, V vocabulary, L layers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Curve = Literal["gelu", "squared relu", "silu"]  #: functions of one number
CURVES: dict[Curve, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "squared relu": lambda x: F.relu(x) ** 2,
    "silu": F.silu,
}


@dataclass(frozen=True)
class Order:
    """What a positional scheme does in one place: to the embedding, or in one layer."""

    scale: float  #: factor on q·k
    table: Tensor | None = None  #: added to the embedding, (T, C)
    cos_sin: Tensor | None = None  #: cos and sin of what each pair of channels of q and k turns by, (T, D/2, 2)
    bias: Tensor | None = None  #: added to the scaled scores at each distance, from 0, (H, T)


@dataclass(frozen=True)
class Between:
    """A feed-forward: down(curve(up x)), or down(curve(gate x) ⊙ up x)."""

    curve: Curve
    up: Tensor  #: (F, C)
    down: Tensor  #: (C, F)
    up_bias: Tensor | None = None  #: (F,)
    down_bias: Tensor | None = None  #: (C,)
    gate: Tensor | None = None  #: (F, C)


@dataclass(frozen=True)
class Length:
    """Queries and keys before they meet: with mean 0 and variance 1 over a head's channels, or as they are."""

    eps: float | None = None  #: under the root of the variance; None leaves them


def arithmetic(model: dict[str, Any], ids: Tensor) -> Tensor:
    """Logits (B, T, V) of ids (B, T) by nothing but what `TransformerLM.made_of` gave.

    Written for comparison with the model itself and with the page's script: it follows the formulas, one after the
    other, and shares no code with either.
    """
    heads = model["sizes"]["heads"]
    b, t = ids.shape
    distance = (torch.arange(t)[:, None] - torch.arange(t)).clamp_min(0)  # (T, T)
    x = model["embedding"][ids]  # (B, T, C)
    if model["table"] is not None:
        x = x + model["table"][:t]
    for layer in model["layers"]:
        q, k, v = (_norm(layer["norm1"], x) @ layer["qkv"].T).view(b, t, 3, heads, -1).permute(2, 0, 3, 1, 4)
        if layer["qk_norm"] is not None:
            q, k = (F.layer_norm(u, u.shape[-1:], eps=layer["qk_norm"]["eps"]) for u in (q, k))
        if layer["cos_sin"] is not None:
            cos, sin = layer["cos_sin"][:t].unbind(-1)  # (T, D/2) each
            q, k = (
                torch.stack((u[..., ::2] * cos - u[..., 1::2] * sin, u[..., ::2] * sin + u[..., 1::2] * cos), -1)
                for u in (q, k)
            )  # (B, H, T, D/2, 2) each
            q, k = q.flatten(-2), k.flatten(-2)
        scores = q @ k.mT * layer["scale"]  # (B, H, T, T)
        if layer["bias"] is not None:
            scores = scores + layer["bias"][:, distance]
        scores = scores.masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), float("-inf"))
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)  # (B, T, C)
        x = x + mixed @ layer["out"].T
        f, normed = layer["feedforward"], _norm(layer["norm2"], x)
        between = F.linear(normed, f["up"], f["up_bias"])  # (B, T, F)
        bend = CURVES[f["curve"]]
        between = bend(between) if f["gate"] is None else bend(normed @ f["gate"].T) * between
        x = x + F.linear(between, f["down"], f["down_bias"])
    return F.linear(_norm(model["norm"], x), model["head"]["weight"], model["head"]["bias"])


def _norm(norm: dict[str, Any], x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], norm["weight"], norm["bias"], norm["eps"])
