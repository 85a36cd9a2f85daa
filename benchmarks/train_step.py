"""Tokens per second of `train.py` against a plain PyTorch loop with the same model, batch, precision and optimizer.

    python benchmarks/train_step.py                  all models; takes about 8 minutes on 2 cores
    python benchmarks/train_step.py quickstart 60    one model, 60 turns

Each loop runs in its own process. The processes take turns of about half a second, because the speed of a shared
machine drifts within seconds. Turns of the same round are compared, and the result is the median of the ratios.
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

#: by name: overrides for train.py, steps per turn, number of turns
WORK = {
    "quickstart": (("experiment=quickstart",), 20, 60),
    "nano": (("model=nano",), 10, 200),
    "part4": (("model=part4", "batch_size=64"), 1, 15),
}
TURN = "turn took "  #: marks the line with the seconds of a turn in the output


class Turns:
    """Divides training into turns: prints the seconds of a turn at its end, and waits for the next turn."""

    def __init__(self, steps):
        self.steps, self.done, self.began = steps, 0, 0.0

    def before_step(self):
        """Must be called before each training step."""
        if self.done % self.steps == 0:
            if self.done:
                print(f"\n{TURN}{time.perf_counter() - self.began}", flush=True)
            sys.stdin.readline()
            self.began = time.perf_counter()
        self.done += 1


def config(name):
    """Returns the checked config of an entry of `WORK`."""
    from hydra import compose, initialize_config_dir

    from headscope.config.composed import plain
    from headscope.config.keys import TrainConfig
    from headscope.config.schema import parse

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", [*WORK[name][0], "data=pydoc", "paths.run_dir=unused"])
    return parse(plain(cfg), TrainConfig)


def plain_loop(name):
    """Trains in a plain loop. For each step: draw windows, forward pass, backward pass, clip, update."""
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
        turns.before_step()
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
    """Runs `train.py` with the same config, in turns that begin and end at the start of a step."""
    from headscope.run.history import History

    overrides, steps, n_turns = WORK[name]
    turns, original = Turns(steps), History.on_train_batch_start

    def in_turns(*args):
        turns.before_step()
        original(*args)

    History.on_train_batch_start = in_turns
    many = 10 * steps * n_turns  # more than the measurement needs; the process is killed before the last step
    sys.argv = ["train.py", *overrides, "data=pydoc", f"trainer.max_steps={many}", f"trainer.val_check_interval={many}"]
    sys.argv += more
    runpy.run_path(str(ROOT / "train.py"), run_name="__main__")


class Contestant:
    """A process that waits for its turns."""

    def __init__(self, *arguments):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            cwd=ROOT,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.STDOUT,
            text=True,
            env={"GOMP_SPINCOUNT": SPIN} | os.environ,  # the same for all, because only the loops are compared
        )

    def turn(self):
        """Lets the process run one turn; returns the seconds of the turn."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        output = []
        for line in self.process.stdout:
            if line.startswith(TURN):
                return float(line.removeprefix(TURN))
            output.append(line)
        raise SystemExit("".join(output[-20:]))


def measure(name, turns):
    """Returns the seconds of each contestant's turns, without the first turn, which warms up."""
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
    figures, rows = {}, [("", "tokens/s", "relative to the plain loop", "relative to nothing watched")]
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
