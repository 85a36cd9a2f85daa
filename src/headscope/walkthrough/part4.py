"""part4: attention of three tokens, the sinusoidal table, a tour of a block, and where 4.8M parameters sit.

Shapes: B batch (1), T positions (3), C = d_model, H heads, D = C / H.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from headscope.model.attention import attention, attention_scores, attention_weights
from headscope.model.position import Sinusoidal
from headscope.model.transformer import Block, TransformerLM
from headscope.walkthrough.step import Kind, Step, Told, Walk, number

TOKENS = ("The", "cat", "sat")
SHAPE: dict[str, Any] = {"vocab_size": 65, "d_model": 256, "n_heads": 8, "n_layers": 6, "block_size": 128}
#: What it grew from.
BEFORE: dict[str, Any] = {"vocab_size": 65, "d_model": 128, "n_heads": 4, "n_layers": 4, "block_size": 64}
DROPOUT = 0.1
SAID = 400_000  #: parameters, in the document's comparison
CHARACTERS, EPOCHS, BATCH = 1_115_394, 500, 64  #: tiny Shakespeare, and how long the document trains on it


@torch.no_grad()
def tell(seed: int) -> Told:
    torch.manual_seed(seed)
    x = torch.randn(1, len(TOKENS), 4)  # (B, T, C)
    model = TransformerLM(**SHAPE, dropout=DROPOUT, position=Sinusoidal)
    return Told([*_attention(x), _positions(), _tour(), _parameters(model)], _departure(x, model))


def _attention(x: Tensor) -> list[Step]:
    def step(title: str, text: str, values: Tensor) -> Step:
        kind: Kind = "weights" if "weights" in title else "signed"
        columns = TOKENS if values.shape[-1] == len(TOKENS) else ()
        return Step(title, text, values[0], TOKENS, columns, kind, str(tuple(values.shape)))

    return [
        step("embeddings", "Three tokens of 4 random numbers; Q, K and V are all this same matrix.", x),
        step("scores", "Each token times each token: Q Kᵀ.", attention_scores(x, x, scale=1.0, causal=False)),
        step("scaled scores", "Divided by √4 = 2.", attention_scores(x, x, causal=False)),
        step("weights", "Softmax of each row, without a mask: every token sees all three.",
             attention_weights(x, x, causal=False)),
        step("output", "The weights times V.", attention(x, x, x, causal=False)),
        step("masked scores", "With the causal mask: what comes later is -∞.", attention_scores(x, x)),
        step("masked weights", "Softmax again: the first token has only itself, the last row is as it was.",
             attention_weights(x, x)),
        step("masked output", "The masked weights times V.", attention(x, x, x)),
    ]  # fmt: skip


def _positions() -> Step:
    table = Sinusoidal(64, 1, 100).sines[:50, :32]  # (50 positions, 32 channels)
    text = (
        "What is added to the embedding at each position: channels down, positions across; the first channels turn "
        "fast, later ones ever slower."
    )
    shape = "(100, 64), 50 positions and 32 channels of it, turned"
    return Step("sinusoidal positions", text, table.T, [f"ch{i}" for i in range(32)], shape=shape)


def _tour() -> Step:
    """The stations of a block, from its own pieces."""
    c, h = SHAPE["d_model"], SHAPE["n_heads"]
    block = Block(c, h, DROPOUT, Sinusoidal(c, h, SHAPE["block_size"], 0)).eval()
    attn, feed = block.attention, block.feedforward
    x = torch.randn(1, len(TOKENS), c)  # (B, T, C)
    q, k, v = attn.heads(block.norm1(x))  # (B, H, T, D) each
    weights = attention_weights(q, k)  # (B, H, T, T)
    heads = attention(q, k, v)  # (B, H, T, D)
    merged = attn.merge(heads)  # (B, T, C)
    middle = x + merged
    wide = feed.up(block.norm2(middle))  # (B, T, 4C)
    end = middle + feed(block.norm2(middle))
    stations = {
        "x": (x, "the stream comes in"),
        "norm 1": (block.norm1(x), "each position to mean 0 and spread 1"),
        "queries": (q, f"{h} heads of width {c // h}; keys and values alike"),
        "scores": (attention_scores(q, k, causal=False), "every query times every key, by 1/√32"),
        "weights": (weights, "masked, softmax: rows sum to 1"),
        "heads": (heads, "weights times values"),
        "merged": (merged, "heads side by side, through the output matrix"),
        "x + merged": (middle, "added to the stream"),
        "norm 2": (block.norm2(middle), "the same again for the other half"),
        "up": (wide, "four times as wide"),
        "GELU": (F.gelu(wide), "what is below zero nearly vanishes"),
        "down": (feed(block.norm2(middle)), "back to the width of the stream"),
        "out": (end, "added to the stream"),
    }
    error = float((end - block(x)).abs().max())
    text = f"A block of width {c} with {h} heads, piece by piece; run whole it gives the same, to {number(error)}."
    spread = torch.stack([t.std() for t, _ in stations.values()])[:, None]
    notes = [f"{tuple(t.shape)}  {note}" for t, note in stations.values()]
    shape = f"(1, {len(TOKENS)}, {c}) in and out"
    return Step("tour of a block", text, spread, list(stations), ("spread",), "table", shape, notes, whole=True)


def _parameters(model: TransformerLM) -> Step:
    """Where the parameters sit, the blocks added up."""
    total, parts, shapes = count(model), dict[str, int](), dict[str, list[str]]()
    for name, p in model.named_parameters():
        part = ".".join(n for n in name.split(".")[:-1] if not n.isdigit())
        parts[part] = parts.get(part, 0) + p.numel()
        if not name.startswith("blocks") or name.startswith("blocks.0."):
            shapes.setdefault(part, []).append(str(tuple(p.shape)))
    parts["all"] = total
    notes = [
        f"{n / total:6.1%}  {f'{model.n_layers} × ' * part.startswith('blocks')}{' + '.join(shapes.get(part, []))}"
        for part, n in parts.items()
    ]
    text = f"Part 4's model has {total:,}; the sinusoidal table is computed and has none."
    names = [part.removeprefix("blocks.") for part in parts]
    values = torch.tensor(list(parts.values()))[:, None]
    return Step("parameters", text, values, names, ("parameters",), "table", f"({total:,},)", notes, whole=True)


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _departure(x: Tensor, model: TransformerLM) -> str:
    own = attention_weights(x, x, causal=False)[0].diagonal()
    masked = attention_weights(x, x)[0].diagonal()
    total, before = count(model), count(TransformerLM(**BEFORE, position=Sinusoidal))
    examples = CHARACTERS - SHAPE["block_size"]
    steps = EPOCHS * -(-examples // BATCH)
    return (
        f"Its first example has no projections: Q = K = V, so a token looks for its like and gives itself "
        f"{own.mean():.4f} on average, with the mask {masked.mean():.4f}. Its comparison says about {SAID // 1000}K "
        f"parameters; its own code makes {total:,}, {total / SAID:.1f} times as many, and even the smaller shape that "
        f"it grew from (width {BEFORE['d_model']}, {BEFORE['n_heads']} heads, {BEFORE['n_layers']} layers) makes "
        f"{before:,}. An epoch of its training is every one of {examples:,} windows, each a character after the one "
        f"before: {EPOCHS} epochs in batches of {BATCH} are {steps:,} steps, {steps / 1e6:.1f} million, that see every "
        f"character {EPOCHS * SHAPE['block_size']:,} times, and with no split the loss that it prints is of text that "
        f"the model has seen."
    )


WALK = Walk("part4", "attention with and without mask, positions, a block's shapes, 4.8M parameters", 42, tell)
