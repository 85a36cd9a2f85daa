"""Processes that end together: the jobs of a sweep with their sweep, the ranks of a run with each other.

A process that is killed tells nobody, so each child looks for its parent, and the first rank for the others. Imports no
Lightning: a sweep's own process uses this too. Windows reports a parent's number even after its end, so a killed sweep
leaves its jobs running there, and stopping a job ends it without a checkpoint.
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

log = logging.getLogger(__name__)

PARENT = "HEADSCOPE_PARENT"  #: environment variable: the process that started this one, and without which it ends
GRACE = 5.0  #: seconds in which a rank that lost another should report that itself
KILLED = 137  #: the exit code of a process that SIGKILL ended, as shells report it
DIED = "another process of this run died; resume=DIR continues from its last checkpoint"

_ranks: list[subprocess.Popen[bytes]] = []  #: started by this process


def stopping() -> list[int]:
    """Signals at which work is saved and ends: Ctrl-C, SIGTERM, and a closed terminal unless `nohup` ignores it."""
    found: list[int] = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # Windows has none
        found.append(signal.SIGHUP)
    return found


def end_with_parent() -> None:
    """Lets this process end when the one of ours that started it has ended, and its own children with it."""
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
    """Watches the ranks that the first one started: if one fails, all end, soon, and with an error message."""
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
    """Whether a rank that this process started has failed. Its end may be noticed a moment after its connections."""
    deadline = time.monotonic() + 1
    while _ranks and time.monotonic() < deadline:
        if any(rank.poll() for rank in _ranks):
            return True
        time.sleep(0.05)
    return False


def replace_observer() -> None:
    """Lets Lightning call `end_together` where it would start its own observer.

    That one looks every five seconds and then kills every rank, the first among them, without a message. The name is
    private to Lightning; tests/run/test_processes.py fails first if it changes.
    """
    from lightning.pytorch.strategies.launchers import subprocess_script

    subprocess_script._launch_process_observer = end_together  # type: ignore[attr-defined, assignment]


def kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that was started with `start_new_session`, and its ranks."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
