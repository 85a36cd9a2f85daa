"""What can go wrong in ways we foresee. The commands turn each into its lines and its exit code."""

import argparse
import errno
import signal
from typing import NoReturn

#: Of an `OSError`: no room, over the quota, over the largest file allowed.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class UserError(ValueError):
    """The user's mistake, or a corpus that cannot be had: one line, what was given, what is allowed, what to do."""


class Parser(argparse.ArgumentParser):
    """Arguments of the small commands; a mistake in them is one line too."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists what there is")


class RunFailed(RuntimeError):
    """A run that went wrong in a way we foresee: a few lines, with what to try."""


class JobsFailed(RuntimeError):
    """Some jobs of a sweep did not complete, a line each.

    Args:
        total: jobs in all.
        reasons: of each that failed, by name.
    """

    def __init__(self, total: int, reasons: dict[str, str]) -> None:
        lines = [f"  {name}: {reason.splitlines()[0]}" for name, reason in reasons.items()]
        super().__init__("\n".join([f"{len(reasons)} of {total} jobs did not complete", *lines]))


class Interrupted(Exception):
    """Told to stop, with the state saved.

    Args:
        signum: the signal that told it.
        then: what holds now.
    """

    def __init__(self, signum: int, then: str = "the checkpoint is saved") -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}; {then}")
        self.signum = signum
