"""Every row of the tables in docs/CLUSTER.md, with two processes that SLURM, torchrun or the command itself started."""

import json
import os
import re
import signal
import time

import pytest
import torch

from headscope.run.signals import STOP
from tests.conftest import ROOT, shell
from tests.run.launchers import RUN, alone, children, is_running, killed, progress, slurm, torchrun

slow = pytest.mark.slow
ROWS = {}  #: (launcher, event) of each row of the second table, and its test


def row(launcher, event):
    """Marks the test of a row."""

    def mark(test):
        ROWS[launcher, event] = test
        return slow(test)

    return mark


def saved(folder):
    """The step of the last checkpoint, which is complete."""
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]


def status(folder):
    return json.loads((folder / "summary.json").read_text())["status"]


def resumed_steps(job):
    """The steps at which a run was resumed, as it has printed them."""
    return [int(step) for step in re.findall(r"resuming .* at step (\d+)", job.output())]


def assert_stopped(job, name, codes):
    assert job.codes() == codes, job.output()
    assert f"stopped by {name}; the checkpoint is saved; continue with resume={job.folder}" in job.output()
    assert status(job.folder) == "interrupted"
    assert saved(job.folder) >= 20
    assert saved(job.folder) % 10 == 0, "the processes agreed on the step"


def test_the_documentation_has_these_rows():
    table = (ROOT / "docs" / "CLUSTER.md").read_text().partition("## Restarts")[2]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \| [^|]+ \|$", table, re.M)
    assert [r for r in rows if r[0] not in ("started by", "---")] == list(ROWS)


@slow
@pytest.mark.parametrize("name", STOP)
def test_a_signal_to_one_of_two_processes_stops_both(name, tmp_path):
    signum = getattr(signal, name)
    with slurm(tmp_path / "run") as job:
        job.wait_for(20)
        job.launched[list(STOP).index(name) % 2].send_signal(signum)
        assert_stopped(job, name, [128 + signum] * 2)


@slow
@pytest.mark.parametrize("name", ["SIGQUIT", "SIGKILL"])
def test_a_signal_that_ends_at_once_keeps_the_last_checkpoint(name, tmp_path):
    with slurm(tmp_path / "run") as job:
        job.wait_for(20)
        job.send(getattr(signal, name))
        assert job.codes() == [-getattr(signal, name)] * 2
        assert saved(tmp_path / "run") % 20 == 0, "a checkpoint of a validation"


@slow
def test_other_signals_end_nothing(tmp_path):
    """Paused, continued, and left by the reader of its output: it still trains, and can be stopped."""
    with slurm(tmp_path / "run") as job:
        job.wait_for(20)
        job.send(signal.SIGTSTP)  # only a shell's jobs are paused by this one
        job.send(signal.SIGSTOP)
        time.sleep(2)  # a step that was being made may still be recorded
        paused = progress(job.folder)
        time.sleep(2)
        assert progress(job.folder) == paused
        job.send(signal.SIGCONT)
        job.send(signal.SIGPIPE)
        job.wait_for(paused + 40)
        job.send(signal.SIGTERM)
        assert_stopped(job, "SIGTERM", [143, 143])


@row("SLURM", "SIGUSR1 to all tasks, from `--signal=USR1@120`")
def test_slurm_warns_before_the_time_limit(tmp_path):
    with slurm(tmp_path / "run") as job:
        job.wait_for(20)
        job.send(signal.SIGUSR1)
        assert_stopped(job, "SIGUSR1", [138, 138])


@row("SLURM", "SIGCONT and SIGTERM to all tasks, from `scancel` or preemption")
def test_slurm_preempts(tmp_path):
    with slurm(tmp_path / "run") as job:
        job.wait_for(20)
        job.send(signal.SIGCONT)
        job.send(signal.SIGTERM)
        job.send(signal.SIGTERM)
        assert_stopped(job, "SIGTERM", [143, 143])


