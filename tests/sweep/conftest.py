"""Sweeps of jobs that take a second each."""

import json
import re

import pytest

from tests.conftest import shell

JOB = (
    *("data=pydoc", "model.d_model=32", "model.n_layers=1", "model.block_size=32", "trainer=cpu", "trainer.threads=1"),
    *("trainer.max_steps=20", "trainer.val_check_interval=10", "callbacks.samples=null"),
)


def table(folder):
    """What a sweep came to: position, seed and losses of every run that has a summary."""
    found = {}
    for path in sorted(folder.glob("*/summary.json")):
        s = json.loads(path.read_text())
        found[path.parent.name] = s["status"], s["position"], s["seed"], s["val_loss"], s["train_loss"]
    return found


def ranking(folder):
    """The ranking of a report, without the seconds, which no two runs share."""
    text = (folder / "report.md").read_text()
    rows = [line.split("|") for line in text.partition("## Ranking")[2].partition("##")[0].splitlines() if "|" in line]
    seconds = next(i for i, cell in enumerate(rows[0]) if cell.strip() == "seconds")
    return [row[:seconds] for row in rows], re.findall(r"^- .*", text.partition("## Ranking")[2].partition("##")[0])


@pytest.fixture(scope="session")
def swept(tmp_path_factory):
    """A sweep of four jobs, two of which compose but cannot be built; its folder and what it printed."""
    folder = tmp_path_factory.mktemp("sweep") / "s"
    command = ("train.py", "-m", *JOB, "position=rope", "heads=h4,h6", "seed=1,2", "hydra.launcher.n_jobs=2")
    return folder, shell(*command, f"hydra.sweep.dir={folder}")
