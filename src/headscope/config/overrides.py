"""Overrides (`key=value`), and how to protect their values from Hydra's grammar.

The grammar interprets commas, brackets, quotes and numbers. Paths, names and prompts are taken as typed.
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
RESUME = "hydra.callbacks.record.resume"  #: how Hydra, jobs and ranks receive the folder of `resume=DIR`

#: Hydra's flags, except --experimental-rerun, which unpickles a file; tests/config/test_overrides.py compares them.
FLAGS = {"-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "--resolve", "-p", "--package", "-r", "--run"}
FLAGS |= {"-m", "--multirun", "-sc", "--shell-completion", "-cp", "--config-path", "-cn", "--config-name"}
FLAGS |= {"-cd", "--config-dir", "-i", "--info"}


def split(override: str) -> tuple[str, str]:
    """Returns the key and the value of `+key=value`."""
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def is_key(word: str, script: str) -> bool:
    """Whether a word is a top-level key of a script's config."""
    return f"\n{word}:" in (CONF / f"{script}.yaml").read_text(encoding="utf-8")


def quoted(text: str) -> str:
    """Quotes any text for Hydra's grammar, in which a backslash is special only before a quote."""
    inside = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return f"'{inside}'"


def refuse_dashes(arguments: Sequence[str]) -> None:
    """Raises `UserError` if a key was typed with dashes."""
    for argument in arguments:
        flag, _, value = argument.partition("=")
        if flag.startswith("-") and flag not in FLAGS:
            key = flag.lstrip("-").replace("-", "_")
            raise UserError(f"there is no option {flag}; keys take no dashes: {key}={value or '…'}")


def as_text(arguments: Sequence[str]) -> list[str]:
    """Quotes paths and names. In a sweep, a comma still separates several values."""
    several = any(a in ("-m", "--multirun") or a.startswith("sweep=") for a in arguments)
    found = []
    for argument in arguments:
        typed, _, value = argument.partition("=")
        key = typed.lstrip("+")
        values = several and "," in value and not key.startswith("hydra.")
        read_as_meant = value in ("", "null", "???") or re.fullmatch(r"'.*'|\".*\"", value, re.S)
        if (CONF / key).is_dir() and (value.isdigit() or value == "null"):
            argument = f"{typed}={quoted(value)}"  # makes Hydra's error list the options
        if key in TEXTS and not values and not read_as_meant:
            if key in PATHS:
                value = expanded(value)
            if key in STARTED_FROM and "${" not in value:
                value = str(Path(value).absolute())
            argument = f"{typed}={quoted(value)}"
        found.append(argument)
    return found


def expanded(path: str) -> str:
    """Expands `~` and `~user` at the start of a path; the name of an unknown user stays."""
    return os.path.expanduser(path)  # noqa: PTH111, Path.expanduser raises an error for an unknown user
