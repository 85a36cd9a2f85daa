"""The table of signals: how a run reacts to each of them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple


class Rule(NamedTuple):
    """What a run does at a signal. Before its processes are connected, `save and stop` only ends the process."""

    name: str
    senders: str
    action: Literal["save and stop", "end at once", "pause", "continue", "ignore"]
    always: bool = False  #: also replaces another handler; otherwise, a signal that is ignored or handled stays so


#: docs/CLUSTER.md shows the same table; tests/run/test_signals.py compares them.
RULES = (
    Rule("SIGINT", "Ctrl-C; torchrun", "save and stop", always=True),
    Rule("SIGTERM", "kill; scancel and SLURM's time limit; torchrun; docker stop, Kubernetes", "save and stop", True),
    Rule("SIGHUP", "a terminal that closes; torchrun; under nohup, it is ignored", "save and stop"),
    Rule("SIGUSR1", "sbatch --signal=USR1@120; Grid Engine's soft time limit", "save and stop"),
    Rule("SIGUSR2", "sbatch --signal=USR2@120; submitit, which handles it itself", "save and stop"),
    Rule("SIGXCPU", "ulimit -t; Grid Engine's soft limit of CPU time", "save and stop"),
    Rule("SIGQUIT", "Ctrl-\\; torchrun", "end at once"),
    Rule("SIGKILL", "kill -9; the system when memory runs out; SLURM and containers after their grace", "end at once"),
    Rule("SIGTSTP", "Ctrl-Z; scontrol suspend", "pause"),
    Rule("SIGSTOP", "scontrol suspend", "pause"),
    Rule("SIGCONT", "fg; scontrol resume; SLURM, together with SIGTERM", "continue"),
    Rule("SIGPIPE", "the end of the program that reads the output", "ignore"),
)
#: The rules for the signals that this system has.
PRESENT: dict[signal.Signals, Rule] = {getattr(signal, r.name): r for r in RULES if hasattr(signal, r.name)}


def stop_signals() -> list[signal.Signals]:
    """Returns the signals at which this process saves a checkpoint and stops."""
    stop = [(signum, rule.always) for signum, rule in PRESENT.items() if rule.action == "save and stop"]
    return [signum for signum, always in stop if always or signal.getsignal(signum) == signal.SIG_DFL]


@contextmanager
def handlers_restored() -> Iterator[None]:
    """Restores the handlers of all signals in the table at the end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return
    before = {signum: signal.getsignal(signum) for signum in PRESENT}
    try:
        yield
    finally:
        for signum, handler in before.items():
            if signal.getsignal(signum) != handler and handler is not None:  # None: not set from Python
                signal.signal(signum, handler)
