"""Tokens a second of `train.py` against a plain PyTorch loop of the same model, batch, precision and optimizer.

    python benchmarks/train_step.py                  all, about 8 minutes on 2 cores
    python benchmarks/train_step.py quickstart 60    one, turns

The contestants are processes that stand side by side and take turns of half a second or so, one at a time, because the
speed of a shared machine drifts within seconds: each turn is compared with its neighbour's, and the median quoted.
"""

import os
import runpy
import statistics
import subprocess
import sys
import tempfile
import time

from common import ROOT, save, table

from headscope.waiting import SPIN

#: what is asked of train.py, steps a turn, turns
WORK = {
    "quickstart": (("experiment=quickstart",), 20, 60),
    "nano": (("model=nano",), 10, 200),
    "part4": (("model=part4", "batch_size=64"), 1, 15),
}
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


def config(name):
    """The checked config of a work."""
    from hydra import compose, initialize_config_dir

    from headscope.config.composed import plain
    from headscope.config.keys import TrainConfig
    from headscope.config.schema import parse

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", [*WORK[name][0], "data=pydoc", "paths.run_dir=unused"])
    return parse(plain(cfg), TrainConfig)


def plain_loop(name):
    """The loop that everyone writes: gather, forward, backward, clip, step."""
    import torch
    import torch.nn.functional as F

    from headscope.training.hardware import Machine, choose

    ours = config(name)
    t = ours.model.keywords["block_size"]
    corpus = ours.data().load(t)
    torch.manual_seed(1)
    lm = ours.model(len(corpus.tokenizer))
    choice = choose(Machine.here(), ours.trainer)
    optimizer = ours.optimizer(lm, choice.fused)
    half = torch.autocast("cpu", torch.bfloat16, enabled=choice.precision == "bf16-mixed")
    ids = corpus.train.ids
    turns = Turns(WORK[name][1])
    while True:
        turns.step()
        starts = torch.randint(len(ids) - t, (ours.batch_size,))
        window = ids[starts[:, None] + torch.arange(t + 1)].long()
        with half:
            logits = lm(window[:, :-1])
        loss = F.cross_entropy(logits.float().flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
        optimizer.step()


def ours(name, *more):
    """`train.py` with the same work; a turn is everything from one step's start to another's."""
    from headscope.run.history import History

    overrides, steps, n_turns = WORK[name]
    turns, start = Turns(steps), History.on_train_batch_start

    def step(*args):
        turns.step()
        start(*args)

    History.on_train_batch_start = step
    many = 10 * steps * n_turns  # it is ended before
    sys.argv = ["train.py", *overrides, "data=pydoc", f"trainer.max_steps={many}", f"trainer.val_check_interval={many}"]
    sys.argv += more
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
            env={"GOMP_SPINCOUNT": SPIN} | os.environ,  # as our commands set it: the loop is what is compared
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


def measure(name, turns):
    """Seconds a turn of each contestant, after one turn to warm up."""
    with tempfile.TemporaryDirectory() as folder:
        contestants = {
            "plain loop": Contestant("--plain", name),
            "train.py, nothing watched": Contestant(
                "--ours", name, f"hydra.run.dir={folder}/none", "callbacks=none", "logger=none"
            ),
            "train.py": Contestant("--ours", name, f"hydra.run.dir={folder}/all"),
        }
        try:
            rounds = [{name: c.turn() for name, c in contestants.items()} for _ in range(turns + 1)]
        finally:
            for c in contestants.values():
                c.process.kill()
                c.process.wait()
    return {name: [r[name] for r in rounds[1:]] for name in contestants}


def main(names, turns=None):
    figures, rows = {}, [("", "tokens/s", "of the plain loop", "of nothing watched")]
    for name in names:
        _, steps, usual = WORK[name]
        seconds, work = measure(name, turns or usual), config(name)
        figures[name] = {"steps_a_turn": steps, "seconds": seconds, "ratio": {}}
        for contestant, values in seconds.items():
            ratios = []
            for other in ("plain loop", "train.py, nothing watched"):
                ratio = statistics.median(b / a for a, b in zip(values, seconds[other], strict=True))
                figures[name]["ratio"][f"{contestant} / {other}"] = ratio
                ratios.append(f"{ratio:.3f}")
            speed = steps * work.batch_size * work.model.keywords["block_size"] / statistics.median(values)
            rows.append((f"{name}: {contestant}", f"{speed:,.0f}", *ratios))
    table(rows)
    save("train_step", figures)


if __name__ == "__main__":
    role, *rest = sys.argv[1:] or [""]
    if role == "--plain":
        plain_loop(*rest)
    elif role == "--ours":
        ours(*rest)
    else:
        main([role] if role else list(WORK), *map(int, rest))
