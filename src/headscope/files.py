"""Files that appear whole or not at all."""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from headscope.errors import not_written

BESIDE = ".beside"  #: suffix of a file that is not complete yet


def write_atomically(path: Path, content: bytes, flush: bool = True) -> None:
    """Writes a temporary file beside `path`, flushes it to disk and renames it; the old content stays until then.

    Args:
        path: what appears whole or not at all.
        content: all of it.
        flush: wait for the disk, so that it also survives a power cut; false for what many files make slow.

    Raises:
        RunFailed: the disk is full.
        UserError: the folder cannot be written to.
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
    """Waits until a file that another library wrote is on disk."""
    with path.open("rb+") as f:
        os.fsync(f.fileno())


def sync_folder(folder: Path) -> None:
    """Makes a rename survive a power cut. Windows cannot open a folder, and needs no such call."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if the file is missing or cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Any) -> None:
    """Writes plain data as a JSON file; see `write_atomically`."""
    write_atomically(path, json.dumps(content, indent=2).encode())


def remove_incomplete(folder: Path) -> None:
    """Deletes the temporary files that a killed process left in a folder that belongs to this one."""
    for path in folder.rglob(f"*{BESIDE}"):
        path.unlink(missing_ok=True)
