"""Exit codes and error messages, and how the processes of a run or a sweep end together.

A killed process cannot notify others, so each child watches its parent, and the first rank watches the other ranks. On
Windows, a process cannot see that its parent has ended. Imports no Lightning: the main process of a sweep uses it.
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

log = logging.getLogger(__name__)

PARENT = "HEADSCOPE_PARENT"  #: environment variable: the PID of the process that started this one
GRACE = 5.0  #: seconds in which a rank may report by itself that another rank died
KILLED = 137  #: the exit code that shells report for a process ended by SIGKILL
TOO_LARGE = "lower batch_size and raise trainer.accumulate_grad_batches by the same factor,\n"
TOO_LARGE += "or lower model.block_size or model.d_model"
DIED = "another process of this run died; resume=DIR continues from the last checkpoint"


def outcome(error: BaseException, script: str | None = None, typed: Sequence[str] | None = None) -> shell.Outcome:
    """Returns the exit code and the message of an expected error; None for any other error.

    `docs/ARCHITECTURE.md` lists the exit codes. See `explain` for the arguments.
    """
    if isinstance(error, MemoryError):
        return 3, f"out of memory: {TOO_LARGE}, or use trainer.precision=bf16-mixed"
    if torch := sys.modules.get("torch"):
        if isinstance(error, torch.OutOfMemoryError):
            return 3, f"out of memory on the GPU: {TOO_LARGE}"
        # For a lost rank, NCCL raises a DistError and gloo a bare RuntimeError that names a file of gloo.
        lost = torch.distributed.is_available() and isinstance(error, torch.distributed.DistError)
        if lost or (isinstance(error, RuntimeError) and "/gloo/transport/" in str(error)):
            return 3, DIED
    if message := explain(error, script, typed):
        return 2, message
    return shell.expected_outcome(error)


def end_with_parent() -> None:
    """Ends this process, and thereby its children, when the Headscope process or torchrun that started it ends.

    If torchrun ends, the run first saves a checkpoint: torchrun passes only some signals on to its workers.
    """
    parent = os.environ.get(PARENT)
    os.environ[PARENT] = str(os.getpid())  # read by the ranks that this process may start
    if (parent is None and "TORCHELASTIC_RUN_ID" not in os.environ) or sys.platform == "win32":
        return
    expected = int(parent or os.getppid())

    def watch() -> None:
        while os.getppid() == expected:
            time.sleep(0.3)
        if parent is not None:
            os._exit(KILLED)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def end_together(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    """Watches the ranks that the first rank started; if one fails, prints an error and ends all of them."""

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


def replace_observer() -> None:
    """Makes Lightning call `end_together` instead of its own observer, which kills all ranks without a message.

    Lightning's function is private; tests/run/test_processes.py fails if its name changes.
    """
    from lightning.pytorch.strategies.launchers import subprocess_script

    subprocess_script._launch_process_observer = end_together  # type: ignore[attr-defined, assignment]


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a process that was started with `start_new_session`, and the ranks that it started."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
