"""Generated tokens per second, against nanoGPT's method, which recomputes the whole context in fp32 for every token.

    python benchmarks/decode.py                all models; takes about 3 minutes on 2 cores
    python benchmarks/decode.py nano 20        one model, 20 turns

The models have random weights and the sizes in `conf/model`. Each turn of Headscope starts from a full context of
T tokens and draws T / 2 tokens. This is one whole cycle: the model drops the older half of its context, reads the rest
in one pass, and fills the context again. The methods take turns in one process, because the speed of a shared machine
drifts, and each turn is compared with the turn of the other method in the same round.
"""

import os
import statistics
import sys
import time

from common import save, table

from headscope.waiting import SPIN

# `generate.py` sets this value if cores are free. It must be set before torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", SPIN)

#: width, heads, layers, context, tokens per turn of the plain loop, number of turns
SIZES = {"nano": (128, 4, 4, 64, 32, 40), "part4": (256, 8, 6, 128, 8, 40), "baby": (384, 6, 6, 256, 4, 30)}
PLAIN, OURS, PART4_BLOCK = "plain loop", "ours", "ours, Part 4's block"
UNDRAFTED, MANY = "ours, no draft", "ours, 16 at once"


def plain(model, block_size, ids, n):
    """Generates n tokens as nanoGPT does. For each token: crop, forward pass, temperature, softmax, one draw."""
    import torch
    import torch.nn.functional as F

    with torch.no_grad():
        for _ in range(n):
            logits = model(ids[:, -block_size:], last=True)[:, -1] / 0.8
            ids = torch.cat((ids, F.softmax(logits, -1).multinomial(1)), 1)


def contestants(size):
    """Returns, for each method's name, a function that runs one turn and the number of tokens that it draws."""
    import torch
    from nanogpt import build

    from headscope.generation.decode import decode
    from headscope.generation.fast_copies import draft
    from headscope.generation.sampling import Sampling
    from headscope.model.feedforward import GELU, SquaredReLU
    from headscope.model.position import Rotary, Sinusoidal
    from headscope.model.qk_norm import QKNorm, Unit
    from headscope.model.transformer import TransformerLM

    width, heads, layers, t, n_plain, _ = SIZES[size]
    torch.manual_seed(1)
    ids = torch.randint(65, (16, t))

    def ours(*parts):
        lm = TransformerLM(65, width, heads, layers, t, 0.0, *parts).eval()
        for p in lm.parameters():
            if p.ndim > 1:
                torch.nn.init.normal_(p, std=p.shape[-1] ** -0.5)
        return lm

    def turn(lm, rows, draft_model):
        generators = [torch.Generator().manual_seed(row) for row in range(rows)]
        return lambda: list(decode(lm, ids[:rows], t // 2, Sampling(), generators, draft_model))

    theirs = build(65, width, heads, layers, t).eval()
    recipe, part4 = ours(Rotary, SquaredReLU, Unit), ours(Sinusoidal, GELU, QKNorm)
    found = {
        PLAIN: (lambda: plain(theirs, t, ids[:1], n_plain), n_plain),
        OURS: (turn(recipe, 1, draft(recipe)), t // 2),
        PART4_BLOCK: (turn(part4, 1, draft(part4)), t // 2),
        UNDRAFTED: (turn(recipe, 1, None), t // 2),
        MANY: (turn(recipe, 16, None), 16 * (t // 2)),
    }
    return found if draft(recipe) else {k: v for k, v in found.items() if k != UNDRAFTED}


def main(sizes, turns=None):
    figures, rows = {}, [("", "tokens/s", "of the plain loop", "of ours")]
    for size in sizes:
        found = contestants(size)
        rates = {name: [] for name in found}
        for number in range(1 + (turns or SIZES[size][-1])):
            for name, (work, tokens) in found.items():
                began = time.perf_counter()
                work()
                if number:  # the first turn only warms up
                    rates[name].append(tokens / (time.perf_counter() - began))
        ratio = {
            f"{name} / {other}": statistics.median(a / b for a, b in zip(rates[name], rates[other], strict=True))
            for name in found
            for other in (PLAIN, OURS)
        }
        medians = {name: statistics.median(r) for name, r in rates.items()}
        figures[size] = {"tokens_per_second": medians, "ratio": ratio}
        for name in found:
            of = (f"{ratio[f'{name} / {other}']:.2f}" for other in (PLAIN, OURS))
            rows.append((f"{size}: {name}", f"{medians[name]:,.0f}", *of))
    table(rows)
    save("decode", figures)


if __name__ == "__main__":
    size, *rest = sys.argv[1:] or [""]
    main([size] if size else list(SIZES), *map(int, rest))
