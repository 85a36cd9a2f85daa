"""Loads files of `torch.save` without executing code in them, and explains why a file was not loaded."""

import pickle
import re
import threading
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import _weights_only_unpickler as unpickler

ZIP, PICKLE = b"PK\x03\x04", b"\x80"  #: the first bytes of a file of `torch.save`, by default and in its older format
PROTOCOL = 2  #: pickle protocol of `torch.save`; `torch.load` may not read a newer one without executing code
KINDS = ("tensor_v2", "parameter", "sparse_tensor", "qtensor", "nested_tensor", "meta_tensor_no_storage")  #: of tensors
MAX_LENGTH = 64  #: largest number of bytes of a number, and of dimensions of a tensor
_LOCK = threading.Lock()  # for the patch of torch's unpickler
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


def _text(text: str, encoding: str) -> bytes:
    """Replaces `codecs.encode`, which pickles call for the bytes of a number; a long text is refused."""
    if len(text) > MAX_LENGTH or encoding != "latin1":
        raise pickle.UnpicklingError(f"GLOBAL codecs.encode with {len(text)} characters")
    return text.encode(encoding)


def _shape(sizes: tuple[int, ...]) -> torch.Size:
    """Replaces `torch.Size`, which could copy a long list many times."""
    if len(sizes) > MAX_LENGTH:
        raise pickle.UnpicklingError(f"GLOBAL torch.Size with {len(sizes)} sizes")
    return torch.Size(sizes)


def _allowed() -> dict[str, Any]:
    """Returns the classes and functions that `torch.save` writes for tensors, numbers, texts, lists and dictionaries.

    PyTorch also allows functions that take any amount of memory, such as `bytearray(10**10)`.
    """
    known = unpickler._get_allowed_globals()
    kept = {f"torch._utils._rebuild_{kind}" for kind in KINDS} | {"torch.device", "torch.serialization._get_layout"}
    plain = (torch.dtype, torch.qscheme, torch.serialization.StorageType)
    allowed = {name: value for name, value in known.items() if name in kept or isinstance(value, plain)}
    return allowed | {
        "collections.OrderedDict": lambda: OrderedDict(),  # a call with an argument could copy it many times
        "torch.Size": _shape,
        "_codecs.encode": _text,
        "numpy.dtype": _Type,
        "numpy.core.multiarray.scalar": _number,
        "numpy._core.multiarray.scalar": _number,
    }


def safe_load(path: Path) -> Any:
    """Returns the content of a file of `torch.save`: tensors, numbers, texts, lists and dictionaries."""
    with _LOCK, warnings.catch_warnings(action="ignore"):  # torch warns about pickles that it then refuses
        original, allowed = unpickler._get_allowed_globals, _allowed()
        unpickler._get_allowed_globals = lambda: allowed  # type: ignore[assignment]
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        finally:
            unpickler._get_allowed_globals = original


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
