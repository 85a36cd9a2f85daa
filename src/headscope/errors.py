"""The errors that Headscope raises deliberately. Commands print the message and exit with the error's `exit_code`."""

import errno
import signal
from collections.abc import Sequence

#: Error numbers for a full disk: no space left, quota exceeded, file size limit exceeded.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NO_CURRENT_FOLDER = "the current folder no longer exists; change to another one"


class UserError(ValueError):
    """A mistake in the input, or missing data. The message is one line: what was given, what is allowed, what to do."""

    exit_code = 2


class UnknownKey(UserError):
    """A key that does not exist; `known` are the keys in its place."""

    def __init__(self, key: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no key {key}")
        self.key, self.known = key, known


class MissingKey(UserError):
    """A required key that has no value."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is missing")
        self.key = key


class RunFailed(RuntimeError):
    """A run failed for a known reason, such as a loss that is not finite. The message has possible remedies."""

    exit_code = 3


def not_written(error: OSError, path: object) -> UserError | RunFailed:
    """Returns the error for a path that cannot be written: `RunFailed` if the disk is full, else `UserError`."""
    if error.errno in FULL:
        return RunFailed(f"the disk is full: {path} was not written; free some space and try again")
    return UserError(f"{path} cannot be used: {error.strerror}; choose another folder")


class JobsFailed(RuntimeError):
    """Some jobs of a sweep did not complete. The message has one line per failed job."""

    exit_code = 1

    def __init__(self, total: int, reasons: dict[str, str]) -> None:
        lines = [f"  {name}: {reason.splitlines()[0]}" for name, reason in reasons.items()]
        super().__init__("\n".join([f"{len(reasons)} of {total} jobs did not complete", *lines]))


class Interrupted(BaseException):
    """A signal stopped a run or a sweep, and its state was saved; `then` is the end of the message.

    Like KeyboardInterrupt, it derives from BaseException, so that it stops a whole sweep instead of one job.
    """

    def __init__(self, signum: int, then: str) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}; {then}")
        self.signum, self.exit_code = signum, 128 + signum
