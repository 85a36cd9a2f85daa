"""Loggers for services that cannot delete: a resumed run keeps its id, and every value is sent exactly once."""

import os
import shutil

import pytest
from lightning.pytorch.loggers.logger import DummyLogger

from headscope.run.folder import RunFolder
from headscope.watch.loggers.tracker import Tracker


class Sent(Tracker, DummyLogger):
    """Appends to a list, which outlives the logger as a service would."""

    def __init__(self, folder, sent):
        super().__init__(folder / "id.txt")
        self.sent, self.run_id = sent, "new"

    def send(self, row, step):
        self.keep_id(self.run_id)
        self.sent.append((step, dict(row)))

    def continue_as(self, run_id):
        self.run_id = run_id


def log(logger, steps):
    for step in steps:
        logger.log_metrics({"a": step}, step)
        logger.log_metrics({"b": -step}, step)


def test_all_values_of_a_step_are_sent_as_one_row(tmp_path):
    sent = []
    logger = Sent(tmp_path, sent)
    log(logger, (5, 10))
    assert sent == [(5, {"a": 5, "b": -5})], "10 may get more entries"
    logger.save()
    logger.save()
    assert [step for step, _ in sent] == [5, 10]


@pytest.mark.parametrize("checkpoint", [0, 5, 15])
@pytest.mark.parametrize("more", [0, 5, 10, 15])
def test_a_killed_and_resumed_run_has_every_step_once(tmp_path, checkpoint, more):
    sent = []
    killed = Sent(tmp_path, sent)
    log(killed, range(5, checkpoint + 1, 5))
    killed.save()  # a run saves its loggers before each checkpoint
    log(killed, range(checkpoint + 5, checkpoint + more + 1, 5))
    again = Sent(tmp_path, sent)
    again.resume_at(checkpoint)
    log(again, range(checkpoint + 5, 41, 5))
    again.save()
    assert [step for step, _ in sent] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert all(row == {"a": step, "b": -step} for step, row in sent)


def test_a_resumed_run_keeps_its_id_and_a_new_run_gets_another(tmp_path):
    first = Sent(tmp_path, [])
    first.run_id = "abc"
    log(first, (5, 10))
    second = Sent(tmp_path, [])
    second.resume_at(0)
    assert second.run_id == "abc"
    third = Sent(tmp_path, [])
    log(third, (5, 10))
    assert (tmp_path / "id.txt").read_text() == "new\n5\n"


def test_a_resumed_run_that_had_another_logger_gets_a_new_id(tmp_path):
    logger = Sent(tmp_path, [])
    logger.resume_at(10)
    assert logger.run_id == "new"


def copied(a, b):
    shutil.copytree(a, b)


def linked(a, b):
    """As `cp --link --recursive`: every file is the same file in both folders."""
    shutil.copytree(a, b, copy_function=os.link)


def moved(a, b):
    a.rename(b)


def moved_to_another_disk(a, b):
    shutil.copytree(a, b)
    shutil.rmtree(a)


def renamed_by_a_link(a, b):
    b.symlink_to(a)


def replaced(a, b):
    """Another run is in the old place now."""
    a.rename(b)
    a.mkdir()
    (a / "id.txt").write_text("another\n5\n")


CONTINUED = [moved, moved_to_another_disk, renamed_by_a_link, replaced]


@pytest.mark.parametrize("how", [copied, linked, *CONTINUED], ids=lambda f: f.__name__)
def test_a_moved_folder_continues_its_run_and_a_copy_gets_another(how, tmp_path):
    folder, other = tmp_path / "a b", tmp_path / "c"
    folder.mkdir()
    first = Sent(folder, [])
    first.run_id = "abc"
    log(first, (5, 10))
    RunFolder(folder).record({"paths": {"run_dir": str(folder)}}, [])
    how(folder, other)
    second = Sent(other, [])
    second.resume_at(5)
    assert second.run_id == ("abc" if how in CONTINUED else "new")
    RunFolder(other).record({"paths": {"run_dir": str(other)}}, [])
    log(second, (10, 15))
    second.save()
    assert (other / "id.txt").read_text() == ("abc\n5\n10\n15\n" if how in CONTINUED else "new\n10\n15\n")
    third = Sent(other, [])
    third.resume_at(15)
    assert third.run_id == second.run_id, "from now on, it is its own run"
    if how not in CONTINUED:
        assert (folder / "id.txt").read_text() == "abc\n5\n"
        original = Sent(folder, [])
        original.resume_at(5)
        assert original.run_id == "abc"
