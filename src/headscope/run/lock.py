"""The lock of a folder: only its owner may write there."""

import os
import platform
from pathlib import Path

from filelock import FileLock, Timeout

from headscope.errors import UserError, not_written

_held: dict[Path, FileLock] = {}  # by this process, independently of the lifetime of `Lock` objects


class Lock:
    """The lock of the folder of a run or of a sweep, which has one owner at a time.

    The operating system holds a lock on the file `.lock` and releases it when the process ends, also after a crash.
    It works across machines if the network file system supports `flock`; otherwise `filelock` creates and removes a
    file instead.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / ".lock"

    @property
    def held(self) -> bool:
        """Whether this process owns the folder."""
        return self.folder.resolve() in _held

    def acquire(self) -> None:
        """Locks the folder until `release` or the end of the process; locking it twice has no further effect.

        Raises:
            UserError: another process owns the folder, or it cannot be written to.
        """
        if self.held:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.file, blocking=False, thread_local=False)
            lock.acquire()
            _held[self.folder.resolve()] = lock
            self.file.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        except Timeout as e:
            owner = self.file.read_text(encoding="utf-8", errors="replace") or "another process"
            raise UserError(f"{self.folder} is in use by {owner}; wait until it ends, or choose another folder") from e
        except OSError as e:
            raise not_written(e, self.folder) from e

    def release(self) -> None:
        """Unlocks the folder."""
        if self.held:
            _held.pop(self.folder.resolve()).release()
