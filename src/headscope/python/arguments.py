"""Checks the arguments of the public functions, before anything uses them."""

import os
import reprlib
from pathlib import Path
from typing import Any

from headscope.annotations import invalid_value
from headscope.config.overrides import PATHS, expand_home, split


def absolute_path(path: Any) -> Path:
    """Returns the absolute path of a path that the user gave, so that it stays valid after `os.chdir`; expands `~`."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str) or "\0" in os.fspath(path):
        raise invalid_value("path", reprlib.repr(path), "a path, as in load('outputs/my-run')")
    return Path(expand_home(os.fspath(path))).absolute()


def with_absolute_path(override: str) -> str:
    """Returns an override with an absolute path if its key is a path, so that a resume elsewhere finds the folder."""
    typed, _, value = override.partition("=")
    is_literal = value in ("", "null", "???") or value[0] in "'\"" or "${" in value
    return override if split(override)[0] not in PATHS or is_literal else f"{typed}={absolute_path(value)}"


def checked_text(text: Any, function: str) -> str:
    """Returns a text that the user gave; raises `UserError` if it is not a string."""
    if not isinstance(text, str):
        raise invalid_value("text", reprlib.repr(text), f"a string, as in {function}('I love')")
    return text
