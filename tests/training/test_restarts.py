"""Whether a launcher has started this run again: what SLURM and torchrun give to their processes."""

import os
import shutil
from itertools import count

import pytest

from headscope.config.composed import new_folder
from headscope.run.folder import RunFolder
from headscope.training import restarts
from headscope.training.restarts import is_resumed, launcher


@pytest.fixture
def environment(monkeypatch):
    """Replaces the variables of launchers, and the process that started this one."""

    def set_to(agent=1, **given):
        for name in list(os.environ):
            if name.startswith(("SLURM_", "TORCHELASTIC_")):
                monkeypatch.delenv(name)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(os, "getppid", lambda: agent)

    set_to()
    return set_to


def slurm(job, restart):
    return {"SLURM_JOB_ID": job, "SLURM_RESTART_COUNT": restart}


def torchrun(name, restart, agent=1):
    return {"TORCHELASTIC_RUN_ID": name, "TORCHELASTIC_RESTART_COUNT": restart, "agent": agent}


@pytest.mark.parametrize(
    ("before", "now", "first", "others"),
    [
        ({}, {}, False, False),
        ({}, {"SLURM_RESTART_COUNT": "1"}, True, True),
        ({}, {"SLURM_RESTART_COUNT": "0"}, False, False),
        (slurm("7", "0"), slurm("7", "1"), True, True),
        (slurm("7", "1"), slurm("7", "2"), True, True),
        (slurm("7", "0"), slurm("7", "0"), False, False),
        (slurm("7", "0"), slurm("8", "1"), False, False),
        ({}, slurm("8", "1"), True, True),
        ({}, torchrun("none", "1"), False, False),
        (torchrun("none", "0"), torchrun("none", "1"), True, True),
        # A machine whose workers were healthy does not count the restart.
        (torchrun("none", "0"), torchrun("none", "0"), True, True),
        # Another torchrun, or the same name on another machine, where only the others can be.
        (torchrun("none", "0"), torchrun("none", "1", agent=2), False, True),
        (torchrun("a", "0"), torchrun("b", "1"), False, True),
        # torchrun in a job that SLURM has started again.
        (slurm("7", "0") | torchrun("none", "0"), slurm("7", "1") | torchrun("none", "0", agent=2), True, True),
        (slurm("7", "0"), torchrun("none", "1"), False, False),
    ],
)
def test_only_the_same_launcher_resumes_a_run(before, now, first, others, environment, tmp_path):
    run = RunFolder(tmp_path / "run")
    environment(**before)
    run.record({}, [])
    environment(**now)
    assert is_resumed(run.path, run.overrides_file, None, first=True) == first
    assert is_resumed(run.path, run.overrides_file, None, first=False) == others
    assert is_resumed(run.path, run.overrides_file, str(run.path)), "`resume=` always does"
    shutil.rmtree(run.path)
    assert not is_resumed(run.path, run.overrides_file, None), "a run that has not begun starts"


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"torchrun": 3}'])
def test_a_damaged_record_resumes_nothing_of_torchrun(content, environment, tmp_path):
    run = RunFolder(tmp_path / "run")
    run.record({}, [])
    (run.path / restarts.LAUNCHER_FILE).write_text(content)
    environment(**torchrun("none", "1"))
    assert not is_resumed(run.path, run.overrides_file, None)


def test_a_number_that_a_later_process_gets_again_is_another_torchrun(environment, monkeypatch):
    starts = count()
    monkeypatch.setattr(restarts, "_started", lambda pid: str(next(starts)))
    environment(**torchrun("none", "0"))
    assert launcher() != launcher()


def test_a_restarted_process_finds_the_folder_that_the_first_one_chose(environment, tmp_path):
    """The folder's name contains the time."""
    environment(**torchrun("none", "0"))
    other = RunFolder(new_folder(f"{tmp_path}/2026-01-01/00-00-00-run"))
    environment(**torchrun("none", "0", agent=2))
    first = RunFolder(new_folder(f"{tmp_path}/2026-01-01/00-00-00-run"))
    assert first.path != other.path
    for run, agent in ((other, 1), (first, 2)):
        environment(**torchrun("none", "0", agent=agent))
        run.record({}, [])
    environment(**torchrun("none", "1", agent=2))
    assert new_folder(f"{tmp_path}/2026-01-02/00-01-00-run") == str(first.path)
    environment(**torchrun("none", "0", agent=2))
    assert new_folder(f"{tmp_path}/2026-01-02/00-01-00-run") == f"{tmp_path}/2026-01-02/00-01-00-run"