@row("SLURM", "the job starts again, after `scontrol requeue`, preemption or a lost node")
def test_slurm_starts_a_job_again(tmp_path):
    with slurm(tmp_path / "run") as job:
        job.wait_for(20)
        job.send(signal.SIGTERM)
        job.codes()
    step = saved(tmp_path / "run")
    with slurm(tmp_path / "run", f"trainer.max_steps={step + 10}", SLURM_RESTART_COUNT="1") as job:
        assert job.codes() == [0, 0], job.output()
        assert resumed_steps(job) == [step]
    assert status(tmp_path / "run") == "completed"


@row("SLURM", "the job starts again, but its folder contains the run of another job")
def test_slurm_starts_another_job_again(tmp_path):
    with slurm(tmp_path / "run", "trainer.max_steps=20") as job:
        assert job.codes() == [0, 0], job.output()
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with slurm(tmp_path / "run", SLURM_RESTART_COUNT="1", SLURM_JOB_ID="8") as job:
        assert job.codes() == [2, 2]
        assert "already contains a run; resume it with resume=" in job.output()
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before


@row("SLURM", "one task is killed, for example because memory runs out")
def test_slurm_kills_one_task(tmp_path):
    with slurm(tmp_path / "run") as job:
        job.wait_for(20)
        job.launched[1].kill()
        assert job.codes() == [3, -signal.SIGKILL], job.output()
        assert "another process of this run died; resume=DIR continues from the last checkpoint" in job.output()
        assert "Traceback" not in job.output()
    step = saved(tmp_path / "run")
    with slurm(tmp_path / "run", f"trainer.max_steps={step + 10}", SLURM_RESTART_COUNT="1") as job:
        assert job.codes() == [0, 0], job.output()
        assert resumed_steps(job) == [step]


@row("torchrun", "SIGTERM, SIGINT or SIGHUP to torchrun")
def test_torchrun_passes_a_signal_on(tmp_path):
    with torchrun(tmp_path / "run", options=("--max-restarts=3",)) as job:
        job.wait_for(20)
        job.send(signal.SIGTERM, ranks=False)
        assert_stopped(job, "SIGTERM", [1])
        assert not resumed_steps(job), "torchrun restarts nothing that it has stopped"


@row("torchrun", "SIGUSR1, SIGUSR2, SIGXCPU or SIGKILL to torchrun")
@pytest.mark.parametrize("name", ["SIGUSR1", "SIGXCPU", "SIGKILL"])
def test_workers_save_and_stop_when_torchrun_ends(name, tmp_path):
    with torchrun(tmp_path / "run") as job:
        job.wait_for(20)
        with killed(job.ranks()) as workers:
            job.send(getattr(signal, name), ranks=False)
            assert job.codes() == [-getattr(signal, name)]
            deadline = time.monotonic() + 60
            while any(map(is_running, workers)):
                assert time.monotonic() < deadline, "the workers train without torchrun"
                time.sleep(0.1)
            assert_stopped(job, "SIGTERM", [-getattr(signal, name)])


@row("torchrun", "Ctrl-C, which reaches torchrun and all workers")
def test_ctrl_c_reaches_torchrun_and_its_workers(tmp_path):
    with torchrun(tmp_path / "run") as job:
        job.wait_for(20)
        os.killpg(job.launched[0].pid, signal.SIGINT)  # its workers are in the same group
        assert_stopped(job, "SIGINT", [1])


@row("torchrun --max-restarts=N", "a worker is killed")
def test_torchrun_restarts_after_a_kill(tmp_path):
    with torchrun(tmp_path / "run", options=("--max-restarts=1",)) as job:
        job.wait_for(20)
        workers = job.ranks()
        os.kill(workers[1], signal.SIGKILL)
        job.wait_for(progress(job.folder) + 60)
        assert set(job.ranks()).isdisjoint(workers)
        (step,) = resumed_steps(job)
        assert step >= 20
        job.send(signal.SIGTERM, ranks=False)
        assert_stopped(job, "SIGTERM", [1])
    history = json.loads((tmp_path / "run" / "summary.json").read_text())["history"]
    assert [h["step"] for h in history] == list(range(20, saved(tmp_path / "run") + 1, 20)), "no step is missing"


