"""Compares Part 4's transformer with the fixed-context network of Parts 1 to 3.

    python benchmarks/part4_vs_mlp.py          200 steps of the transformer; takes about 12 minutes on 2 cores
    python benchmarks/part4_vs_mlp.py 50       50 steps of the transformer

Both use the same data, batches, optimizer and learning rate. The fixed-context network also trains for as many seconds
as the transformer, so that both equal steps and equal times can be compared.
"""

import json
import sys
import tempfile
from pathlib import Path

from common import run, save, table


def train(experiment, steps, interval):
    """Trains a model with `train.py`; returns the summary of the run."""
    with tempfile.TemporaryDirectory() as folder:
        lengths = (f"trainer.max_steps={steps}", f"trainer.val_check_interval={interval}")
        run(
            "train.py", f"experiment={experiment}", *lengths, "callbacks=none", "logger=none", f"hydra.run.dir={folder}"
        )
        return json.loads((Path(folder) / "summary.json").read_text())


def main(steps):
    part4 = train("part4", steps, steps)
    seconds = part4["train_seconds"]
    pace = train("mlp", 200, 200)["train_seconds"] / 200
    interval = max(steps // 2, 1)
    mlp = train("mlp", int(1.5 * seconds / pace / interval + 1) * interval, interval)
    equal_steps = next(h for h in mlp["history"] if h["step"] == steps)
    equal_seconds = min(mlp["history"], key=lambda h: abs(h["seconds"] - seconds))
    rows = [
        ("", "MLP (Parts 1-3)", "Transformer (Part 4)"),
        ("parameters", f"{mlp['parameters']:,}", f"{part4['parameters']:,}"),
        ("positions it can see", 8, 128),
        (f"val/loss after {steps} steps", f"{equal_steps['val_loss']:.4f}", f"{part4['val_loss']:.4f}"),
        (f"val/loss after {seconds:.0f} s", f"{equal_seconds['val_loss']:.4f}", f"{part4['val_loss']:.4f}"),
        ("steps in those seconds", f"{equal_seconds['step']:,}", f"{steps:,}"),
    ]
    table(rows)
    save("part4_vs_mlp", {"rows": rows, "mlp_seconds": equal_seconds["seconds"], "part4": part4, "mlp": mlp})


if __name__ == "__main__":
    main(int((sys.argv[1:2] or [200])[0]))
