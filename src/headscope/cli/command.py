"""What stands between the shell and Hydra: errors become messages and exit codes, a sweep ends with its report."""

import atexit
import contextlib
import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from headscope import shell, waiting
from headscope.cli.arguments import for_hydra
from headscope.config import resolvers  # noqa: F401, registers them
from headscope.config.messages import explain
from headscope.errors import FULL, Interrupted, JobsFailed, UserError
from headscope.run.folder import RunFolder
from headscope.run.processes import DIED, a_rank_died, end_with_parent
from headscope.sweep.jobs import Manifest, begun

started = time.monotonic()  #: about when this process began


def run(main: Callable[[], Any], resume: bool = False) -> NoReturn:
    """Calls the function under `hydra.main` and exits with its code; `resume=DIR` and `sweep=NAME` may be known.

    0 done; 2 the user's mistake, in one line; 3 a run that failed in a way we foresee; 1 a sweep with failed jobs, or
    anything else, with its traceback; 129, 130 and 143 stopped by a signal, with the work so far saved.
    """
    waiting.decide()  # before torch is imported
    threading.excepthook = _in_a_thread
    atexit.register(gc.freeze)  # else the last collection looks at every object of torch: 2.5 s to exit instead of 0.3
    end_with_parent()

    def whole() -> None:
        try:
            for_hydra(resume)
            _main_and_report(main)
        except Interrupted:
            if os.environ.get("LOCAL_RANK", "0") == "0":
                raise
            sys.exit(0)  # the first rank reports for all; Lightning kills every rank if one exits with another code

    shell.run(whole, outcome, outlive_reader=resume)  # training continues unread; writing has nothing left to do


def outcome(error: BaseException, script: str | None = None, typed: Sequence[str] | None = None) -> shell.Outcome:
    """The exit code and the message of an error that we foresee; None for any other. See `explain` for the rest."""
    match error:
        case JobsFailed():
            return 1, str(error)
        case Interrupted():
            return 128 + error.signum, str(error)
        case HydraException() | OmegaConfBaseException():
            return 2, explain(error, script, typed)
        case ValueError() if "Config group override" in str(error):
            return 2, explain(error, script, typed)
        case MemoryError():
            return 3, f"out of memory: {TOO_LARGE}, or use trainer.precision=bf16-mixed"
    return shell.foreseen(error) or (_of_torch(error) if isinstance(error, RuntimeError) else None)


TOO_LARGE = (
    "lower batch_size and raise trainer.accumulate_grad_batches by the same factor,\nor lower model.block_size or"
    " model.d_model"
)


def _of_torch(error: RuntimeError) -> shell.Outcome:
    """What types and facts say; the CPU's allocator raises a bare RuntimeError, which gets its traceback."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    if isinstance(error, torch.OutOfMemoryError):
        return 3, f"out of memory on the GPU: {TOO_LARGE}"
    # A lost rank is a DistError with NCCL and a bare RuntimeError with gloo.
    lost = torch.distributed.is_available() and isinstance(error, torch.distributed.DistError)
    return (3, DIED) if lost or a_rank_died() else None


def _main_and_report(main: Callable[[], Any]) -> None:
    """Calls the main function; if this process ran a sweep, reports on it, however it ended.

    Raises:
        JobsFailed: a job of the sweep did not complete.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors, and `messages` puts them into a line
    error: BaseException | None = None
    try:
        with without_hydras_line():
            main()
    except (Exception, Interrupted, KeyboardInterrupt) as e:
        error = e
    of_a_job = error is not None and _raised_by_a_job(error)
    refused = isinstance(error, UserError | HydraException | OmegaConfBaseException) and not of_a_job
    if begun and not refused and not isinstance(error, BrokenPipeError):
        failed = _report()
        if failed and (error is None or of_a_job):
            raise failed from error
    if error:
        raise error


@contextlib.contextmanager
def without_hydras_line() -> Iterator[None]:
    """Keeps a line of Hydra's off standard error, which it writes whenever it raises what a job raised.

    "Error executing job with overrides: …" would stand before our own message, which says more;
    tests/cli/test_command.py fails if Hydra changes it.
    """
    stream = sys.stderr
    write = stream.write

    def ours(text: str) -> int:
        return len(text) if text.startswith("Error executing job with overrides: ") else write(text)

    stream.write = ours  # type: ignore[method-assign]
    try:
        yield
    finally:
        stream.write = write  # type: ignore[method-assign]


def _raised_by_a_job(error: BaseException) -> bool:
    """Whether Hydra's own sweeper raised what a job had raised, as it does when it looks at `return_value`."""
    raising = JobReturn.return_value.fget.__code__  # type: ignore[attr-defined]
    return any(frame.f_code is raising for frame, _ in traceback.walk_tb(error.__traceback__))


def _report() -> JobsFailed | None:
    from headscope.report.writing import write_report

    folder = begun[0]
    try:
        jobs = Manifest.read(folder).jobs
    except UserError:
        return None  # it ended before its first job
    print("\n" + write_report(folder), flush=True)
    states = {job.name: RunFolder(folder / job.name).status() for job in jobs}
    failed = {name: s.reason or s.state for name, s in states.items() if s.state not in ("completed", "pruned")}
    return JobsFailed(len(jobs), failed) if failed else None


def _in_a_thread(args: threading.ExceptHookArgs) -> None:
    """TensorBoard's thread passes a full disk on to the main one, which reports it; anything else is printed."""
    if not (isinstance(args.exc_value, OSError) and args.exc_value.errno in FULL):
        threading.__excepthook__(args)
