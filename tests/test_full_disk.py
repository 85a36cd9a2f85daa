"""A full disk: every writer reports it in one line and exits with 3, keeps old files, and leaves no incomplete file."""

import contextlib
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from headscope.checkpoint.__main__ import main as export
from headscope.files import write_json
from headscope.report.writing import write_report
from headscope.run.checkpoints import Checkpoints, RngState
from headscope.run.folder import RunFolder
from headscope.run.processes import outcome
from headscope.sweep.jobs import Job, Manifest
from headscope.walkthrough.__main__ import main as walk
from headscope.watch.loggers.csv import Csv
from tests.conftest import ROOT, fit
from tests.inside import train
from tests.report.test_report import grid

TINY = (
    *("data=pydoc", "model.n_layers=1", "model.d_model=32", "model.n_heads=2", "model.block_size=16"),
    *("trainer.val_check_interval=1", "trainer.threads=1", "trainer.accelerator=cpu", "+trainer.limit_val_batches=2"),
)
needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux that is always full")


def fill():
    """Limits files to a few bytes, which has the effect of a full disk, even for root."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@contextlib.contextmanager
def room_again():
    """Restores the limit of file sizes afterwards."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refused(write, *arguments):
    """Returns the error message of a function that writes to a full disk."""
    with room_again():
        fill()
        try:
            write(*arguments)
        except Exception as e:
            return outcome(e)
    return None


def content(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def command(main, *arguments):
    """Calls the main function of a command."""
    before, sys.argv = sys.argv, ["", *map(str, arguments)]
    try:
        main()
    finally:
        sys.argv = before


def csv(folder):
    logger = Csv(str(folder))
    logger.log_metrics({"a": 1.0, "b": 2.0}, 1)
    return logger


WRITERS = {
    "summary": lambda folder: write_json(RunFolder(folder).summary_file, {"status": "completed"}),
    "progress": lambda folder: write_json(RunFolder(folder).progress_file, {"step": 1, "max_steps": 2}),
    "config": lambda folder: RunFolder(folder).record({"seed": 1}, ["seed=1"]),
    "manifest": lambda folder: Manifest(("seed=1",), (Job("00", ("seed=1",)),)).write(folder),
    "metrics": lambda folder: csv(folder).save(),
    "picture": lambda folder: csv(folder).record_picture("a", np.zeros((4, 4, 3), np.uint8), 1),
    "text": lambda folder: csv(folder).record_text("a", "to be or not", 1),
    "report": lambda folder: write_report(folder if (folder / "sweep.json").exists() else grid(folder)),
    "page": lambda folder: command(walk, "friends", "--out", folder),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_was_written_before_stays_as_it_was(write, tmp_path):
    write(tmp_path)
    before = content(tmp_path)
    assert before
    code, output = refused(write, tmp_path)
    assert code == 3
    assert output.startswith(f"the disk is full: {tmp_path}")
    assert content(tmp_path) == before


def test_an_export_is_whole_or_not_there(toy_run, tmp_path):
    file = tmp_path / "m.safetensors"
    output = refused(command, export, toy_run[0], file)
    assert output == (3, f"the disk is full: {file} was not written; free some space and try again")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_stays_as_it_was(tmp_path):
    trainer, _ = fit(tmp_path, steps=1)
    checkpoints = Checkpoints(RunFolder(tmp_path))
    checkpoints.save(trainer, is_best=True)
    before = content(tmp_path)
    last = checkpoints.folder.last
    assert refused(checkpoints.save, trainer) == (
        3,
        f"the disk is full: {last} was not written; free some space and try again",
    )
    assert content(tmp_path) == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard writes in this thread
@pytest.mark.parametrize("options", [("logger=csv",), ("logger=tensorboard",), ("logger=none", "callbacks=none")])
def test_a_run_ends_with_3_and_goes_on_from_its_last_checkpoint(options, tmp_path, monkeypatch):
    """The disk is full after the first of three validations."""
    folder = tmp_path / "run"
    with monkeypatch.context() as patch, room_again():
        patch.setattr(RngState, "on_train_batch_start", lambda _, trainer, *__: trainer.global_step and fill())
        code, output = train(*TINY, *options, "trainer.max_steps=3", f"hydra.run.dir={folder}")
    assert code == 3, output
    assert f"the disk is full: {folder}" in output.splitlines()[-1] or f"a file in {folder}" in output.splitlines()[-1]
    assert f"last.ckpt is kept; continue with: python train.py resume={folder}" in output
    assert not list(folder.rglob("*.beside"))
    code, output = train(f"resume={folder}")
    assert code == 0, output
    assert f"resuming {folder} at step 1" in output
    assert RunFolder(folder).summary()["steps"] == 3


def onto_a_full_disk(*arguments, **options):
    with Path("/dev/full").open("w") as out:
        return subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE,
            text=True, timeout=300, check=False, **options,
        )  # fmt: skip


@needs_dev_full
@pytest.mark.parametrize(
    "arguments",
    [("generate.py", "CHECKPOINT"), ("generate.py", "CHECKPOINT", "show=next"), ("-m", "headscope.walkthrough", "toy")],
    ids=" ".join,
)
def test_text_onto_a_full_disk_is_one_line(arguments, toy_run):
    done = onto_a_full_disk(*(a.replace("CHECKPOINT", f"checkpoint={toy_run[0]}") for a in arguments))
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: the disk is full: the output was not written")
    assert "Traceback" not in done.stderr


@needs_dev_full
def test_a_run_whose_lines_go_onto_a_full_disk_has_them_in_its_log(tmp_path):
    done = onto_a_full_disk("train.py", *TINY, "trainer.max_steps=1", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    assert "run saved to" in (tmp_path / "run" / "train.log").read_text()


@pytest.mark.parametrize("show", ["attention", "heads"])
def test_pictures_are_whole_or_not_there(show, pydoc_run, tmp_path):
    shown = ("generate.py", f"checkpoint={pydoc_run[0]}", f"show={show}", f"out={tmp_path}/out", "prompt=a")
    done = onto_a_full_disk(*shown, preexec_fn=fill)
    assert done.returncode == 3, done.stderr
    assert "error: the disk is full" in done.stderr
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's thread
@pytest.mark.parametrize("size", [8, 40, 200])
def test_the_limit_of_file_sizes_names_the_run(size, tmp_path):
    """Each limit stops another writer: the log, TensorBoard, and the checkpoint."""
    with room_again():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size << 10, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        code, output = train(*TINY, "trainer.max_steps=1", f"hydra.run.dir={tmp_path}/run")
    assert code == 3, output
    assert re.search(rf"the disk is full: (a file in )?{tmp_path}/run\S* was not written", output.splitlines()[-1])
