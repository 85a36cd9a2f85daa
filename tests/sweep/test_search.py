"""A search that is killed and goes on."""

import json
import subprocess
import sys
import time

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from headscope.errors import UserError
from headscope.run.folder import RunFolder
from headscope.sweep.search import distribution
from tests.cli.test_commands import refused
from tests.conftest import ROOT, shell
from tests.sweep.conftest import JOB


def parsed(text):
    return distribution(OverridesParser.create().parse_override(text))


def test_what_can_be_chosen():
    lr = parsed("optimizer.lr=tag(log, interval(1e-4, 1e-2))")
    assert (lr.low, lr.high, lr.log) == (1e-4, 1e-2, True)
    layers = parsed("model.n_layers=range(2, 7, 2)")
    assert (layers.low, layers.high, layers.step) == (2, 6, 2)
    assert parsed("position=rope,alibi").choices == ("rope", "alibi")
    for text in ("x=glob(*)", "x=tag(log, interval(0, 1))", "x=interval(1, 0.5)", "x=range(5, 1)"):
        with pytest.raises(UserError, match="cannot be searched"):
            parsed(text)


def test_a_search_needs_something_to_choose(tmp_path):
    fixed = ("optimizer.lr=1e-3", "heads=h2", "schedule.warmup_steps=5", f"hydra.sweep.dir={tmp_path}/s")
    assert "a search needs something to choose" in refused(
        shell("train.py", "sweep=search", *JOB, *fixed, "position=rope")
    )
    assert "there is no position=ropee" in refused(
        shell("train.py", "sweep=search", *JOB, *fixed, "position=rope,ropee")
    )
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_a_search_of_twelve_trials_is_killed_goes_on_and_prunes(tmp_path):
    folder = tmp_path / "s"
    command = (
        *("train.py", "sweep=search", *JOB, "~experiment", "trainer.max_steps=100", "heads=h2,h4", "position=rope"),
        *("trainer.val_check_interval=10", "optimizer.lr=tag(log, interval(1e-6, 1e-1))", "schedule.warmup_steps=0"),
        *("hydra.sweeper.n_trials=12", "hydra.sweeper.warmup_steps=20", "hydra.launcher.n_jobs=2"),
    )
    process = subprocess.Popen(
        [sys.executable, *command, f"hydra.sweep.dir={folder}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(list(folder.glob("*/summary.json"))) < 5:
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    done = shell("train.py", f"resume={folder}", timeout=600)
    assert done.returncode == 0, done.stderr
    jobs = json.loads((folder / "sweep.json").read_text())["jobs"]
    assert [job["name"][:2] for job in jobs] == [f"{i:02}" for i in range(12)]
    assert len({tuple(job["overrides"]) for job in jobs}) == 12, "nothing is tried twice"
    states = [RunFolder(folder / job["name"]).status().state for job in jobs]
    assert set(states) == {"completed", "pruned"}
    best = min(
        RunFolder(folder / j["name"]).status().val_loss for j, s in zip(jobs, states, strict=True) if s == "completed"
    )
    assert f"{best:.4f}" in (folder / "report.md").read_text().partition("| 1 |")[2].splitlines()[0]
    assert "chooses among other values" in refused(shell("train.py", f"resume={folder}", "heads=h1,h2"))
    with (folder / "search.log").open("a") as log:
        log.write('{"op_code": 4, "wor')  # a disk that was full
    again = shell("train.py", f"resume={folder}")
    assert again.returncode == 0, again.stderr
    assert "started" not in again.stdout
