"""Files and folders get the permissions that the user's umask allows."""

import contextlib
import os

import pytest

from headscope.checkpoint.__main__ import main as export
from headscope.checkpoint.export import export_folder
from headscope.walkthrough.__main__ import main as walk
from tests.checkpoint.test_fields import save
from tests.inside import train
from tests.test_full_disk import TINY, WRITERS, command

MASKS = [0o077, 0o027, 0o022, 0o002]


@contextlib.contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder):
    """The permissions of all files, and of all folders, below a folder."""
    paths = list(folder.rglob("*"))
    assert paths
    return tuple({p.stat().st_mode & 0o777 for p in paths if p.is_dir() is is_dir} for is_dir in (False, True))


@pytest.mark.parametrize("mask", MASKS, ids=oct)
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_every_writer_follows_the_umask(write, mask, tmp_path):
    with umask(mask):
        write(tmp_path / "folder")
    files, folders = modes(tmp_path)
    assert files == {0o666 & ~mask}
    assert folders <= {0o777 & ~mask}


@pytest.mark.parametrize("mask", MASKS, ids=oct)
def test_every_export_follows_the_umask(mask, tmp_path):
    path = save(tmp_path / "a.ckpt")
    with umask(mask):
        export_folder(path, tmp_path / "out" / "folder")
        command(export, path, tmp_path / "out" / "a.safetensors")
        command(walk, "model", "--set", f"checkpoint={path}", "--out", tmp_path / "out" / "walk")
    assert modes(tmp_path / "out") == ({0o666 & ~mask}, {0o777 & ~mask})


@pytest.mark.parametrize("mask", [0o077, 0o002], ids=oct)
def test_every_file_of_a_run_follows_the_umask(mask, tmp_path):
    with umask(mask):
        code, output = train(*TINY, "trainer.max_steps=1", f"hydra.run.dir={tmp_path}/run")
    assert code == 0, output
    assert modes(tmp_path) == ({0o666 & ~mask}, {0o777 & ~mask})
