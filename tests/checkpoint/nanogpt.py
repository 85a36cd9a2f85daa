"""nanoGPT's model and its checkpoint, written from nanoGPT's code as an independent reference with random weights.

The names of the parts, the computation and the saved values are those of `model.py` and `train.py` (Karpathy, nanoGPT).
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


class LayerNorm(nn.Module):
    """LayerNorm with an optional bias."""

    def __init__(self, c, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(c))
        self.bias = nn.Parameter(torch.zeros(c)) if bias else None

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class Attention(nn.Module):
    def __init__(self, c, heads, t, bias):
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(c, 3 * c, bias=bias), nn.Linear(c, c, bias=bias)
        self.heads = heads
        self.register_buffer(
            "bias", torch.tril(torch.ones(t, t)).view(1, 1, t, t)
        )  # saved in checkpoints if flash attention is not used

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (u.view(b, t, self.heads, -1).transpose(1, 2) for u in self.c_attn(x).split(c, dim=2))
        scores = q @ k.transpose(-2, -1) / math.sqrt(k.shape[-1])
        scores = scores.masked_fill(self.bias[:, :, :t, :t] == 0, float("-inf"))
        return self.c_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, c))


class MLP(nn.Module):
    def __init__(self, c, bias):
        super().__init__()
        self.c_fc, self.gelu, self.c_proj = nn.Linear(c, 4 * c, bias=bias), nn.GELU(), nn.Linear(4 * c, c, bias=bias)

    def forward(self, x):
        return self.c_proj(self.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, c, heads, t, bias):
        super().__init__()
        self.ln_1, self.attn, self.ln_2, self.mlp = (
            LayerNorm(c, bias),
            Attention(c, heads, t, bias),
            LayerNorm(c, bias),
            MLP(c, bias),
        )

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, vocab_size=65, n_embd=32, n_head=4, n_layer=2, block_size=16, bias=False, dropout=0.1):
        super().__init__()
        self.args = {
            "n_layer": n_layer,
            "n_head": n_head,
            "n_embd": n_embd,
            "block_size": block_size,
            "bias": bias,
            "vocab_size": vocab_size,
            "dropout": dropout,
        }
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocab_size, n_embd),
                "wpe": nn.Embedding(block_size, n_embd),
                "h": nn.ModuleList(Block(n_embd, n_head, block_size, bias) for _ in range(n_layer)),
                "ln_f": LayerNorm(n_embd, bias),
            }
        )
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)
        self.transformer.wte.weight = self.lm_head.weight
        for p in self.parameters():
            nn.init.normal_(p, std=p.shape[-1] ** -0.5 if p.ndim > 1 else 0.3)

    def forward(self, ids):
        x = self.transformer.wte(ids) + self.transformer.wpe(torch.arange(ids.shape[1]))
        for block in self.transformer.h:
            x = block(x)
        return self.lm_head(self.transformer.ln_f(x))


def save(model, path, /, compiled=False, **changes):
    """Writes the checkpoint that nanoGPT's `train.py` writes after 250 steps."""
    optimizer = torch.optim.AdamW(model.parameters())
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    state = model.state_dict()
    config = {"out_dir": "out-shakespeare-char", "dataset": "shakespeare_char", "learning_rate": 1e-3, "compile": True}
    saved = {
        "model": {f"_orig_mod.{k}" if compiled else k: v for k, v in state.items()},
        "optimizer": optimizer.state_dict(),
        "model_args": model.args,
        "iter_num": 250,
        "best_val_loss": torch.tensor(1.4697),
        "config": config,
    }
    torch.save(saved | changes, path)
    return path
