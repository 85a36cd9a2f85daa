"""The overrides of a tiny run, and functions that read its `metrics.csv`."""

import csv

#: Takes 3 s after the import of torch. Logged at 5, 10, 15, 20; validated at 10 and 20.
TINY = (
    *("train.py", "data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16"),
    *("trainer.val_check_interval=10", "trainer.log_every_n_steps=5", "trainer.threads=1"),
)


def table(folder):
    """The rows of a run's `metrics.csv`."""
    with (folder / "metrics.csv").open(newline="") as f:
        return list(csv.DictReader(f))


def steps(folder, metric):
    """The steps that have a value of a metric in a run's `metrics.csv`."""
    return [int(row["step"]) for row in table(folder) if row[metric]]
