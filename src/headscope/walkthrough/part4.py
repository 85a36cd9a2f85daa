"""part4: attention of three tokens, the sinusoidal table, a tour of a block, and where 4.8M parameters sit.

Shapes: B batch (1), T positions (3), C = d_model, H heads, D = C / H.
"""

from typing import Annotated, Any

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor

from headscope.errors import UserError
from headscope.model.attention import attention, attention_scores, attention_weights
from headscope.model.position import Sinusoidal
from headscope.model.transformer import Block, TransformerLM
from headscope.walkthrough.plain import compare, hide_later, mix, scale, weigh
from headscope.walkthrough.step import Change, Kind, Matrix, Mistake, Step, Walk, WalkResult, number

TOKENS = ("The", "cat", "sat")
SHAPE: dict[str, Any] = {"vocab_size": 65, "d_model": 256, "n_heads": 8, "n_layers": 6, "block_size": 128}
#: What it grew from.
BEFORE: dict[str, Any] = {"vocab_size": 65, "d_model": 128, "n_heads": 4, "n_layers": 4, "block_size": 64}
DROPOUT = 0.1
SAID = 400_000  #: parameters, as this shape is often quoted
CHARACTERS, EPOCHS, BATCH = 1_115_394, 500, 64  #: tiny Shakespeare, and a training of it


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


@torch.no_grad()
def tell(
    seed: int,
    *,
    heads: Annotated[int, Ge(1), Le(64)] = SHAPE["n_heads"],
    layers: Annotated[int, Ge(1), Le(12)] = SHAPE["n_layers"],
    width: Annotated[int, Ge(8), Le(512)] = SHAPE["d_model"],
) -> WalkResult:
    """The walk, through a model of some shape.

    Raises:
        UserError: heads that do not divide the width, or an odd width.
    """
    torch.manual_seed(seed)
    x = torch.randn(1, len(TOKENS), 4)  # (B, T, C)
    shape = SHAPE | {"n_heads": heads, "n_layers": layers, "d_model": width}
    try:
        model = TransformerLM(**shape, dropout=DROPOUT, position=Sinusoidal)
    except ValueError as e:
        raise UserError(f"--set heads={heads} with width={width}: {e}") from e
    steps = [*_attention(x), _positions(), _tour(shape), _parameters(model)]
    return WalkResult(
        "What is in a transformer, and what has it to do with attention?", steps, _mistakes(x, model), _checks(model)
    )


def _attention(x: Tensor) -> list[Step]:
    def matrix(title: str, symbol: str, values: Tensor) -> Matrix:
        kind: Kind = "weights" if "weights" in title else "signed"
        columns = TOKENS if values.shape[-1] == len(TOKENS) else ()
        return Matrix(title, symbol, values[0], TOKENS, columns, kind, str(tuple(values.shape)))

    scores = compare(x, x)
    scaled = scale(scores, x.shape[-1])
    weights = weigh(scaled)
    hidden = hide_later(scaled)
    masked = weigh(hidden)
    m_x, m_scores, m_scaled = (
        matrix("embeddings", "X", x),
        matrix("scores", "X Xᵀ", scores),
        matrix("scaled scores", "S", scaled),
    )
    m_weights, m_hidden = matrix("weights", "A", weights), matrix("masked scores", "S", hidden)
    m_masked = matrix("masked weights", "A", masked)
    return [
        Step(
            "Three tokens", "What is the least that attention needs?",
            "A row of numbers for each token: “The cat sat”, four random numbers each. To begin with there are no "
            "matrices at all: Q, K and V are all this same X.",
            "Q = K = V = X", (), (), (m_x,),
            "The shape is (1, 3, 4): one sentence, three positions, four channels. Models carry the first axis along, "
            "since they read many sentences at once.",
        ),
        Step(
            "Scores", "Which tokens are alike?",
            "Each token times each token, channel by channel, added up, and divided by √4 = 2.",
            "S = X Xᵀ / √4", (compare, scale), (m_x, "×", m_x.turned, "="), (m_scores, "/ 2 =", m_scaled),
            f"The table is the same on both sides of its diagonal, as nobody asks for anything other than they are. On "
            f"the diagonal stand sums of squares, which are never negative: “cat” scores itself "
            f"{scaled[0, 1, 1]:.4f}. Only a longer vector can score higher.",
        ),
        Step(
            "Weights and output", "What does each token get?",
            "The softmax of each row makes shares, and each token takes its shares of all three.",
            "A = softmax of each row of S    Y = A V", (weigh, mix), (m_scaled, "softmax →", m_weights, "×", m_x, "="),
            (m_weights, matrix("output", "Y", mix(weights, x))),
            f"“The” gives {weights[0, 0, 2]:.4f} to “sat”, which comes after it. To a model that is to guess the next "
            f"word, that would be the answer in advance.",
        ),
        Step(
            "The mask", "How is a token kept from seeing what comes later?",
            "Before the softmax, the score of everything later becomes -∞, and e to the power of -∞ is 0. The rest "
            "of the row shares what is left.",
            "S = -∞ above the diagonal    A = softmax of each row of S    Y = A V", (hide_later, weigh, mix),
            (m_hidden, "softmax →", m_masked, "×", m_x, "="),
            (m_hidden, m_masked, matrix("masked output", "Y", mix(masked, x))),
            f"“The” has only itself. The row of “sat” is as before ({weights[0, 2, 0]:.4f}, {weights[0, 2, 1]:.4f}, "
            f"{weights[0, 2, 2]:.4f}), since nothing comes after it. The model's own function gives the same; the "
            f"largest difference is {number(float((attention(x, x, x) - mix(masked, x)).abs().max()))}.",
        ),
    ]  # fmt: skip


