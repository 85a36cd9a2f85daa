"""The overrides of a tiny run, and functions that read its `metrics.csv`."""

import csv

#: This run takes 3 s after the import of torch. It logs at steps 5, 10, 15 and 20, and validates at 10 and 20.
TINY = (
    *("train.py", "data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16"),
    *("trainer.val_check_interval=10", "trainer.log_every_n_steps=5", "trainer.threads=1"),
)


def table(folder):
    """Returns the rows of a run's `metrics.csv`."""
    with (folder / "metrics.csv").open(newline="") as f:
        return list(csv.DictReader(f))


def steps(folder, metric):
    """Returns the steps at which a run's `metrics.csv` has a value of a metric."""
    return [int(row["step"]) for row in table(folder) if row[metric]]
