"""A lock for the folder of a run or a sweep."""

import os
import platform
from pathlib import Path

from filelock import FileLock, Timeout

from headscope.errors import UserError, not_written

_held: dict[Path, FileLock] = {}  # the locks that this process holds, by folder; they outlive the `Lock` objects


class Lock:
    """A lock for the folder of a run or a sweep: only the process that holds it may write there.

    The operating system locks the file `.lock` and unlocks it when the process ends, even after a crash. The lock
    works across machines if the network file system supports `flock`; otherwise `filelock` creates and removes a file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / ".lock"

    @property
    def held(self) -> bool:
        """Whether this process owns the folder."""
        return self.folder.resolve() in _held

    def acquire(self) -> None:
        """Locks the folder until `release` or the end of the process; locking it twice has no further effect."""
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
