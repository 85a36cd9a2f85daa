"""The end of a command: errors that Hydra gets and prints, the files that name their cause, the exit code."""

import logging

import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import OmegaConf

from headscope.cli import command
from headscope.errors import JobsFailed, RunFailed, UserError
from headscope.run.folder import RunFolder
from hydra_plugins.headscope import Record
from tests.conftest import shell


def failed(error):
    done = JobReturn(overrides=["heads=h6"])
    done.status, done.return_value = JobStatus.FAILED, error
    return done


def test_hydras_line_stays_off_the_terminal(capsys):
    """The first half of the test fails if Hydra changes its message."""
    with pytest.raises(KeyError):
        failed(KeyError("x")).return_value  # noqa: B018
    assert capsys.readouterr().err == "Error executing job with overrides: ['heads=h6']\n"
    with pytest.raises(KeyError):
        command.call_and_report(lambda: failed(KeyError("x")).return_value)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [UserError("x"), KeyError("x")])
def test_an_error_of_a_job_and_an_error_of_a_sweeper_are_distinguished(error, monkeypatch):
    monkeypatch.setattr(command, "sweep_folders", ["a sweep"])
    monkeypatch.setattr(command, "_report", lambda: JobsFailed(1, {"a": "b"}))

    def of_a_sweeper():
        raise error

    with pytest.raises(type(error)):
        command.call_and_report(of_a_sweeper)
    with pytest.raises(JobsFailed):
        command.call_and_report(lambda: failed(error).return_value)


@pytest.mark.parametrize(
    ("error", "logged", "reason"),
    [
        (UserError("6 heads do not divide"), False, "6 heads do not divide"),
        (RunFailed("the loss is not finite"), True, "the loss is not finite"),
        (KeyError("lost"), True, "KeyError: 'lost'"),
    ],
)
def test_why_a_job_failed_is_written_down(tmp_path, caplog, error, logged, reason):
    """The log of a run gets the traceback. The log of a job that our pool does not run also gets the reason."""
    hydra = {"mode": RunMode.MULTIRUN, "overrides": {"task": ["heads=h6"]}, "runtime": {"output_dir": str(tmp_path)}}
    config = OmegaConf.create({"hydra": hydra})
    with caplog.at_level(logging.ERROR):
        Record().on_job_end(config, failed(error))
    assert [record.exc_info[1] for record in caplog.records] == ([error] if logged else [])
    status = RunFolder(tmp_path).status()
    assert (status.state, status.reason) == ("failed", reason)
    assert RunFolder(tmp_path).overrides() == ["heads=h6"]


def test_a_command_exits_by_sys_exit():
    """Functions that libraries registered with `atexit` run, and so do `finally` blocks."""
    code = (
        "import atexit, sys\n"
        "from headscope.cli import command\n"
        "sys.argv = ['train.py']\n"
        "atexit.register(print, 'last words')\n"
        "try: command.run(lambda: None)\n"
        "finally: print('finally')"
    )
    done = shell("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "finally\nlast words\n", "")
