"""Tokens a second of `train.py` against a plain PyTorch loop of the same model, batch, precision and optimizer.

    python benchmarks/train_step.py            both sizes, about 5 minutes on 2 cores
    python benchmarks/train_step.py nano 60    one size, turns

The contestants are processes that stand side by side and take turns of half a second or so, one at a time, because the
speed of a shared machine drifts within seconds: each turn is compared with its neighbour's, and the median quoted.
"""

import runpy
import statistics
import subprocess
import sys
import tempfile
import time

from common import ROOT, save, table

#: steps a turn, windows a batch, turns
SIZES = {"nano": (10, 16, 60), "part4": (1, 64, 15)}
TURN = "turn took "


class Turns:
    """Before each step: after as many as a turn has, says how long they took and waits for the next turn."""

    def __init__(self, steps):
        self.steps, self.done, self.began = steps, 0, 0.0

    def step(self):
        if self.done % self.steps == 0:
            if self.done:
                print(f"\n{TURN}{time.perf_counter() - self.began}", flush=True)
            sys.stdin.readline()
            self.began = time.perf_counter()
        self.done += 1


def model(size):
    """The options of `conf/model`."""
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        options = compose("train", [f"model={size}"]).model
    return {k: v for k, v in options.items() if k not in ("_target_", "position")}


def plain(size):
    """The loop that everyone writes: gather, forward, backward, clip, step."""
    import torch
    import torch.nn.functional as F

    from headscope.data.pydoc import PyDoc
    from headscope.model.position import Sinusoidal
    from headscope.model.transformer import TransformerLM

    steps, batch_size, _ = SIZES[size]
    shape = model(size)
    corpus = PyDoc().load(shape["block_size"])
    torch.manual_seed(1)
    lm = TransformerLM(len(corpus.tokenizer), **shape, position=Sinusoidal)
    optimizer = torch.optim.AdamW(lm.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
    ids, t = corpus.train.ids, shape["block_size"]
    turns = Turns(steps)
    while True:
        turns.step()
        starts = torch.randint(len(ids) - t, (batch_size,))
        window = ids[starts[:, None] + torch.arange(t + 1)].long()
        logits = lm(window[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
        optimizer.step()


def ours(size, *more):
    """`train.py` with the same work; a turn is everything from one step's start to another's."""
    from headscope.run.history import History

    steps, batch_size, n_turns = SIZES[size]
    turns, start = Turns(steps), History.on_train_batch_start

    def step(*args):
        turns.step()
        start(*args)

    History.on_train_batch_start = step
    many = 10 * steps * n_turns  # it is ended before
    sys.argv = ["train.py", f"model={size}", "data=pydoc", f"batch_size={batch_size}", "trainer.precision=32-true"]
    sys.argv += [f"trainer.max_steps={many}", f"trainer.val_check_interval={many}", *more]
    runpy.run_path(str(ROOT / "train.py"), run_name="__main__")


class Contestant:
    """A process that works when it is told to."""

    def __init__(self, *arguments):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            cwd=ROOT,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def turn(self):
        """Gives it a turn; the seconds that it took."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        said = []
        for line in self.process.stdout:
            if line.startswith(TURN):
                return float(line.removeprefix(TURN))
            said.append(line)
        raise SystemExit("".join(said[-20:]))


def measure(size, turns):
    """Seconds a turn of each contestant, after one turn to warm up."""
    with tempfile.TemporaryDirectory() as folder:
        contestants = {
            "plain loop": Contestant("--plain", size),
            "train.py, nothing watched": Contestant(
                "--ours", size, f"hydra.run.dir={folder}/none", "callbacks=none", "logger=none"
            ),
            "train.py": Contestant("--ours", size, f"hydra.run.dir={folder}/all"),
        }
        try:
            rounds = [{name: c.turn() for name, c in contestants.items()} for _ in range(turns + 1)]
        finally:
            for c in contestants.values():
                c.process.kill()
                c.process.wait()
    return {name: [r[name] for r in rounds[1:]] for name in contestants}


def main(sizes, turns=None):
    figures, rows = {}, [("", "tokens/s", "of the plain loop", "of nothing watched")]
    for size in sizes:
        steps, batch_size, usual = SIZES[size]
        seconds = measure(size, turns or usual)
        figures[size] = {"steps_a_turn": steps, "seconds": seconds, "ratio": {}}
        for name, values in seconds.items():
            ratios = []
            for other in ("plain loop", "train.py, nothing watched"):
                ratio = statistics.median(b / a for a, b in zip(values, seconds[other], strict=True))
                figures[size]["ratio"][f"{name} / {other}"] = ratio
                ratios.append(f"{ratio:.3f}")
            speed = steps * batch_size * model(size)["block_size"] / statistics.median(values)
            rows.append((f"{size}: {name}", f"{speed:,.0f}", *ratios))
    table(rows)
    save("train_step", figures)


if __name__ == "__main__":
    role, *rest = sys.argv[1:] or [""]
    if role == "--plain":
        plain(*rest)
    elif role == "--ours":
        ours(*rest)
    else:
        main([role] if role else list(SIZES), *map(int, rest))
