"""Signals and terminals that end a run."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios

import pytest

from headscope.run.signals import stop_signals
from tests.conftest import ROOT

TINY = (
    *("data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16"),
    *("trainer.val_check_interval=10", "trainer.threads=1", "trainer.accelerator=cpu", "callbacks=none", "logger=none"),
    "+callbacks.progress._target_=headscope.watch.progress.Progress",
)


def hangs_up(handler=signal.SIG_DFL):
    """Resets SIGHUP in a child, because `nohup` may have disabled SIGHUP for these tests."""
    signal.signal(signal.SIGHUP, handler)


def on_a_terminal(*command, prepare=hangs_up):
    """Runs a command on a new terminal, closes the terminal after the first validation, and returns the exit code."""
    ours, its = os.openpty()
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdin=its, stdout=its, stderr=its, start_new_session=True,
        preexec_fn=lambda: (prepare(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)),  # closing the terminal sends SIGHUP
    )  # fmt: skip
    os.close(its)
    printed = b""
    while b"val/loss" not in printed and (more := os.read(ours, 4096)):
        printed += more
    os.close(ours)
    return process.wait(60)


def test_a_closed_terminal_saves_a_checkpoint(tmp_path):
    assert on_a_terminal("train.py", *TINY, "trainer.max_steps=100000", f"hydra.run.dir={tmp_path}/run") == 129
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["steps"] > 0) == ("interrupted", True)
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


@pytest.mark.slow
def test_under_nohup_a_closed_terminal_stops_nothing(tmp_path):
    command = ("train.py", *TINY, "trainer.max_steps=400", f"hydra.run.dir={tmp_path}/run")
    assert on_a_terminal(*command, prepare=lambda: hangs_up(signal.SIG_IGN)) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "completed"


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGUSR1], ids=lambda s: s.name)
def test_a_signal_stops_a_sweep_with_its_jobs_saved(signum, tmp_path):
    sweep = ("-m", *TINY, "trainer.max_steps=100000", "seed=1,2", f"hydra.sweep.dir={tmp_path}/s")
    process = subprocess.Popen(
        [sys.executable, "train.py", *sweep], cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=hangs_up
    )
    job = tmp_path / "s" / "00-s1"
    while not (job / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None
    process.send_signal(signum)
    assert "resume the sweep with resume=" in process.communicate(timeout=90)[1]
    assert process.returncode == 128 + signum
    assert json.loads((job / "summary.json").read_text())["status"] == "interrupted"


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert signal.SIGHUP in stop_signals()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert signal.SIGHUP not in stop_signals()
    finally:
        signal.signal(signal.SIGHUP, before)
