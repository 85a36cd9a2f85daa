"""The forward pass of a described model, by the formulas in `description` and without code from `headscope.model`.

A description is verified against its model with this forward pass. The page's script uses the same formulas.

Shapes: B batch, T positions, C = d_model, H heads, D = C / H, F width of a feed-forward network, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

#: The activation functions that a description can name.
CURVES: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "squared relu": lambda x: F.relu(x) ** 2,
    "silu": F.silu,
}


def forward(model: dict[str, Any], ids: Tensor) -> Tensor:
    """Computes logits (B, T, V) for ids (B, T) from a description alone."""
    return _transformer(model, ids) if model["kind"] == "transformer" else _fixed_context(model, ids)


def _transformer(model: dict[str, Any], ids: Tensor) -> Tensor:
    b, t = ids.shape
    x = model["embedding"][ids]  # (B, T, C)
    if model["table"] is not None:
        x = x + model["table"][:t]
    for layer in model["layers"]:
        qkv = norm(layer["norm1"], x) @ layer["qkv"].T  # (B, T, 3 C)
        q, k, v = qkv.view(b, t, 3, model["sizes"]["heads"], -1).permute(2, 0, 3, 1, 4)  # (B, H, T, D) each
        if layer["qk_norm"] is not None:
            q, k = (F.layer_norm(u, u.shape[-1:], eps=layer["qk_norm"]["eps"]) for u in (q, k))
        x = x + (pattern(layer, q, k) @ v).transpose(1, 2).flatten(2) @ layer["out"].T  # (B, T, C)
        x = x + feed_forward(layer["feedforward"], norm(layer["norm2"], x))
    return F.linear(norm(model["norm"], x), model["head"]["weight"], model["head"]["bias"])


def pattern(layer: dict[str, Any], q: Tensor, k: Tensor) -> Tensor:
    """Returns the attention pattern (B, H, T, T); positions have not yet been applied to q and k (B, H, T, D)."""
    t = q.shape[-2]
    i, j = torch.arange(t, device=q.device)[:, None], torch.arange(t, device=q.device)
    if layer["cos_sin"] is not None:
        q, k = (_rotate(u, layer["cos_sin"][:t]) for u in (q, k))
    scores: Tensor = q @ k.mT * layer["scale"]  # (B, H, T, T)
    if layer["bias"] is not None:
        scores = scores + layer["bias"][:, (i - j).clamp_min(0)]
    return scores.masked_fill(j > i, float("-inf")).softmax(-1)


def _rotate(u: Tensor, cos_sin: Tensor) -> Tensor:
    cos, sin = cos_sin.unbind(-1)  # (T, D/2) each
    a, b = u[..., ::2], u[..., 1::2]  # (B, H, T, D/2) each
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


def feed_forward(part: dict[str, Any], x: Tensor) -> Tensor:
    """Applies a feed-forward network to x (B, T, C)."""
    curve = CURVES[part["curve"]]
    hidden = F.linear(x, part["up"], part["up_bias"])  # (B, T, F)
    hidden = curve(hidden) if part["gate"] is None else curve(x @ part["gate"].T) * hidden
    return F.linear(hidden, part["down"], part["down_bias"])


def norm(part: dict[str, Any], x: Tensor) -> Tensor:
    """Applies LayerNorm to x (..., C)."""
    return F.layer_norm(x, x.shape[-1:], part["weight"], part["bias"], part["eps"])


def _fixed_context(model: dict[str, Any], ids: Tensor) -> Tensor:
    t, seen = ids.shape[1], model["sizes"]["seen"]
    padded = F.pad(model["embedding"][ids], (0, 0, seen - 1, 0))  # (B, seen - 1 + T, C)
    windows = torch.stack([padded[:, n : n + t] for n in range(seen)], -1)  # (B, T, C, seen)
    hidden = F.linear(windows.flatten(2), model["inner"]["weight"], model["inner"]["bias"]).tanh()
    return F.linear(hidden, model["head"]["weight"], model["head"]["bias"])
