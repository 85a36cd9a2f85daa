"""A transformer computed in the open, head by head: what the functions of `headscope.heads` are compared with."""

import torch

from headscope.model.attention import attention_weights
from headscope.model.position import Rotary
from tests.conftest import small


def shaken(scheme=Rotary, seed=0, **sizes):
    """A small model in float64 without a parameter at rest: biases and norms are random too."""
    model = small(scheme, seed=seed, **sizes).double().eval()
    for p in model.parameters():
        if p.ndim == 1:
            torch.nn.init.normal_(p, mean=1.0, std=0.5)
    return model


def head_writes(block, x):
    """What each head of a block adds to a stream (B, T, C): a list of H of these."""
    attention = block.attention
    q, k, v = attention.heads(block.norm1(x))
    k, bias = attention.score_inputs(k)
    maps = attention_weights(q, k, scale=attention.position.scale, bias=bias)
    d = v.shape[-1]
    return [maps[:, h] @ v[:, h] @ attention.out.weight[:, h * d : (h + 1) * d].T for h in range(attention.n_heads)]


@torch.no_grad()
def forward(model, ids, replaced=None):
    """The final stream (B, T, C), and what each part wrote into it, by name; `replaced` are writes to use instead."""
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
