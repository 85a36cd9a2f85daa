"""The commit of the source, which a run records."""

import os
import subprocess

import pytest

from headscope import installed


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one committed file."""
    (tmp_path / "a.txt").write_text("a")
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "a")):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    monkeypatch.setattr(installed, "SCRIPTS", tmp_path)
    return tmp_path


def test_a_changed_file_is_marked(repository):
    name = installed.commit()
    assert len(name) == 12
    (repository / "new.txt").write_text("untracked files do not count")
    assert installed.commit() == name
    (repository / "a.txt").write_text("b")
    assert installed.commit() == f"{name}+"


def test_the_index_is_not_written(repository):
    """A run that a limit of file sizes stops would leave a lock, and git would refuse every later commit."""
    os.utime(repository / "a.txt", (1, 1))  # git would record the new time in its index
    before = (repository / ".git" / "index").stat()
    assert not installed.commit().endswith("+")
    after = (repository / ".git" / "index").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
