"""What can go wrong in ways we foresee. The commands turn each into its message and its exit code."""

import errno
import signal

#: Error numbers of a full disk: no space left, over the quota, over the file size limit.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class UserError(ValueError):
    """The user's mistake, or a missing corpus. One line: what was given, what is allowed, what to do."""


class UnknownKey(UserError):
    """A key that the config has no place for.

    Args:
        key: dotted.
        message: the line for the user.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class RunFailed(RuntimeError):
    """A run that failed in a way we foresee. A few lines, with what to try."""


def not_written(error: OSError, path: object) -> UserError | RunFailed:
    """What to say of a file or a folder that cannot be written to. A full disk is no mistake of the user's."""
    if error.errno in FULL:
        return RunFailed(f"the disk is full: {path} was not written; free some space and try again")
    return UserError(f"{path} cannot be used: {error.strerror}; choose another folder")


class JobsFailed(RuntimeError):
    """Some jobs of a sweep did not complete. One line for each.

    Args:
        total: number of jobs in the sweep.
        reasons: why each of them failed, by name.
    """

    def __init__(self, total: int, reasons: dict[str, str]) -> None:
        lines = [f"  {name}: {reason.splitlines()[0]}" for name, reason in reasons.items()]
        super().__init__("\n".join([f"{len(reasons)} of {total} jobs did not complete", *lines]))


class Interrupted(BaseException):
    """A signal stopped the work, and its state was saved. Like KeyboardInterrupt it stops a sweep, not one job.

    Args:
        signum: the signal.
        then: what the user should know now.
    """

    def __init__(self, signum: int, then: str) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}; {then}")
        self.signum = signum
