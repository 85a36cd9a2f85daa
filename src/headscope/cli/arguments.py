"""The command line before Hydra reads it: text that its grammar cannot take is quoted, `resume=` is replaced.

Hydra's grammar gives meaning to commas, brackets, quotes and numbers. A path, a name or a prompt is text as typed.
"""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from headscope.cli.resume import continued
from headscope.errors import UserError
from headscope.installed import CONF
from headscope.sweep.jobs import quoted

PATHS = {"checkpoint", "data.path", "hydra.run.dir", "hydra.sweep.dir", "init", "out", "prompt_file"}
PATHS |= {"data.data_dir", "paths.data_dir", "paths.run_dir", "paths.runs"}
TEXTS = {"name", *PATHS}
STARTED_FROM = {"data.path", "init"}  #: recorded as absolute paths, so that a run can be resumed from another folder


#: What Hydra takes with dashes, but for a rerun, which unpickles a file; tests/cli/test_arguments.py compares.
FLAGS = {"-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "--resolve", "-p", "--package", "-r", "--run"}
FLAGS |= {"-m", "--multirun", "-sc", "--shell-completion", "-cp", "--config-path", "-cn", "--config-name"}
FLAGS |= {"-cd", "--config-dir", "-i", "--info"}


def take(name: str) -> str | None:
    """Removes `name=…` from the command line and returns its value as typed; the last of several counts."""
    typed = [a for a in sys.argv[1:] if a.startswith(f"{name}=")]
    sys.argv[1:] = [a for a in sys.argv[1:] if a not in typed]
    return typed[-1].partition("=")[2] if typed else None


def take_prompt() -> str | None:
    """The same for `prompt=…`, or for the only argument that is no KEY=VALUE: `generate.py "ROMEO:"`."""
    bare = [a for a in sys.argv[1:] if "=" not in a]
    if len(bare) == 1 and not bare[0].startswith(("-", "~")):
        sys.argv.remove(bare[0])
        sys.argv.append(f"prompt={bare[0]}")
    return take("prompt")


def for_hydra(resume: bool = False) -> None:
    """Rewrites `sys.argv`; `resume=DIR` and `sweep=NAME` may be known.

    Raises:
        UserError: see `resume.continued`; a key was typed with dashes.
        SystemExit: with 0, if there is nothing left to do.
    """
    refuse_dashes(sys.argv[1:])
    folder = take("resume") if resume else None
    arguments = as_text(sys.argv[1:])
    if folder is not None:
        if (resumed := continued(expanded(folder), arguments)) is None:
            sys.exit(0)
        arguments = resumed
    several = any(o.startswith("sweep=") and o != "sweep=null" for o in arguments) and "hydra.mode=RUN" not in arguments
    if resume and several and not any(o.startswith("-") for o in arguments):
        arguments = ["-m", *arguments]  # Hydra refuses values with a comma beside a file that asks for a sweep
    # Hydra's argument parser takes -m before the overrides only.
    sys.argv[1:] = sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))


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
