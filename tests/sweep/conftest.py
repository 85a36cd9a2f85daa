"""Sweeps of jobs that take one second each."""

import json
import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher

from headscope.files import write_json
from headscope.run import lock
from headscope.run.folder import RunFolder
from headscope.sweep import jobs
from tests.conftest import shell

JOB = (
    *("data=pydoc", "model.d_model=32", "model.n_layers=1", "model.block_size=32", "trainer=cpu", "trainer.threads=1"),
    *("trainer.max_steps=20", "trainer.val_check_interval=10", "callbacks.samples=null"),
)


def table(folder):
    """Returns status, position, seed and losses of every run that has a summary."""
    found = {}
    for path in sorted(folder.glob("*/summary.json")):
        s = json.loads(path.read_text())
        found[path.parent.name] = s["status"], s["position"], s["seed"], s["val_loss"], s["train_loss"]
    return found


def ranking(folder):
    """Returns the ranking of a report, without the seconds, which differ between runs."""
    text = (folder / "report.md").read_text()
    rows = [line.split("|") for line in text.partition("## Ranking")[2].partition("##")[0].splitlines() if "|" in line]
    seconds = next(i for i, cell in enumerate(rows[0]) if cell.strip() == "seconds")
    return [row[:seconds] for row in rows], re.findall(r"^- .*", text.partition("## Ranking")[2].partition("##")[0])


@pytest.fixture(scope="session")
def swept(tmp_path_factory):
    """Runs a sweep of four jobs, two of which cannot be built; returns the folder and the finished process."""
    folder = tmp_path_factory.mktemp("sweep") / "s"
    command = ("train.py", "-m", *JOB, "position=rope", "heads=h4,h6", "seed=1,2", "hydra.launcher.n_jobs=2")
    return folder, shell(*command, f"hydra.sweep.dir={folder}")


class Pretend(Launcher):
    """A launcher of Hydra that trains nothing: the loss of a job is a function of its values.

    Args:
        folder: of the sweep.
        loss: of a job's values by key; an exception that it raises is how the job fails.
    """

    def __init__(self, folder, loss=lambda values: 1.0):
        self.folder, self.loss, self.launched = folder, loss, []

    def setup(self, **kwargs):
        """Does nothing, because no preparation is needed."""

    def launch(self, job_overrides, initial_job_idx):
        parser = OverridesParser.create()
        for overrides in job_overrides:
            values = {o.key_or_group: o.value() for o in parser.parse_overrides(list(overrides))}
            run = RunFolder(self.folder / values.pop("hydra.sweep.subdir"))
            self.launched.append((initial_job_idx, run.path.name))
            run.record(values, [o for o in overrides if not o.startswith("hydra.")])
            steps = values.get("trainer.max_steps", 20)
            try:
                history = [{"step": steps, "seconds": 1.0, "val_loss": self.loss(values)}]
            except ValueError as e:
                jobs.append_to_log(run, f"error: {e}")
            else:
                write_json(
                    run.summary_file,
                    {"status": "completed", "steps": steps, "val_loss": history[0]["val_loss"], "history": history},
                )


@pytest.fixture
def next_process(monkeypatch):
    """Makes this process forget which folders it owns, so that it can resume one as another process would."""

    def forget(folder):
        lock.release(folder)
        monkeypatch.setattr(jobs, "_launched", {})
        monkeypatch.setattr(jobs, "resumed", [str(folder)])

    return forget
