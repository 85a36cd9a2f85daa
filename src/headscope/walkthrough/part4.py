"""part4: the parts of a transformer. Shapes: batch B = 1, T = 3 positions, C = d_model, H heads, D = C / H."""

import re
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor

from headscope.errors import UserError
from headscope.model.attention import attention, attention_scores, attention_weights
from headscope.model.position import Sinusoidal
from headscope.model.transformer import Block, TransformerLM
from headscope.walkthrough.matrix import Numbers
from headscope.walkthrough.plain import compare, hide_later, mix, scale, weigh
from headscope.walkthrough.walk import Walk

TOKENS = ("The", "cat", "sat")
VOCABULARY, CONTEXT = 65, 128
ASSUMED = 400_000  #: parameters that a model of this shape is often assumed to have


def wave(positions: int, width: int) -> Tensor:
    powers = torch.arange(0, width, 2, dtype=torch.float64) / width
    rates = 10000**-powers  # (C / 2,)
    angles = torch.arange(positions)[:, None] * rates  # (T, C / 2)
    waves = torch.stack((angles.sin(), angles.cos()), -1)  # (T, C / 2, 2)
    return waves.flatten(1).float()  # (T, C)


def tour(block: Block, x: Tensor) -> list[Tensor]:
    attn, feed = block.attention, block.feedforward
    q, k, v = attn.heads(block.norm1(x))  # (B, H, T, D) each
    heads = attention(q, k, v)  # (B, H, T, D)
    middle = x + attn.merge(heads)  # (B, T, C)
    wide = feed.up(block.norm2(middle))  # (B, T, 4C)
    return [q, k, v, heads, middle, wide, middle + feed.down(F.gelu(wide))]


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def build(width: int, heads: int, layers: int) -> TransformerLM:
    """Returns a new model; raises `UserError` if the heads do not divide the width, or the width is odd."""
    try:
        return TransformerLM(VOCABULARY, width, heads, layers, CONTEXT, position=Sinusoidal)
    except ValueError as e:
        raise UserError(f"--set heads={heads} with width={width}: {e}") from e


def compute(
    seed: int,
    *,
    heads: Annotated[int, Ge(1), Le(64)] = 8,
    layers: Annotated[int, Ge(1), Le(12)] = 6,
    width: Annotated[int, Ge(8), Le(512)] = 256,
) -> Numbers:
    numbers = Numbers(heads=heads, layers=layers, width=width, vocabulary=VOCABULARY, twice=2 * heads)
    # %% Three tokens
    torch.manual_seed(seed)
    x = torch.randn(1, len(TOKENS), 4)  # (B, T, C)
    numbers.add(("embeddings", "X", x), rows=TOKENS)
    # %% Scores
    scores = compare(x, x)
    scaled = scale(scores, 4)
    numbers.add(("scores", "X Xᵀ", scores), ("scaled scores", "S", scaled), rows=TOKENS, columns=TOKENS)
    # %% Weights and output
    weights = weigh(scaled)
    numbers.add(("weights", "A", weights), rows=TOKENS, columns=TOKENS, kind="weights")
    numbers.add(("output", "Y", mix(weights, x)), rows=TOKENS)
    # %% The mask
    hidden = hide_later(scaled)
    masked = weigh(hidden)
    numbers.add(("masked scores", "S", hidden), rows=TOKENS, columns=TOKENS)
    numbers.add(("masked weights", "A", masked), rows=TOKENS, columns=TOKENS, kind="weights")
    numbers.add(("masked output", "Y", mix(masked, x)), rows=TOKENS)
    # %% Positions
    table = wave(100, 64)[:50, :32].T  # channels from top to bottom, positions from left to right
    shape = "(100, 64), only 50 positions and 32 channels, transposed"
    numbers.add(("sinusoidal positions", "PEᵀ", table), rows=[f"ch{i}" for i in range(32)], shape=shape)
    # %% A block
    model = build(width, heads, layers)
    block = Block(width, heads, 0.0, Sinusoidal(width, heads, CONTEXT, 0)).eval()
    add_tour(numbers, block, torch.randn(1, len(TOKENS), width))
    # %% Parameters
    parts = add_parameters(numbers, model)
    # %%
    feed = parts["feedforward.up"] + parts["feedforward.down"]
    numbers.update(total=parts["all"], feed=feed / parts["all"], times=parts["all"] / ASSUMED)
    numbers.update(self_weight=weights[0].diagonal().mean(), masked_self_weight=masked[0].diagonal().mean())
    numbers["same_attention"] = (attention(x, x, x) - mix(masked, x)).abs().max()
    numbers["same_table"] = (Sinusoidal(64, 1, 100).sines[:50, :32].T - table).abs().max()
    return numbers


def add_tour(numbers: Numbers, block: Block, x: Tensor) -> None:
    """Adds the stages of a block with input x, and the difference from the output of the whole block."""
    q, k, _, heads, middle, wide, end = tour(block, x)
    (h, d), attn = (q.shape[1], q.shape[-1]), block.attention
    stages = {
        "x": (x, "the input, the residual stream"),
        "norm 1": (block.norm1(x), "each position with mean 0 and standard deviation 1"),
        "queries": (q, f"{h} heads of width {d}; keys and values have the same shape"),
        "scores": (attention_scores(q, k, causal=False), f"each query times each key, divided by √{d}"),
        "weights": (attention_weights(q, k), "masked, softmax: rows add up to 1"),
        "heads": (heads, "weights times values"),
        "merged": (attn.merge(heads), "heads side by side, times the output matrix"),
        "x + merged": (middle, "added to the residual stream"),
        "norm 2": (block.norm2(middle), "again mean 0 and standard deviation 1"),
        "up": (wide, "four times as wide"),
        "GELU": (F.gelu(wide), "numbers far below zero become nearly 0"),
        "down": (block.feedforward(block.norm2(middle)), "back to the width of the residual stream"),
        "out": (end, "added to the residual stream"),
    }
    spread = torch.stack([t.std() for t, _ in stages.values()])
    notes = [f"{tuple(t.shape)}  {note}" for t, note in stages.values()]
    entry, shape = ("tour of a block", "x", spread), f"{tuple(x.shape)} in and out"
    numbers.add(entry, rows=[*stages], columns=("spread",), kind="table", shape=shape, notes=notes)
    numbers["same_block"] = (end - block(x)).abs().max()


def add_parameters(numbers: Numbers, model: TransformerLM) -> dict[str, int]:
    """Adds a table with the number of parameters in each part, summed over blocks, and returns these numbers."""
    counts, shapes, total = dict[str, int](), dict[str, str](), count(model)
    for name, module in model.named_modules():
        tensors = list(module.parameters(recurse=False))
        if tensors and not re.match(r"blocks\.[1-9]", name):
            in_block, part = name.startswith("blocks"), name.removeprefix("blocks.0.")
            counts[part] = sum(p.numel() for p in tensors) * (model.n_layers if in_block else 1)
            each = " + ".join(str(tuple(p.shape)) for p in tensors)
            shapes[part] = f"{model.n_layers} × ({each})" if in_block else each
    counts["all"] = total
    notes = [f"{n / total:6.1%}  {shapes.get(part, '')}" for part, n in counts.items()]
    entry, shape = ("parameters", "n", torch.tensor([*counts.values()])), f"{total:,} numbers"
    numbers.add(entry, rows=[*counts], columns=("parameters",), kind="table", shape=shape, notes=notes)
    return counts


WALK = Walk("part4", "attention with and without a mask, positions, shapes in a block, 4.8M parameters", 42, compute)
