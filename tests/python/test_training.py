"""A run from Python writes the same files as the command, and leaves the process as it was."""

import json
import logging
import os
import random
import signal
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch.strategies.launchers import subprocess_script

import headscope
from headscope.python import training
from headscope.run import lock
from headscope.run.folder import RunFolder
from tests.conftest import shell

TINY = (
    *("data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16", "seed=7"),
    *("trainer.max_steps=4", "trainer.val_check_interval=2", "trainer.threads=1", "callbacks=none"),
)


LOGGERS = ("headscope", "lightning.pytorch", "lightning.fabric", "py.warnings")


def process():
    """Returns the settings of this process that a library must not change."""
    return {
        "environment": dict(os.environ),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "root": (logging.root.level, list(logging.root.handlers), logging.raiseExceptions),
        "loggers": [(x.level, x.propagate, list(x.handlers)) for x in map(logging.getLogger, LOGGERS)],
        "warnings": list(warnings.filters),
        "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
        "torch": (torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.get_default_dtype()),
        "folder": os.getcwd(),  # noqa: PTH109
        "observer": subprocess_script._launch_process_observer,
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Trains in this process; returns the run, the settings before and after, and the records of a log handler."""
    place, heard = tmp_path_factory.mktemp("python"), []
    handler = logging.Handler()
    handler.emit = heard.append
    logging.root.addHandler(handler)
    here = os.getcwd()  # noqa: PTH109
    os.chdir(place)
    try:
        before = process()
        run = headscope.train(*TINY, "hydra.run.dir=run")
        after = process()
    finally:
        os.chdir(here)
        logging.root.removeHandler(handler)
    run.folder, run.checkpoint = place / run.folder, place / run.checkpoint
    return run, before, after, heard


def test_the_process_is_as_it_was(trained):
    _, before, after, _ = trained
    assert after == before


def test_a_program_hears_what_its_levels_let_through(trained):
    run, _, _, heard = trained
    lines = (run.folder / "train.log").read_text()
    assert "INFO headscope.run.execute: run: pydoc" in lines
    assert [r for r in heard if r.levelno < logging.WARNING] == []


def test_its_files_are_those_of_the_command_line(trained, tmp_path):
    run, *_ = trained
    done = shell("train.py", *TINY, f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    theirs = headscope.Run(tmp_path / "run")

    def names(folder):
        files = (str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        return {name.partition(".tfevents")[0] for name in files}

    assert names(run.folder) == names(theirs.folder)
    assert run.losses == theirs.losses
    assert run.summary.keys() == theirs.summary.keys()
    for key in ("overrides", "val_loss", "seed", "position", "data", "threads", "status"):
        assert run.summary[key] == theirs.summary[key], key
    for (name, ours), other in zip(run.model.state_dict().items(), theirs.model.state_dict().values(), strict=True):
        assert torch.equal(ours, other), name


def test_the_command_line_goes_on_with_it_and_python_with_that(trained, tmp_path):
    run, *_ = trained
    done = shell("train.py", f"resume={run.folder}", "trainer.max_steps=6")
    assert done.returncode == 0, done.stderr
    assert run.summary["steps"] == 6
    assert headscope.train(f"resume={run.folder}", "trainer.max_steps=8").summary["steps"] == 8
    assert [entry["step"] for entry in run.history] == [2, 4, 6, 8]
    again = headscope.train(f"resume={run.folder}")
    assert again.summary["steps"] == 8
    assert not [name for name in os.environ if "RESUM" in name]


def test_the_folder_is_free_afterwards_and_refused_while_it_is_used(trained, tmp_path):
    run, *_ = trained
    assert not lock.is_held(run.folder)
    with pytest.raises(headscope.UserError, match="already contains a run; resume it with"):
        headscope.train(*TINY, f"hydra.run.dir={run.folder}")
    owner = "import sys, time; from pathlib import Path; from headscope.run import lock\n"
    owner += f"lock.acquire(Path({str(tmp_path / 'used')!r})); print('mine', flush=True); sys.stdin.read()"
    import subprocess
    import sys

    with subprocess.Popen([sys.executable, "-c", owner], stdin=-1, stdout=-1) as other:
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(headscope.UserError, match=f"is in use by process {other.pid}"):
            headscope.train(*TINY, f"hydra.run.dir={tmp_path}/used")
        other.stdin.close()


@pytest.mark.parametrize(
    ("overrides", "error", "printed"),
    [
        (["task=validate"], "UserError", "task=validate is for the command line: python train.py"),
        (["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"], "UserError", "add trainer.devices=1"),
        (["paths.run_dir=x"], "UserError", "use hydra.run.dir="),
        (["data=text", "data.path=/nope"], "UserError", "/nope does not exist"),
        (["hydra.run.dir=/proc/x"], "UserError", "/proc/x cannot be used"),
        (["resume=nowhere"], "UserError", "no run was started in nowhere"),
        (["optimizer.lr=1e30", "+trainer.detect_anomaly=false"], "RunFailed", "not finite"),
    ],
)
def test_what_cannot_be_is_an_exception_and_leaves_nothing(overrides, error, printed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = process()
    with pytest.raises(getattr(headscope, error), match=printed):
        headscope.train(*TINY, *overrides)
    assert process() == before
    if error == "UserError":
        assert list(tmp_path.rglob("*.ckpt")) == []
        assert not list(tmp_path.glob("outputs/*/*"))


def test_a_thread_may_train_and_a_second_run_waits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = []
    thread = threading.Thread(target=lambda: runs.append(headscope.train(*TINY, "hydra.run.dir=thread")))
    thread.start()
    deadline = time.monotonic() + 300
    while not training._training.locked() and time.monotonic() < deadline:
        time.sleep(0.001)
    with pytest.raises(headscope.UserError, match="another run trains in this process"):
        headscope.train(*TINY)
    thread.join(300)
    assert runs[0].summary["status"] == "completed"


def test_stopping_a_cell_saves_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGINT)

    def stop():
        deadline = time.monotonic() + 300
        while signal.getsignal(signal.SIGINT) == handler and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop).start()
    endless = ("trainer.max_steps=1000000", "trainer.val_check_interval=500000", "hydra.run.dir=stopped")
    with pytest.raises(KeyboardInterrupt, match="the checkpoint is saved; continue with resume="):
        headscope.train(*TINY, *endless)
    assert signal.getsignal(signal.SIGINT) == handler
    assert json.loads((tmp_path / "stopped" / "summary.json").read_text())["status"] == "interrupted"
    assert (tmp_path / "stopped" / "checkpoints" / "last.ckpt").exists()


def test_a_sweep_is_named_as_one(tmp_path):
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(
        headscope.UserError, match="contains a sweep, which only the command line resumes: python train"
    ):
        headscope.train(f"resume={tmp_path}")


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        (["seeed=3"], "there is no key seeed; did you mean seed?"),
        (["schedule.decays=0.1"], "there is no key schedule.decays; did you mean schedule.decay?"),
        (["position=ropee"], "there is no position=ropee; did you mean position=rope?"),
        (["~callbacks.sample"], "there is no key callbacks.sample; did you mean callbacks.samples?"),
        (["trainer.max_steps=two"], "trainer.max_steps=two must be an integer"),
    ],
)
def test_a_mistake_beside_resume_is_named_in_python_too(typed, printed, tmp_path):
    """The options of the recorded overrides count: only schedule=wsd has schedule.decay."""
    RunFolder(tmp_path).record({}, ["schedule=wsd", "data=pydoc"])
    with pytest.raises(headscope.UserError) as refused:
        headscope.train(f"resume={tmp_path}", *typed)
    assert str(refused.value).startswith(printed)
    with pytest.raises(headscope.UserError, match=r"resume=.* is for headscope\.train"):
        headscope.compose(f"resume={tmp_path}", *typed)
