"""What can go wrong in ways we foresee. The commands turn each into its lines and its exit code."""

import signal


class UserError(ValueError):
    """The user's mistake, or a corpus that cannot be had: one line, what was given, what is allowed, what to do."""


class RunFailed(RuntimeError):
    """A run that went wrong in a way we foresee: a few lines, with what to try."""


class Interrupted(Exception):
    """The run was told to stop and has saved its state.

    Args:
        signum: the signal that told it.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}; the checkpoint is saved")
        self.signum = signum
