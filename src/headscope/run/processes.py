"""How processes end: with an exit code and a message, jobs with their sweep, the ranks of a run with each other.

A killed process cannot notify others, so each child watches its parent, and the first rank watches the other ranks.
Imports no Lightning, because a sweep's own process uses this module too. Windows keeps reporting the number of a parent
that has ended, so there the jobs of a killed sweep keep running, and a job that is stopped saves no checkpoint.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from headscope import shell
from headscope.config.messages import explain
from headscope.errors import Interrupted, JobsFailed

log = logging.getLogger(__name__)

PARENT = "HEADSCOPE_PARENT"  #: environment variable: the number of the process that started this one
GRACE = 5.0  #: seconds for a rank to report by itself that another rank is lost
KILLED = 137  #: the exit code that shells report for a process that SIGKILL ended
TOO_LARGE = (
    "lower batch_size and raise trainer.accumulate_grad_batches by the same factor,\nor lower model.block_size or"
    " model.d_model"
)
DIED = "another process of this run died; resume=DIR continues from its last checkpoint"

_ranks: list[subprocess.Popen[bytes]] = []  #: started by this process


def outcome(error: BaseException, script: str | None = None, typed: Sequence[str] | None = None) -> shell.Outcome:
    """Returns the exit code and the message of an expected error; None for any other error.

    0 done; 2 a mistake of the user's, in one line; 3 an expected failure of the run; 1 a sweep with failed jobs; 129,
    130 and 143 stopped by a signal, with the work so far saved. See `explain` for the arguments.
    """
    match error:
        case JobsFailed():
            return 1, str(error)
        case Interrupted():
            return 128 + error.signum, str(error)
        case MemoryError():
            return 3, f"out of memory: {TOO_LARGE}, or use trainer.precision=bf16-mixed"
    if message := explain(error, script, typed):
        return 2, message
    return shell.foreseen(error) or (_of_torch(error) if isinstance(error, RuntimeError) else None)


def _of_torch(error: RuntimeError) -> shell.Outcome:
    """Recognises errors by their types; the CPU's allocator raises a bare RuntimeError, which gets its traceback."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    if isinstance(error, torch.OutOfMemoryError):
        return 3, f"out of memory on the GPU: {TOO_LARGE}"
    # A lost rank is a DistError with NCCL and a bare RuntimeError with gloo.
    lost = torch.distributed.is_available() and isinstance(error, torch.distributed.DistError)
    return (3, DIED) if lost or a_rank_died() else None


def stopping() -> list[int]:
    """Returns the signals that stop a run: Ctrl-C, SIGTERM, and a closed terminal unless `nohup` ignores it."""
    found: list[int] = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # Windows has none
        found.append(signal.SIGHUP)
    return found


def end_with_parent() -> None:
    """Ends this process, and so its children, when the process of ours that started it has ended."""
    parent = os.environ.get(PARENT)
    os.environ[PARENT] = str(os.getpid())  # for the ranks that this process may start
    if parent is None or sys.platform == "win32":
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(0.3)
        os._exit(KILLED)

    threading.Thread(target=watch, daemon=True).start()


def end_together(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    """Watches the ranks that this process, the first rank, started: if one fails, ends all with an error message."""
    _ranks.extend(ranks)

    def watch() -> None:
        while not (ended := [rank for rank in ranks if rank.poll()]):
            time.sleep(0.3)
        log.error(f"process {ended[0].pid} of this run ended with code {ended[0].returncode}")
        time.sleep(GRACE)
        for rank in ranks:
            rank.kill()
        print(f"error: {DIED}", file=sys.stderr, flush=True)
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()


def a_rank_died() -> bool:
    """Whether a rank that this process started has failed."""
    deadline = time.monotonic() + 1  # a rank's connections may close before its process has ended
    while _ranks and time.monotonic() < deadline:
        if any(rank.poll() for rank in _ranks):
            return True
        time.sleep(0.05)
    return False


def replace_observer() -> None:
    """Makes Lightning call `end_together` instead of its own observer.

    Lightning's observer checks every five seconds and then kills all ranks, including the first, without a message.
    The name is private to Lightning; tests/run/test_processes.py fails if it changes.
    """
    from lightning.pytorch.strategies.launchers import subprocess_script

    subprocess_script._launch_process_observer = end_together  # type: ignore[attr-defined, assignment]


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a process that was started with `start_new_session`, and its ranks."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
