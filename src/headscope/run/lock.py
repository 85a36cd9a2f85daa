"""Locks the folder of a run or a sweep: only the process that holds the lock may write there.

The operating system locks the file `.lock` and unlocks it when the process ends, even after a crash. The lock works
across machines if the network file system supports `flock`; otherwise the existence of the file is the lock.
"""

import os
import platform
from pathlib import Path

from filelock import FileLock, Timeout

from headscope.errors import UserError, not_written

FILE = ".lock"
_held: dict[Path, FileLock] = {}  # the locks that this process holds, by folder


def is_held(folder: Path) -> bool:
    """Whether this process has locked a folder."""
    return folder.resolve() in _held


def acquire(folder: Path) -> None:
    """Creates and locks a folder until `release` or the end of the process; locking it twice has no further effect."""
    if is_held(folder):
        return
    file = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file, blocking=False, thread_local=False)
        lock.acquire()
        _held[folder.resolve()] = lock
        file.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
    except Timeout as e:
        owner = file.read_text(encoding="utf-8", errors="replace") or "another process"
        raise UserError(f"{folder} is in use by {owner}; wait until it ends, or choose another folder") from e
    except OSError as e:
        raise not_written(e, folder) from e


def release(folder: Path) -> None:
    """Unlocks a folder, if this process has locked it."""
    if is_held(folder):
        _held.pop(folder.resolve()).release()


def is_held_elsewhere(folder: Path) -> bool:
    """Whether any process has locked a folder; neither waits nor changes the file. False on Windows."""
    try:
        import fcntl

        with (folder / FILE).open("rb") as f:
            fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (ImportError, OSError) as e:
        return isinstance(e, BlockingIOError)
    return False
