"""A machine on which another process computes: `experiment=quickstart` alone and beside it, by how threads wait.

    python benchmarks/busy.py            150 steps, three rounds, about 15 minutes on 2 cores
    python benchmarks/busy.py 50 1       steps, rounds

Threads of OpenMP wait for each other many times a step. While they spin they hold the core that the other process
could be done with. GOMP_SPINCOUNT is how long libgomp's threads, which PyTorch brings along on Linux, spin before they
sleep. Figures are the best of the rounds, in seconds of training.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import run, save, table

#: By name: environment, and more of the command.
WAYS = {
    "ours": ({}, ()),
    "GOMP_SPINCOUNT=100": ({"GOMP_SPINCOUNT": "100"}, ()),
    "GOMP_SPINCOUNT=1000": ({"GOMP_SPINCOUNT": "1000"}, ()),
    "GOMP_SPINCOUNT=10000": ({"GOMP_SPINCOUNT": "10000"}, ()),
    "libgomp's own (300000)": ({"GOMP_SPINCOUNT": "300000"}, ()),
    "OMP_WAIT_POLICY=PASSIVE": ({"OMP_WAIT_POLICY": "PASSIVE"}, ()),
    "one thread": ({}, ("trainer.threads=1",)),
}
BUSY = "while True: sum(range(100000))"


def seconds(steps, environment, more):
    """Seconds of training."""
    with tempfile.TemporaryDirectory() as folder:
        lengths = (f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps}", "data=pydoc")
        where = (f"hydra.run.dir={folder}/run", "callbacks=none", "logger=none")
        run("train.py", "experiment=quickstart", *lengths, *where, *more, environment=environment)
        return json.loads((Path(folder) / "run" / "summary.json").read_text())["train_seconds"]


def beside(*measured):
    """The same beside a process that computes without end."""
    other = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        return seconds(*measured)
    finally:
        other.kill()
        other.wait()


def main(steps=150, rounds=3):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        os.environ.pop(name, None)  # what is measured is what we set
    figures = {name: {"alone": [], "beside another": []} for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            figures[name]["alone"].append(seconds(steps, *way))
            figures[name]["beside another"].append(beside(steps, *way))
    rows = [(f"seconds for {steps} steps", "alone", "beside another", "ratio")]
    for name, taken in figures.items():
        alone, other = min(taken["alone"]), min(taken["beside another"])
        rows.append((name, f"{alone:.1f}", f"{other:.1f}", f"{other / alone:.1f}"))
    table(rows)
    save("busy", {"steps": steps, "seconds": figures})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
