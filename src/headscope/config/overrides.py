"""Overrides, `key=value` each, and what Hydra's grammar would misread in them.

The grammar gives meaning to commas, brackets, quotes and numbers. A path, a name or a prompt is text as typed.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from headscope.errors import UserError
from headscope.installed import CONF

PATHS = {"checkpoint", "data.path", "hydra.run.dir", "hydra.sweep.dir", "init", "out", "prompt_file"}
PATHS |= {"data.data_dir", "paths.data_dir", "paths.run_dir", "paths.runs"}
TEXTS = {"name", *PATHS}
STARTED_FROM = {"data.path", "init"}  #: recorded as absolute paths, so that a run can be resumed from another folder


#: What Hydra takes with dashes, but for a rerun, which unpickles a file; tests/config/test_overrides.py compares.
FLAGS = {"-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "--resolve", "-p", "--package", "-r", "--run"}
FLAGS |= {"-m", "--multirun", "-sc", "--shell-completion", "-cp", "--config-path", "-cn", "--config-name"}
FLAGS |= {"-cd", "--config-dir", "-i", "--info"}


def split(override: str) -> tuple[str, str]:
    """`+key=value` as key and value."""
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def is_key(word: str, script: str) -> bool:
    """Whether the config of a script has a key, at its top."""
    return f"\n{word}:" in (CONF / f"{script}.yaml").read_text(encoding="utf-8")


def quoted(text: str) -> str:
    """Any text as a value in Hydra's grammar, where backslashes count only before a quote."""
    inside = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return f"'{inside}'"


def refuse_dashes(arguments: Sequence[str]) -> None:
    """Raises `UserError` for a key that was typed with dashes."""
    for argument in arguments:
        flag, _, value = argument.partition("=")
        if flag.startswith("-") and flag not in FLAGS:
            key = flag.lstrip("-").replace("-", "_")
            raise UserError(f"there is no option {flag}; keys take no dashes: {key}={value or '…'}")


def as_text(arguments: Sequence[str]) -> list[str]:
    """Arguments with paths and names quoted. In a sweep a comma in one still separates its values."""
    several = any(a in ("-m", "--multirun") or a.startswith("sweep=") for a in arguments)
    found = []
    for argument in arguments:
        typed, _, value = argument.partition("=")
        key = typed.lstrip("+")
        values = several and "," in value and not key.startswith("hydra.")
        read_as_meant = value in ("", "null", "???") or re.fullmatch(r"'.*'|\".*\"", value, re.S)
        if (CONF / key).is_dir() and (value.isdigit() or value == "null"):
            argument = f"{typed}={quoted(value)}"  # an option's name, of which Hydra says what there is instead
        if key in TEXTS and not values and not read_as_meant:
            if key in PATHS:
                value = expanded(value)
            if key in STARTED_FROM and "${" not in value:
                value = str(Path(value).absolute())
            argument = f"{typed}={quoted(value)}"
        found.append(argument)
    return found


def expanded(path: str) -> str:
    """A path with a home folder at its beginning written out; `./~` is no home, nor that of a user who is not there."""
    return os.path.expanduser(path)  # noqa: PTH111, a Path raises an error for that user
