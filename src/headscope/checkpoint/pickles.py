"""Loads files of `torch.save` without executing code in them, and explains why a file was not loaded."""

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

ZIP, PICKLE = b"PK\x03\x04", b"\x80"  #: the first bytes of a file of `torch.save`, by default and in its older format
PROTOCOL = 2  #: of `torch.save`, and the only one that `torch.load` reads without executing code
RESAVE = "open the file in the program that wrote it, and save it again with torch.save(content, path)"


class _Type:
    """Replaces `numpy.dtype` in a pickle. Only the types of plain numbers are allowed."""

    def __init__(self, name: str, *_: Any) -> None:
        if not re.fullmatch(r"[bif][1248]", name):
            raise pickle.UnpicklingError(f"GLOBAL numpy.dtype {name}")
        self.name, self.order = name, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "<"


def _number(kind: _Type, content: bytes) -> bool | int | float:
    """Replaces the constructor of a numpy number in a pickle; returns a number of Python."""
    return np.frombuffer(content, np.dtype(kind.order + kind.name))[0].item()  # type: ignore[no-any-return]


#: Stand-ins for the functions in a pickle of a numpy number, whose own versions could be misused.
NUMBERS: list[Any] = [
    (_Type, "numpy.dtype"),
    *((_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]


def safe_load(path: Path) -> Any:
    """Returns the content of a file of `torch.save`: tensors, numbers, texts, lists and dictionaries."""
    with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(NUMBERS):
        return torch.load(path, map_location="cpu", weights_only=True)  # torch warns about pickles that it then refuses


def in_archive(path: Path) -> tuple[int, bytes]:
    """Returns the size of all files in a zip archive and the start of its pickle; zero and empty if it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = archive.infolist()
            name = next(file.filename for file in files if file.filename.endswith("data.pkl"))
            return sum(file.file_size for file in files), archive.open(name).read(2)
    except (zipfile.BadZipFile, StopIteration, ValueError, NotImplementedError, OSError):
        return 0, b""


def not_data(start: bytes, error: str) -> str:
    """Returns the reason why a file was not loaded, from the start of its pickle and the error of `safe_load`."""
    if start[:1] == PICKLE and start[1] > PROTOCOL:
        unread = f"was saved with pickle_protocol={start[1]} and was not loaded, because reading it could execute code"
        return f"{unread}; {RESAVE}"
    if "GLOBAL" in error or "reduce" in error:
        return f"holds code, not only data, and was not loaded; {RESAVE}, with tensors, numbers and texts only"
    return "is damaged and was not loaded; use another file"
