"""Sweeps with Hydra's own sweepers, launchers and callbacks."""

import json
import shutil

import pytest

from headscope.sweep.jobs import Manifest
from tests.cli.test_commands import refused
from tests.conftest import shell
from tests.sweep.conftest import JOB, table

TINY = (*JOB[:-1], "trainer.max_steps=10", "callbacks=none", "logger=none")
BASIC = ("hydra/sweeper=basic", "hydra/launcher=basic")


@pytest.fixture(scope="module")
def basic(tmp_path_factory):
    """Runs two jobs in one process with Hydra's own sweeper and launcher; the second job cannot be built."""
    folder = tmp_path_factory.mktemp("basic") / "s"
    probe = folder.parent / "probe.py"
    probe.write_text(
        "from hydra.experimental.callback import Callback\n"
        "class Probe(Callback):\n"
        "    def on_job_end(self, config, job_return, **kwargs):\n"
        f"        with open({str(probe.with_suffix('.txt'))!r}, 'a') as f: print(job_return.status.name, file=f)\n"
    )
    done = shell(
        *("train.py", "-m", *BASIC, *TINY, "heads=h4,h6", f"hydra.sweep.dir={folder}"),
        "+hydra.callbacks.probe._target_=probe.Probe",
        PYTHONPATH=f"{folder.parent}:src",
    )
    return folder, done, probe.with_suffix(".txt").read_text().split()


def test_hydras_own_sweeper_and_launcher_end_with_our_report(basic):
    folder, done, _ = basic
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: 1 of 2 jobs did not complete\n  1: 6 heads do not divide the width d_model=32" in done.stderr
    assert "Error executing job" not in done.stderr
    report = (folder / "report.md").read_text()
    assert "2 jobs: 1 completed, 1 failed. Swept: 2 of heads." in report
    assert "6 heads do not divide" in report
    assert json.loads((folder / "0" / "summary.json").read_text())["status"] == "completed"


def test_a_mistake_is_said_even_where_a_job_failed_before(basic):
    line = refused(shell("train.py", "-m", *BASIC, *TINY, "heads=h4,h5", f"hydra.sweep.dir={basic[0]}"))
    assert "there is no heads=h5" in line


def test_hydras_callbacks_see_how_a_job_ended(basic):
    assert basic[2] == ["COMPLETED", "FAILED"]


def test_a_single_run_that_fails_tells_hydras_callbacks_too(tmp_path):
    (tmp_path / "probe.py").write_text(
        "from hydra.experimental.callback import Callback\n"
        "class Probe(Callback):\n"
        "    def on_job_end(self, config, job_return, **kwargs): print('ended', job_return.status.name)\n"
    )
    done = shell(
        *("train.py", *TINY, "heads=h6", f"hydra.run.dir={tmp_path}/run"),
        "+hydra.callbacks.probe._target_=probe.Probe",
        PYTHONPATH=f"{tmp_path}:src",
    )
    assert "6 heads do not divide" in refused(done)
    assert done.stdout == "ended FAILED\n"


@pytest.mark.slow
def test_batches_of_hydras_sweeper_through_our_launcher(tmp_path):
    folder = tmp_path / "s"
    batches = ("hydra/sweeper=basic", "hydra.sweeper.max_batch_size=1")
    done = shell("train.py", "-m", *batches, *TINY, "position=rope,none", f"hydra.sweep.dir={folder}")
    assert done.returncode == 0, done.stderr
    assert len(table(folder)) == 2
    assert [job.values["position"] for job in Manifest.read(folder).jobs] == ["rope", "none"]
    assert "2 jobs: 2 completed. Swept: 2 of position." in (folder / "report.md").read_text()


def test_a_search_ends_with_its_space_and_trains_nothing_twice(tmp_path):
    folder, space = tmp_path / "s", ("position=rope,none", "heads=h2", "optimizer.lr=1e-3", "schedule.warmup_steps=2")
    search = ("train.py", "-m", "sweep=search", *TINY, *space, "hydra.sweeper.n_trials=7")
    done = shell(*search, "hydra.launcher.n_jobs=2", f"hydra.sweep.dir={folder}")
    assert done.returncode == 0, done.stderr
    assert "the search is over: all 2 combinations have been tried" in done.stdout
    assert sorted(row[1] for row in table(folder).values()) == ["none", "rope"]
    again = shell("train.py", f"resume={folder}")
    assert again.returncode == 0, again.stderr
    assert "started" not in again.stdout


@pytest.mark.slow
def test_a_search_goes_through_any_launcher(tmp_path):
    folder = tmp_path / "s"
    space = ("optimizer.lr=interval(1e-4, 1e-2)", "position=rope", "heads=h2", "schedule.warmup_steps=0")
    search = ("train.py", "-m", "sweep=search", "hydra/launcher=basic", *TINY, *space, "hydra.sweeper.n_trials=2")
    done = shell(*search, "hydra.sweeper.batch_size=2", f"hydra.sweep.dir={folder}")
    assert done.returncode == 0, done.stderr
    assert {name[:5] for name in table(folder)} == {"00-lr", "01-lr"}
    assert "2 jobs: 2 completed." in (folder / "report.md").read_text()


@pytest.mark.slow
def test_a_search_goes_through_submitit(tmp_path):
    folder = tmp_path / "s"
    space = ("optimizer.lr=interval(1e-4, 1e-2)", "position=rope", "heads=h2", "schedule.warmup_steps=0")
    launcher = ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5", "hydra.sweeper.batch_size=2")
    search = ("train.py", "-m", "sweep=search", *launcher, *TINY, *space)
    done = shell(*search, "hydra.sweeper.n_trials=3", f"hydra.sweep.dir={folder}")
    assert done.returncode == 0, done.stderr
    assert {name[:5]: row[0] for name, row in table(folder).items()} == dict.fromkeys(
        ("00-lr", "01-lr", "02-lr"), "completed"
    )
    extended = shell("train.py", f"resume={folder}", "hydra.sweeper.n_trials=4")
    assert extended.returncode == 0, extended.stderr
    assert len(table(folder)) == 4


def test_what_is_known_of_completed_jobs_is_not_relabelled(swept, tmp_path):
    folder = tmp_path / "s"
    shutil.copytree(swept[0], folder)
    before = (folder / "sweep.json").read_text()
    line = refused(shell("train.py", f"resume={folder}", "optimizer.lr=0.05"))
    assert "have ended without optimizer.lr=0.05; sweep over its values" in line
    assert (folder / "sweep.json").read_text() == before


def test_an_empty_grid_is_refused(tmp_path):
    line = refused(shell("train.py", "-m", *TINY, "seed=range(3,3)", f"hydra.sweep.dir={tmp_path}/s"))
    assert "seed=range(3,3) has no values to sweep over" in line
    assert not (tmp_path / "s").exists()
