"""A transformer computed head by head, as a reference for the functions of `headscope.heads`."""

import torch

from headscope.model.attention import attention_weights
from headscope.model.position import Rotary
from tests.conftest import small


def shaken(scheme=Rotary, seed=0, **sizes):
    """Returns a small model in float64 whose parameters are all random, including biases and norms."""
    model = small(scheme, seed=seed, **sizes).double().eval()
    for p in model.parameters():
        if p.ndim == 1:
            torch.nn.init.normal_(p, mean=1.0, std=0.5)
    return model


def head_writes(block, x):
    """Returns what each head of a block adds to the residual stream: a list of H tensors (B, T, C)."""
    attention = block.attention
    q, k, v = attention.heads(block.norm1(x))
    k, bias = attention.score_inputs(k)
    maps = attention_weights(q, k, scale=attention.position.scale, bias=bias)
    d = v.shape[-1]
    return [maps[:, h] @ v[:, h] @ attention.out.weight[:, h * d : (h + 1) * d].T for h in range(attention.n_heads)]


@torch.no_grad()
def forward(model, ids, replaced=None):
    """Returns the final residual stream (B, T, C), and what each part added to it, by name.

    `replaced` has tensors that are added instead of a head's own output, by the head's name.
    """
    embedding = model.embedding(ids)
    x = model.position.embed(embedding, 0)
    parts = {"token embedding": embedding, "position": x - embedding}
    for layer, block in enumerate(model.blocks):
        writes = {f"L{layer}H{h}": w for h, w in enumerate(head_writes(block, x))}
        writes |= {name: w for name, w in (replaced or {}).items() if name in writes}
        x = x + sum(writes.values())
        added = block.feedforward(block.norm2(x))
        parts |= writes | {f"L{layer} feed-forward": added}
        x = x + added
    return x, parts
