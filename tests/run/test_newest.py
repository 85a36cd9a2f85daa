"""Which run a command uses if it gets no checkpoint."""

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from headscope.errors import UserError
from headscope.run.folder import RunFolder
from headscope.run.newest import newest, newest_in_errors


@pytest.fixture
def saved(tmp_path):
    """A function that makes a run with a checkpoint of a given time, and returns its checkpoint."""

    def save(name, time):
        run = RunFolder(tmp_path / "outputs" / name)
        run.record({"paths": {"run_dir": str(run.path)}}, [])
        run.checkpoints.mkdir()
        run.best.write_bytes(b"")
        os.utime(run.best, (time, time))
        return run.best

    return save


def test_the_run_with_the_last_checkpoint_is_the_newest(saved, tmp_path):
    assert newest(tmp_path / "outputs") is None
    saved("a", 1)
    last = saved("day/b", 3)
    saved("day/c", 2)
    assert newest(tmp_path / "outputs") == last


def test_jobs_of_a_running_sweep_are_not_chosen(saved, tmp_path):
    old, job = saved("old", 1), saved("sweep/00-s1", 2)
    lock = FileLock(tmp_path / "outputs" / "sweep" / ".lock")
    with lock:
        (tmp_path / "outputs" / "sweep" / ".lock").write_text("process 1 on node")
        assert newest(tmp_path / "outputs") == old
        assert (tmp_path / "outputs" / "sweep" / ".lock").read_text() == "process 1 on node"
        shutil.rmtree(old.parents[1])
        with pytest.raises(UserError, match="has only jobs of a sweep that is still running"):
            newest(tmp_path / "outputs")
    assert newest(tmp_path / "outputs") == job


@pytest.mark.parametrize("copied", ["run", "sweep/00-s1"])
def test_a_copy_of_an_older_run_is_not_chosen_until_it_is_resumed(copied, saved, tmp_path):
    original, last, outputs = saved(copied, 1), saved("last", 2), tmp_path / "outputs"
    top = outputs / copied.partition("/")[0]
    shutil.copytree(top, outputs / "copy")
    copy = outputs / "copy" / original.relative_to(top)
    os.utime(copy, (3, 3))
    assert newest(outputs) == last
    run = RunFolder(copy.parents[1])
    run.record({"paths": {"run_dir": str(run.path)}}, [])
    assert newest(outputs) == copy


def test_a_moved_run_is_not_a_copy_and_a_copy_is_better_than_nothing(saved, tmp_path):
    outputs = tmp_path / "outputs"
    original = saved("run", 2)
    saved("older", 1)
    shutil.move(original.parents[1], outputs / "moved")
    assert newest(outputs) == outputs / "moved" / "checkpoints" / "best.ckpt"
    shutil.copytree(outputs / "moved", tmp_path / "elsewhere" / "copy")
    assert newest(tmp_path / "elsewhere") == tmp_path / "elsewhere" / "copy" / "checkpoints" / "best.ckpt"


def test_an_error_names_the_chosen_run():
    named = r"^no such head; the checkpoint is that of the newest run, outputs/best\.ckpt$"
    with pytest.raises(UserError, match=named), newest_in_errors(Path("outputs/best.ckpt")):
        raise UserError("no such head")
    with pytest.raises(UserError, match=r"^no such head$"), newest_in_errors(None):
        raise UserError("no such head")
