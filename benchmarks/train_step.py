"""Tokens a second of `train.py` against a plain PyTorch loop of the same model, batch, precision and optimizer.

    python benchmarks/train_step.py            both sizes, about 6 minutes on 2 cores
    python benchmarks/train_step.py nano 5     one size, rounds

The contestants take turns, each in a process of its own, because the speed of a shared machine drifts: the ratio of
neighbours is what to quote.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, run, save, table

#: steps a turn, windows a batch
SIZES = {"nano": (150, 16), "part4": (6, 64)}


def plain(size):
    """The loop that everyone writes: gather, forward, backward, clip, step. Prints its tokens a second."""
    import torch
    import torch.nn.functional as F
    from hydra import compose, initialize_config_dir

    from headscope.data.sources import PyDoc
    from headscope.model.position import Sinusoidal
    from headscope.model.transformer import TransformerLM

    steps, batch_size = SIZES[size]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        shape = {
            k: v for k, v in compose("train", [f"model={size}"]).model.items() if k not in ("_target_", "position")
        }
    corpus = PyDoc().load(shape["block_size"])
    torch.manual_seed(1)
    model = TransformerLM(len(corpus.tokenizer), **shape, position=Sinusoidal)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
    ids, t = corpus.train.ids, shape["block_size"]
    began = time.perf_counter()
    for _ in range(steps):
        starts = torch.randint(len(ids) - t, (batch_size,))
        window = ids[starts[:, None] + torch.arange(t + 1)].long()
        logits = model(window[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    print(steps * batch_size * t / (time.perf_counter() - began))


def ours(size, *more):
    """`train.py` with the same work; its tokens a second, validation left out."""
    steps, batch_size = SIZES[size]
    with tempfile.TemporaryDirectory() as folder:
        command = ["train.py", f"model={size}", "data=pydoc", f"batch_size={batch_size}", "trainer.precision=32-true"]
        command += [
            f"trainer.max_steps={steps}",
            f"trainer.val_check_interval={steps}",
            f"hydra.run.dir={folder}",
            *more,
        ]
        run(*command)
        return json.loads((Path(folder) / "summary.json").read_text())["tokens_per_second"]


def main(sizes, rounds):
    contestants = {
        "plain loop": lambda size: float(run(__file__, "--plain", size)[0]),
        "train.py, nothing watched": lambda size: ours(size, "callbacks=none", "logger=none"),
        "train.py": lambda size: ours(size),
    }
    figures, rows = {}, [("", "tokens/s", "of the plain loop", "of nothing watched")]
    for size in sizes:
        speeds = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, contestant in contestants.items():
                speeds[name].append(contestant(size))
        figures[size] = {"rounds": rounds, "tokens_per_second": speeds, "ratio": {}}
        for name, values in speeds.items():
            ratios = []
            for other in ("plain loop", "train.py, nothing watched"):
                pairs = [a / b for a, b in zip(values, speeds[other], strict=True)]
                figures[size]["ratio"][f"{name} / {other}"] = statistics.median(pairs)
                ratios.append(f"{statistics.median(pairs):.3f}")
            rows.append((f"{size}: {name}", f"{statistics.median(values):,.0f}", *ratios))
    table(rows)
    save("train_step", figures)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--plain"]:
        plain(sys.argv[2])
    else:
        main(sys.argv[1:2] or list(SIZES), int((sys.argv[2:3] or [5])[0]))