@row("torchrun --max-restarts=N", "a worker gets SIGUSR1, SIGUSR2 or SIGXCPU")
def test_torchrun_restarts_what_a_signal_stopped(tmp_path):
    with torchrun(tmp_path / "run", options=("--max-restarts=1",)) as job:
        job.wait_for(20)
        os.kill(job.ranks()[1], signal.SIGUSR1)
        job.wait_for(progress(job.folder) + 60)
        assert "stopped by SIGUSR1; the checkpoint is saved" in job.output()
        (step,) = resumed_steps(job)
        assert step >= 20


@row("torchrun --max-restarts=N", "a worker is killed, and the command names no folder")
def test_torchrun_restarts_in_the_folder_that_the_first_attempt_chose(tmp_path):
    name = f"restarted-{tmp_path.name}-{os.getpid()}"
    chosen = f"hydra.run.dir=${{free:{tmp_path}/outputs/${{now:%Y-%m-%d}}/${{now:%H-%M-%S}}-{name}}}"
    with torchrun(tmp_path / "run", chosen, options=("--max-restarts=1",)) as job:
        deadline = time.monotonic() + 120
        # The first process gets a suffix if the other one has created its folder first.
        while not (folders := list(tmp_path.glob(f"outputs/*/*-{name}*/checkpoints/last.ckpt"))):
            assert time.monotonic() < deadline, job.output()
            time.sleep(0.05)
        job.folder = folders[0].parents[1]
        os.kill(job.ranks()[0], signal.SIGKILL)
        job.wait_for(progress(job.folder) + 60)
        assert len(resumed_steps(job)) == 1
    assert list(tmp_path.glob("outputs/*/*/checkpoints")) == [job.folder / "checkpoints"]


@row("torchrun --max-restarts=N", "the folder contains the run of another command")
def test_torchrun_restarts_a_command_that_was_refused(tmp_path):
    done = shell(*RUN, "trainer.devices=1", "trainer.max_steps=20", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with torchrun(tmp_path / "run", "trainer.max_steps=40", options=("--max-restarts=1",)) as job:
        assert job.codes() == [1]
        assert job.output().count("already contains a run; resume it with resume=") >= 2, "each attempt is refused"
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before


@row("`train.py` with two devices", "SIGTERM to the first process only")
def test_the_first_process_stops_the_others(tmp_path):
    with alone(tmp_path / "run") as job:
        job.wait_for(20)
        job.send(signal.SIGTERM)
        assert_stopped(job, "SIGTERM", [143])


@row("`train.py` with two devices", "one process is killed")
def test_a_lost_process_ends_the_others(tmp_path):
    with alone(tmp_path / "run") as job:
        job.wait_for(20)
        (other,) = children(job.launched[0].pid)
        os.kill(other, signal.SIGKILL)
        assert job.codes() == [3], job.output()
        assert "another process of this run died; resume=DIR continues from the last checkpoint" in job.output()
    assert saved(tmp_path / "run") >= 20


@slow
def test_processes_that_start_at_different_steps_end(tmp_path):
    """The second process does not see the folder of the first one, as on a machine without the shared disk."""
    with slurm(tmp_path / "run") as job:
        job.wait_for(20)
        job.send(signal.SIGTERM)
        job.codes()
    step, summary = saved(tmp_path / "run"), (tmp_path / "run" / "summary.json").read_text()
    with slurm(tmp_path / "run", second=(f"hydra.run.dir={tmp_path}/elsewhere",), SLURM_RESTART_COUNT="1") as job:
        assert job.codes() == [3, 3], job.output()
        differ = f"process 1 of this run starts at step 0, and the first one at step {step}; give all of them the same"
        assert differ in job.output()
    assert (tmp_path / "run" / "summary.json").read_text() == summary
