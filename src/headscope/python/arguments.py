"""Checks the arguments of the public functions, before anything uses them."""

import os
import reprlib
from pathlib import Path
from typing import Any

from headscope.annotations import invalid_value
from headscope.config.overrides import expand_home
from headscope.errors import NO_CURRENT_FOLDER, UserError


def absolute_path(path: Any) -> Path:
    """Returns the absolute path of a path that the user gave, so that it stays valid after `os.chdir`; expands `~`."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str) or "\0" in os.fspath(path):
        raise invalid_value("path", reprlib.repr(path), "a path, as in load('outputs/my-run')")
    try:
        return Path(expand_home(os.fspath(path))).absolute()
    except FileNotFoundError as e:
        raise UserError(NO_CURRENT_FOLDER) from e


def checked_text(text: Any, function: str) -> str:
    """Returns a text that the user gave; raises `UserError` if it is not a string."""
    if not isinstance(text, str):
        raise invalid_value("text", reprlib.repr(text), f"a string, as in {function}('I love')")
    return text
