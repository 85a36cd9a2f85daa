"""Training speed next to another busy process, for several settings of how threads wait.

    python benchmarks/busy.py            150 steps, three rounds; takes about 15 minutes on 2 cores
    python benchmarks/busy.py 50 1       number of steps, number of rounds

The benchmark runs `experiment=quickstart` alone, and then next to a process that computes all the time. In each step,
OpenMP's threads wait for each other many times. A thread that spins while it waits occupies a core that the other
process needs. GOMP_SPINCOUNT sets how long the threads of libgomp, which is part of PyTorch on Linux, spin before they
sleep. The table shows the seconds of training in the fastest round.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import run, save, table

#: Environment variables and additional overrides of each setting, by the setting's name.
SETTINGS = {
    "ours": ({}, ()),
    "GOMP_SPINCOUNT=100": ({"GOMP_SPINCOUNT": "100"}, ()),
    "GOMP_SPINCOUNT=1000": ({"GOMP_SPINCOUNT": "1000"}, ()),
    "GOMP_SPINCOUNT=10000": ({"GOMP_SPINCOUNT": "10000"}, ()),
    "libgomp's default (300000)": ({"GOMP_SPINCOUNT": "300000"}, ()),
    "OMP_WAIT_POLICY=PASSIVE": ({"OMP_WAIT_POLICY": "PASSIVE"}, ()),
    "one thread": ({}, ("trainer.threads=1",)),
}
BUSY = "while True: sum(range(100000))"


def train_seconds(steps, environment, overrides):
    """Trains in a new process; returns the seconds of training."""
    with tempfile.TemporaryDirectory() as folder:
        lengths = (f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps}", "data=pydoc")
        where = (f"hydra.run.dir={folder}/run", "callbacks=none", "logger=none")
        run("train.py", "experiment=quickstart", *lengths, *where, *overrides, environment=environment)
        return json.loads((Path(folder) / "run" / "summary.json").read_text())["train_seconds"]


def train_seconds_next_to_busy_process(*arguments):
    """Returns the seconds of training while another process computes."""
    other = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        return train_seconds(*arguments)
    finally:
        other.kill()
        other.wait()


def main(steps=150, rounds=3):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        os.environ.pop(name, None)  # so that only the variables in SETTINGS apply
    figures = {name: {"alone": [], "beside another": []} for name in SETTINGS}
    for _ in range(rounds):
        for name, setting in SETTINGS.items():
            figures[name]["alone"].append(train_seconds(steps, *setting))
            figures[name]["beside another"].append(train_seconds_next_to_busy_process(steps, *setting))
    rows = [(f"seconds for {steps} steps", "alone", "next to a busy process", "ratio")]
    for name, taken in figures.items():
        alone, other = min(taken["alone"]), min(taken["beside another"])
        rows.append((name, f"{alone:.1f}", f"{other:.1f}", f"{other / alone:.1f}"))
    table(rows)
    save("busy", {"steps": steps, "seconds": figures})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