def _positions() -> Step:
    table = Sinusoidal(64, 1, 100).sines[:50, :32]  # (50 positions, 32 channels)
    shape = "(100, 64), 50 positions and 32 channels of it, transposed"
    error = float((wave(50, 64)[:, :32] - table).abs().max())
    return Step(
        "Positions", "How does a model know which token comes first?",
        "By the mask alone, which only says what is earlier. Nothing in the scores depends on order: without a mask, "
        "shuffle the tokens, and the rows of the output are the same rows, shuffled. So each position p adds waves of "
        "its own to the embedding, a sine and a cosine for each pair i of channels. Here are those of a width of 64; "
        "channels go down, positions across.",
        "PE(p, 2i) = sin(p · 10000^(-2i/64))    PE(p, 2i+1) = cos(p · 10000^(-2i/64))", (wave,), (),
        (Matrix("sinusoidal positions", "PEᵀ", table.T, [f"ch{i}" for i in range(32)], shape=shape),),
        f"The first channels turn fast and tell neighbours apart, later ones turn ever slower and tell near from far. "
        f"Position 1 begins with sin 1 = {table[1, 0]:.4f} and cos 1 = {table[1, 1]:.4f}. The table that models use is "
        f"the same; the largest difference is {number(error)}.",
    )  # fmt: skip


def _tour(shape: dict[str, Any]) -> Step:
    """The stations of a block, from its own pieces."""
    c, h = shape["d_model"], shape["n_heads"]
    block = Block(c, h, DROPOUT, Sinusoidal(c, h, shape["block_size"], 0)).eval()
    x = torch.randn(1, len(TOKENS), c)  # (B, T, C)
    q, k, _, heads, middle, wide, end = tour(block, x)
    root = f"1/√{c // h}"
    stations = {
        "x": (x, "the stream comes in"),
        "norm 1": (block.norm1(x), "each position to mean 0 and spread 1"),
        "queries": (q, f"{h} heads of width {c // h}; keys and values alike"),
        "scores": (attention_scores(q, k, causal=False), f"every query times every key, by {root}"),
        "weights": (attention_weights(q, k), "masked, softmax: rows sum to 1"),
        "heads": (heads, "weights times values"),
        "merged": (block.attention.merge(heads), "heads side by side, through the output matrix"),
        "x + merged": (middle, "added to the stream"),
        "norm 2": (block.norm2(middle), "the same again for the other half"),
        "up": (wide, "four times as wide"),
        "GELU": (F.gelu(wide), "what is below zero nearly vanishes"),
        "down": (block.feedforward(block.norm2(middle)), "back to the width of the stream"),
        "out": (end, "added to the stream"),
    }
    error = float((end - block(x)).abs().max())
    spread = torch.stack([t.std() for t, _ in stations.values()])[:, None]
    notes = [f"{tuple(t.shape)}  {note}" for t, note in stations.values()]
    form = f"(1, {len(TOKENS)}, {c}) in and out"
    return Step(
        "A block", "What is around attention in a model?",
        f"A transformer is an embedding, a stack of blocks (its layers), and a matrix that makes logits. A stream of "
        f"{c} channels a position runs through all blocks. In a block attention reads the stream, in {h} heads side by "
        f"side, and adds what it found; then a feed-forward, two matrices with a bend between them, reads it and adds, "
        f"for each position by itself. Here three random positions go through one block; the spread of the numbers "
        f"stands beside each station.",
        "x ← x + attention(norm(x))    x ← x + feed-forward(norm(x))", (tour,), (),
        (Matrix("tour of a block", "x", spread, list(stations), ("spread",), "table", form, notes, whole=True),),
        f"The shape at the end is that at the beginning, so blocks can be stacked. Piece by piece gives what the block "
        f"gives as a whole; the largest difference is {number(error)}. All matrices of this block are random, so that "
        f"every station shows something. In a new model those that write into the stream (out and down) are zero, so "
        f"that training begins with blocks that change nothing.",
        Change("layers", "12", "What if there are twelve blocks?", ("parameters", -1, 0),
               "Every block has the same number of parameters; only the embedding, the last norm and the matrix that "
               "makes logits (“head” in the table) are there once."),
    )  # fmt: skip


