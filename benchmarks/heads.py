"""Cost of describing every head at the default validation interval, as a share of training.

    python benchmarks/heads.py            nano and part4; takes about 2 minutes on 2 cores
    python benchmarks/heads.py nano       nano only

One process alternates between training and describing heads, so that the machine runs both at the same speed. A
description is everything that `callbacks.heads` does at a validation. The validation interval is the default
of `trainer=auto`.
"""

import itertools
import json
import runpy
import statistics
import sys
import tempfile
import time

from common import ROOT, run, save, table

#: by name: overrides for train.py, steps between two descriptions, number of descriptions
WORK = {
    "nano": (("model=nano",), 50, 16),
    "part4": (("model=part4", "batch_size=64"), 4, 8),
}
INTERVAL = 100  #: steps between two validations; val_check_interval of trainer=auto
FOUND = "found "  #: marks the line with the results in the output


def train(name):
    """Trains; prints the seconds of every step and of every description."""
    from headscope.run.history import History
    from headscope.watch.heads import Heads

    def timed(cls, hook, seconds):
        def call(*args):
            began = time.perf_counter()
            original(*args)
            seconds.append(time.perf_counter() - began)

        original = getattr(cls, hook)
        setattr(cls, hook, call)

    def record_start(*args):
        starts.append(time.perf_counter())
        original_start(*args)

    overrides, every, times = WORK[name]
    described, starts, original_start = [], [], History.on_train_batch_start
    timed(Heads, "on_validation_end", described)
    History.on_train_batch_start = record_start
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = ["train.py", *overrides, "data=pydoc", f"hydra.run.dir={folder}", "+trainer.limit_val_batches=1"]
        sys.argv += [f"trainer.max_steps={every * times}", f"trainer.val_check_interval={every}"]
        sys.argv += ["callbacks.heads.describe_from=1000000"]  # the rules after the last step are another matter
        try:
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        finally:
            steps = [b - a for a, b in itertools.pairwise(starts)]
            print(f"\n{FOUND}{json.dumps([steps, described])}", flush=True)


def main(names):
    figures, rows = {}, [("", "ms per step", "ms per description", f"of {INTERVAL} steps")]
    for name in names:
        output, _, _ = run("benchmarks/heads.py", "--train", name)
        (line,) = [line for line in output.splitlines() if line.startswith(FOUND)]
        steps, described = json.loads(line.removeprefix(FOUND))
        step = statistics.median(steps)
        # Only the second half of the run counts, because heads then have roles, whose ablations cost extra passes.
        description = statistics.median(described[len(described) // 2 :])
        figures[name] = {"step": step, "description": description, "share": description / (INTERVAL * step)}
        rows.append((name, f"{step * 1e3:.1f}", f"{description * 1e3:.0f}", f"{figures[name]['share']:.2%}"))
    table(rows)
    save("heads", figures)


if __name__ == "__main__":
    role, *rest = sys.argv[1:] or [""]
    if role == "--train":
        train(*rest)
    else:
        main([role] if role else list(WORK))
