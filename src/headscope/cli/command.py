"""Runs the main function of train.py or generate.py: rewrites the command line, handles errors, reports on a sweep."""

import atexit
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from headscope import shell, waiting
from headscope.config import composed  # noqa: F401, registers the resolvers
from headscope.config.context import CONFIGS, flags_first
from headscope.config.overrides import as_text, expand_home, is_key, refuse_malformed, split
from headscope.errors import FULL, Interrupted, JobsFailed, UserError
from headscope.run.folder import RunFolder
from headscope.run.processes import end_with_parent, outcome
from headscope.sweep.jobs import Manifest, sweep_folders
from headscope.sweep.resume import resume_overrides

started = time.monotonic()  #: the time when this process began, approximately
_errors_of_jobs: list[BaseException] = []  # the errors of jobs, which Hydra has raised again in this process


def run(main: Callable[[], Any], resume: bool = False) -> NoReturn:
    """Calls a function decorated with `hydra.main`, and exits; `resume` is passed to `prepare_arguments`."""
    waiting.decide()  # before torch is imported
    threading.excepthook = _print_thread_error
    atexit.register(gc.freeze)  # a final garbage collection would make the exit take 2.5 s, not 0.3
    end_with_parent()

    def run_main() -> None:
        try:
            prepare_arguments(resume)
            call_and_report(main)
        except Interrupted:
            if os.environ.get("LOCAL_RANK", "0") == "0":
                raise
            sys.exit(0)  # the first rank reports for all ranks; with another code, Lightning would kill them all

    # If the reader of the output ends (`| head -1`), generate.py ends too, but train.py continues.
    shell.run(run_main, outcome, outlive_reader=resume)


def take(name: str) -> str | None:
    """Removes `name=…` from the command line and returns its value as typed; of several, the last counts."""
    typed = [a for a in sys.argv[1:] if a.startswith(f"{name}=")]
    sys.argv[1:] = [a for a in sys.argv[1:] if a not in typed]
    return typed[-1].partition("=")[2] if typed else None


def take_prompt() -> str | None:
    """Takes `prompt=…`, or a single argument that is neither an override nor a key: `generate.py "ROMEO:"`."""
    bare = [a for a in sys.argv[1:] if "=" not in a]
    if len(bare) == 1 and not bare[0].startswith(("-", "~")) and not is_key(bare[0], "generate"):
        sys.argv.remove(bare[0])
        sys.argv.append(f"prompt={bare[0]}")
    return take("prompt")


def prepare_arguments(resume: bool = False) -> None:
    """Rewrites `sys.argv` for Hydra. With `resume`, the command also accepts `resume=DIR` and `sweep=NAME`.

    Exits with 0 if the run to resume has already completed.
    """
    refuse_malformed(sys.argv[1:])
    sys.argv[1:] = flags_first(sys.argv[1:])
    _refuse_impossible(sys.argv[1:])
    folder = take("resume") if resume else None
    arguments = as_text(sys.argv[1:])
    if folder is not None:
        if (resumed := resume_overrides(expand_home(folder), arguments)) is None:
            sys.exit(0)
        arguments = resumed
    several = any(o.startswith("sweep=") and o != "sweep=null" for o in arguments) and "hydra.mode=RUN" not in arguments
    if resume and several and not any(o.startswith("-") and o.partition("=")[0] not in CONFIGS for o in arguments):
        arguments = ["-m", *arguments]  # a sweep file has values with commas, which Hydra accepts only with -m
    sys.argv[1:] = flags_first(arguments)


def _refuse_impossible(arguments: Sequence[str]) -> None:
    """Raises `UserError` for words that Hydra accepts, but that cannot work."""
    if ("hydra.job.chdir", "true") in map(split, arguments):
        raise UserError("hydra.job.chdir=true would change relative paths, such as checkpoint=…; leave it out")
    completes = {"--shell-completion", "-sc"} & set(arguments) and "COMP_LINE" not in os.environ
    if completes and not any(o.startswith(("install=", "uninstall=")) for o in arguments):
        raise UserError("--shell-completion needs install=SHELL or uninstall=SHELL, such as install=bash")
    if {"--cfg=hydra", "--resolve"} <= set(arguments):
        raise UserError("--cfg hydra cannot be resolved without the job's keys; use --cfg all --resolve -p hydra")


def call_and_report(main: Callable[[], Any]) -> None:
    """Calls the main function. If this process ran a sweep, also writes the sweep's report, even after an error."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise its errors instead of printing them
    error: BaseException | None = None
    original = JobReturn.return_value
    JobReturn.return_value = property(_return_value, original.fset)  # type: ignore[assignment, method-assign, attr-defined]
    try:
        main()
    except (Exception, Interrupted, KeyboardInterrupt) as e:
        error = e
    finally:
        JobReturn.return_value = original  # type: ignore[method-assign]
    of_a_job = any(error is e for e in _errors_of_jobs)
    refused = isinstance(error, UserError | HydraException | OmegaConfBaseException) and not of_a_job
    if sweep_folders and not refused and not isinstance(error, BrokenPipeError):
        failed = _report()
        if failed and (error is None or of_a_job):
            raise failed from error
    if error:
        raise error


def _return_value(job: JobReturn) -> Any:
    """Replaces `JobReturn.return_value`, which would print a line before it raises the error of a job."""
    if job.status == JobStatus.FAILED:
        _errors_of_jobs.append(job._return_value)
        raise job._return_value
    return job._return_value


def _report() -> JobsFailed | None:
    from headscope.report.writing import write_report

    folder = sweep_folders[0]
    try:
        jobs = Manifest.read(folder).jobs
    except UserError:
        return None  # the sweep ended before its first job
    print("\n" + write_report(folder), flush=True)
    states = {job.name: RunFolder(folder / job.name).status() for job in jobs}
    failed = {name: s.reason or s.state for name, s in states.items() if s.state not in ("completed", "pruned")}
    return JobsFailed(len(jobs), failed) if failed else None


def _print_thread_error(args: threading.ExceptHookArgs) -> None:
    """Prints an error that a thread raised, except for a full disk, which the main thread reports."""
    if not (isinstance(args.exc_value, OSError) and args.exc_value.errno in FULL):
        threading.__excepthook__(args)
