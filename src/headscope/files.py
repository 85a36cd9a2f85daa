"""Writes files that are never seen half-written."""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from headscope.errors import not_written

BESIDE = ".beside"  #: suffix of an incomplete file, which is in the same folder as the complete one


def write_atomically(path: Path, content: bytes, flush: bool = True) -> None:
    """Writes a temporary file in the folder of `path`, then renames it; until then, `path` keeps its old content.

    With `flush` it waits for the disk, so that the file survives a power cut; for many files that would be slow. Raises
    `RunFailed` if the disk is full, and `UserError` if the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=BESIDE)
        try:
            with os.fdopen(handle, "wb") as f:
                f.write(content)
                f.flush()
                if flush:
                    os.fsync(f.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
            if flush:
                sync_folder(path.parent)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as e:
        raise not_written(e, path) from e


def sync_file(path: Path) -> None:
    """Waits until a file, which another library has written, is on disk."""
    with path.open("rb+") as f:
        os.fsync(f.fileno())


def sync_folder(folder: Path) -> None:
    """Makes a rename survive a power cut; does nothing on Windows, which needs no such call."""
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
    """Deletes temporary files of a killed process from a folder that this process owns."""
    for path in folder.rglob(f"*{BESIDE}"):
        path.unlink(missing_ok=True)
