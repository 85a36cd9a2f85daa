"""The signals at which a run saves a checkpoint and stops. docs/CLUSTER.md has the table of all signals."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Whether each signal also replaces another handler; otherwise, a signal that is ignored or handled stays so.
STOP = {"SIGINT": True, "SIGTERM": True, "SIGHUP": False, "SIGUSR1": False, "SIGUSR2": False, "SIGXCPU": False}
PRESENT = {getattr(signal, name): always for name, always in STOP.items() if hasattr(signal, name)}


def stop_signals() -> list[signal.Signals]:
    """Returns the signals at which this process saves a checkpoint and stops."""
    return [signum for signum, always in PRESENT.items() if always or signal.getsignal(signum) == signal.SIG_DFL]


@contextmanager
def handlers_restored() -> Iterator[None]:
    """Restores the handlers of these signals at the end."""
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
