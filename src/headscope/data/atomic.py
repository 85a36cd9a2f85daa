"""A file that appears whole or not at all."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from headscope.errors import FULL, RunFailed, UserError

BESIDE = ".beside"  #: ends the name of a file that is not whole yet


def write_atomically(path: Path, content: bytes) -> None:
    """Writes beside the file, then puts it in place; what stood there before stays until then.

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
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as e:
        if e.errno in FULL:
            raise RunFailed(f"the disk is full: {path} was not written; make room and try again") from e
        raise UserError(f"{path} cannot be written: {e.strerror}; choose another folder") from e


def read_json(path: Path) -> dict[str, Any]:
    """What a file of this kind holds; empty where there is none, or none that can be read."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def clear(folder: Path) -> None:
    """Takes away what a process that was killed while it wrote has left in a folder of its own."""
    for path in folder.rglob(f"*{BESIDE}"):
        path.unlink(missing_ok=True)
