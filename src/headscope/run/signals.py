"""What a run does at each signal, in one table."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Literal

Action = Literal["save and stop", "end at once", "pause", "continue", "ignore"]


@dataclass(frozen=True)
class Rule:
    """What a run does at a signal. Before its processes are connected, `save and stop` only ends the process."""

    name: str
    senders: str
    action: Action
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


def stop_signals() -> list[signal.Signals]:
    """Returns the signals at which this process saves a checkpoint and stops; a system may not have all of them."""
    rules = [(rule, getattr(signal, rule.name)) for rule in RULES if hasattr(signal, rule.name)]
    return [
        signum
        for rule, signum in rules
        if rule.action == "save and stop" and (rule.always or signal.getsignal(signum) == signal.SIG_DFL)
    ]


@contextmanager
def handlers_restored() -> Iterator[None]:
    """Restores the handlers of all signals in the table at the end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return
    numbers = [getattr(signal, rule.name) for rule in RULES if hasattr(signal, rule.name)]
    before = {signum: signal.getsignal(signum) for signum in numbers}
    try:
        yield
    finally:
        for signum, handler in before.items():
            if signal.getsignal(signum) != handler and handler is not None:  # None: not set from Python
                signal.signal(signum, handler)


class Received:
    """Remembers the last signal that asks this process to stop."""

    def __init__(self) -> None:
        self.signum = 0  #: 0 if there was none

    def listen(self) -> None:
        """Sets the handlers, which `handlers_restored` removes; a handler only remembers the signal's number."""
        if threading.current_thread() is threading.main_thread():
            for signum in stop_signals():
                signal.signal(signum, self._remember)

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
