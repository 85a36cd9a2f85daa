"""Writes files atomically, so that no reader sees an incomplete file."""

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from headscope.errors import not_written

BESIDE = ".beside"  #: suffix of a temporary file, which is in the same folder as the final file


def write_atomically(path: Path, content: bytes, flush: bool = True) -> None:
    """Writes a temporary file and renames it to `path`, which keeps its old content until then.

    With `flush`, waits until the file is on disk, so that it survives a power failure; this is slow for many files.
    The umask decides who can read the file. Raises `RunFailed` if the disk is full, and `UserError` if the folder
    cannot be written to.
    """
    temporary = beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as f:
            f.write(content)
            f.flush()
            if flush:
                os.fsync(f.fileno())
        temporary.replace(path)
        if flush:
            sync_folder(path.parent)
    except OSError as e:
        raise not_written(e, path) from e
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # exists only after an error


def beside(path: Path) -> Path:
    """Returns a new name for a temporary file or folder next to `path`.

    The caller creates it with an ordinary call: `tempfile` would ignore the umask.
    """
    return path.parent / f"{path.name}.{secrets.token_hex(4)}{BESIDE}"


def follow_umask(path: Path) -> None:
    """Gives a file the permissions of a new file; libraries that use `tempfile` let only its owner read it."""
    new = beside(path)
    new.touch(exist_ok=False)  # os.umask would have to change the umask of all threads to read it
    path.chmod(new.stat().st_mode & 0o777)
    new.unlink()


def sync_file(path: Path) -> None:
    """Waits until a file that another library wrote is on disk."""
    with path.open("rb+") as f:
        os.fsync(f.fileno())


def sync_folder(folder: Path) -> None:
    """Makes a rename survive a power failure; does nothing on Windows, where it is not needed."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file; empty if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Any) -> None:
    """Writes plain data as a JSON file; see `write_atomically`."""
    write_atomically(path, json.dumps(content, indent=2).encode())


def remove_incomplete(folder: Path) -> None:
    """Deletes the temporary files that a killed process left in a folder; this process must own the folder."""
    for path in folder.rglob(f"*{BESIDE}"):
        path.unlink(missing_ok=True)