def _parameters(model: TransformerLM) -> Step:
    """Where the parameters sit, the blocks added up."""
    total, parts, shapes = count(model), dict[str, int](), dict[str, list[str]]()
    for name, p in model.named_parameters():
        part = ".".join(n for n in name.split(".")[:-1] if not n.isdigit())
        parts[part] = parts.get(part, 0) + p.numel()
        if not name.startswith("blocks") or name.startswith("blocks.0."):
            shapes.setdefault(part, []).append(str(tuple(p.shape)))
    parts["all"] = total
    notes = []
    for part, n in parts.items():
        each = " + ".join(shapes.get(part, []))
        notes.append(f"{n / total:6.1%}  {f'{model.n_layers} × ({each})' if part.startswith('blocks') else each}")
    names = [part.removeprefix("blocks.") for part in parts]
    values = torch.tensor(list(parts.values()))[:, None]
    feed = parts["blocks.feedforward.up"] + parts["blocks.feedforward.down"]
    return Step(
        "Parameters", "Where does a model keep what it learns?",
        f"Mostly in the feed-forward halves. This model has {model.n_layers} layers of {model.n_heads} heads and width "
        f"{model.d_model}, for a vocabulary of {model.vocab_size} characters: {total:,} parameters. The sinusoidal "
        f"table is computed and has none.",
        "a layer: 4 C² in attention, 8 C² in the feed-forward", (count,), (),
        (Matrix("parameters", "n", values, names, ("parameters",), "table", f"{total:,} numbers", notes, whole=True),),
        f"The feed-forwards have {feed / total:.1%} of all. Heads cost nothing: they share the same matrices, cut into "
        f"{model.n_heads} parts.",
        Change("heads", "4", "What if it has half as many heads?", ("parameters", -1, 0),
               "The number of heads says how the width is cut, not how wide it is: the matrices keep their size."),
    )  # fmt: skip


def _mistakes(x: Tensor, model: TransformerLM) -> list[Mistake]:
    own = attention_weights(x, x, causal=False)[0].diagonal()
    masked = attention_weights(x, x)[0].diagonal()
    asked, before = count(model), count(TransformerLM(**BEFORE, position=Sinusoidal))
    examples = CHARACTERS - SHAPE["block_size"]
    steps = EPOCHS * -(-examples // BATCH)
    return [
        Mistake(
            "Attention without projections",
            f"With Q = K = V a token can only look for what is like it: it gives itself {own.mean():.4f} on average, "
            f"with the mask {masked.mean():.4f}, where even shares would be 0.3333 and, with the mask, 0.6111. "
            f"“cat” cannot ask for a verb until matrices make a query that differs from a key.",
        ),
        Mistake(
            "Guessing the size of a model",
            f"A shape like this is often put at about {SAID // 1000}K parameters. Counted, it is {asked:,}, "
            f"{asked / SAID:.1f} times as many, and even a smaller one (width {BEFORE['d_model']}, {BEFORE['n_heads']} "
            f"heads, {BEFORE['n_layers']} layers) has {before:,}.",
        ),
        Mistake(
            "Training on every window, with no text held back",
            f"If every one of {examples:,} windows of {SHAPE['block_size']} characters is an example, each a character "
            f"after the one before, {EPOCHS} epochs in batches of {BATCH} are {steps:,} steps, {steps / 1e6:.1f} "
            f"million, that see every character {EPOCHS * SHAPE['block_size']:,} times; and with no split the loss "
            f"that is printed is of text that the model has seen.",
        ),
    ]


def _checks(model: TransformerLM) -> list[tuple[str, str]]:
    return [
        (
            "Why does the last row of the weights not change with the mask?",
            "The mask hides what comes later, and nothing comes after the last token.",
        ),
        (
            "What would attention without a mask make of “sat cat The”, were no positions added?",
            "The same rows in another order: nothing in the scores depends on where a token stands.",
        ),
        (
            f"How many parameters has the same model with {2 * model.n_heads} heads?",
            f"As many as with {model.n_heads}, {count(model):,}: heads share the same matrices, cut into more parts.",
        ),
    ]


WALK = Walk("part4", "attention with and without mask, positions, a block's shapes, 4.8M parameters", 42, tell)
