"""nanoGPT's CPU recipe in our own plain PyTorch loop: the baseline in `speed.py`.

    python benchmarks/nanogpt.py 1           seed 1; prints {"seconds", "val_loss", "step_ms", ...}
    python benchmarks/nanogpt.py 1 200       200 steps only

The model and settings are those of the CPU example in the README of github.com/karpathy/nanoGPT: 4 layers, 4 heads,
width 128, context 64, batches of 12 random windows, 2000 steps of AdamW 1e-3 to 1e-4, no dropout, no biases, tied
embeddings, fp32.
"""

import json
import math
import sys
import time

from common import ROOT

C, H, LAYERS, T, BATCH, STEPS = 128, 4, 4, 64, 12, 2000


def build(vocab_size, width=C, heads=H, layers=LAYERS, context=T, dropout=0.0):
    """Returns the model with nanoGPT's initialisation."""
    import torch.nn.functional as F
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
            self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
            self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = (u.view(b, t, heads, -1).transpose(1, 2) for u in self.qkv(self.norm1(x)).split(c, 2))
            p = dropout if self.training else 0.0
            z = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)  # (B, H, T, D)
            x = x + F.dropout(self.out(z.transpose(1, 2).reshape(b, t, c)), p)
            return x + F.dropout(self.down(F.gelu(self.up(self.norm2(x)))), p)

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(vocab_size, width), nn.Embedding(context, width)
            self.blocks = nn.ModuleList(Block() for _ in range(layers))
            self.norm = nn.LayerNorm(width, bias=False)
            for name, p in self.named_parameters():
                if p.ndim == 2:
                    into_residual = name.endswith(("out.weight", "down.weight"))
                    nn.init.normal_(p, std=0.02 / math.sqrt(2 * layers) if into_residual else 0.02)

        def forward(self, ids, last=False):
            """Returns logits (B, T, V), or (B, 1, V) for the last position if `last` is true."""
            x = F.dropout(self.tokens(ids) + self.positions.weight[: ids.shape[1]], dropout, self.training)
            for block in self.blocks:
                x = block(x)
            return F.linear(self.norm(x[:, -1:] if last else x), self.tokens.weight)

    return GPT()


def rate(step, steps=STEPS):
    """Returns nanoGPT's learning rate at a step: 100 steps of warmup, then half a cosine."""
    if step < 100:
        return 1e-3 * (step + 1) / 101
    return 1e-4 + 0.5 * (1 + math.cos(math.pi * (step - 100) / (steps - 100))) * 9e-4


def adamw(model, **options):
    """Returns nanoGPT's optimizer, with weight decay for matrices and without it for vectors."""
    import torch

    matrices, vectors = ([p for p in model.parameters() if (p.ndim > 1) is matrix] for matrix in (True, False))
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), **options)


def main(seed, steps=STEPS):
    began = time.perf_counter()
    import torch
    import torch.nn.functional as F

    from headscope.data.shakespeare import TinyShakespeare

    corpus = TinyShakespeare(str(ROOT / "data")).load(T)
    torch.manual_seed(seed)
    model, ids = build(len(corpus.tokenizer)), corpus.train.ids.long()
    optimizer, taken = adamw(model), []
    for step in range(steps):
        start = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        starts = torch.randint(len(ids) - T, (BATCH,))
        x, y = (torch.stack([ids[i + off : i + off + T] for i in starts]) for off in (0, 1))
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        taken.append(time.perf_counter() - start)
    nats = count = 0
    with torch.no_grad():
        for x, y in corpus.val.once(64):
            nats += F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum").item()
            count += int((y >= 0).sum())
    print(
        json.dumps(
            {
                "seconds": sum(taken),
                "wall_seconds": time.perf_counter() - began,
                "step_ms": 1000 * sorted(taken)[len(taken) // 2],
                "val_loss": nats / count,
                "steps": steps,
                "parameters": sum(p.numel() for p in model.parameters()),
            }
        )
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
