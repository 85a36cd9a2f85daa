"""Signals at random moments to two processes: nothing hangs, and the run that is resumed ends as an undisturbed one."""

import os
import random
import signal
import subprocess
import time

import pytest
import torch

from headscope.run import signals
from tests.run.launchers import alone, slurm

pytestmark = pytest.mark.slow
STOP = [getattr(signal, name) for name in signals.STOP]
SHORT = ("model.dropout=0.1", "trainer.max_steps=400")
ROUNDS = 4


def weights(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def finished(launcher, folder, **env):
    with launcher(folder, *SHORT, **env) as job:
        assert set(job.codes()) == {0}, job.output()
    return weights(folder)


def interrupted(job, draw, trains):
    """Sends a signal at a random moment; returns it and the exit codes. Until the run trains, all processes get it."""
    if trains:
        written = job.folder / "progress.json"
        before = written.stat().st_mtime_ns if written.exists() else 0
        while all(p.poll() is None for p in job.launched) and not (
            written.exists() and written.stat().st_mtime_ns > before
        ):
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 2))
    else:
        time.sleep(draw.uniform(0, 8))
    signum = draw.choice([s for s in STOP if s != signal.SIGINT] if not trains else [*STOP, signal.SIGKILL])
    one = draw.choice(job.launched) if trains and draw.random() < 0.5 else None
    for process in [one] if one else job.launched:
        if process.poll() is None:
            (os.kill if one else os.killpg)(process.pid, signum)
    try:
        return signum, job.codes(timeout=60)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{signum!r} to {'one process' if one else 'all'} had no effect:\n{job.output()}")


@pytest.mark.parametrize("launcher", [slurm, alone], ids=lambda f: f.__name__)
def test_a_run_that_random_signals_stop_ends_as_an_undisturbed_one(launcher, tmp_path):
    """The signals come from a fixed seed, and their moments also depend on the machine."""
    draw, folder, log = random.Random(launcher.__name__), tmp_path / "run", []
    for i in range(ROUNDS):
        env = {"SLURM_RESTART_COUNT": str(i)} if launcher is slurm else {}
        with launcher(folder, *SHORT, **env) as job:
            signum, codes = interrupted(job, draw, trains=i % 2 == 1)
            log.append((i, signum, codes))
            # 3: the other process was lost; 0: the run had ended, or Lightning started this process
            allowed = {-signum, 128 + signum, 0, 3}
            assert set(codes) <= allowed, f"{log}\n{job.output()}"
            assert "Traceback" not in job.output(), f"{log}\n{job.output()}"
    again = {"SLURM_RESTART_COUNT": "9"} if launcher is slurm else {}
    disturbed = finished(launcher, folder, **again)
    undisturbed = finished(launcher, tmp_path / "undisturbed")
    assert all(torch.equal(undisturbed[name], disturbed[name]) for name in undisturbed | disturbed), log
