"""A forward pass that keeps what it saw.

Shapes: B batch, T positions, C = d_model, H heads, D = C / H, V vocabulary, L layers.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from headscope.model.attention import attention_weights
from headscope.model.transformer import TransformerLM


class Trace(NamedTuple):
    """What happened inside one forward pass."""

    logits: Tensor  #: (B, T, V)
    maps: Tensor  #: attention weights (L, B, H, T, T), query before key, rows sum to one
    values: Tensor  #: (L, B, H, T, D)
    residuals: Tensor  #: the stream before each block and after the last, (L + 1, B, T, C)


@torch.no_grad()
def trace(model: TransformerLM, ids: Tensor, head_gates: Tensor | None = None) -> Trace:
    """A forward pass that keeps what it saw. Dropout is off whatever the mode; nothing of the model changes.

    Args:
        model: that computes.
        ids: (B, T).
        head_gates: factors on the output of every head, (L, H); 0 removes a head (Michel et al. 2019).
    """
    x = model.position.embed(model.embedding(ids), 0)
    maps, values, residuals = [], [], [x]
    for layer, block in enumerate(model.layers()):
        attn = block.attention
        q, k, v = attn.heads(block.norm1(x))
        bias = attn.position.bias(0, q.shape[-2], k.shape[-2])
        a = attention_weights(q, k, scale=attn.position.scale, bias=bias)  # (B, H, T, T)
        out = a.to(v.dtype) @ v  # (B, H, T, D)
        if head_gates is not None:
            out = out * head_gates[layer][:, None, None]
        x = x + attn.merge(out)
        x = x + block.feedforward(block.norm2(x))
        maps.append(a)
        values.append(v)
        residuals.append(x)
    return Trace(model.head(model.norm(x)), torch.stack(maps), torch.stack(values), torch.stack(residuals))
