"""The command line before Hydra reads it: text that its grammar cannot take is quoted, `resume=` is replaced.

Hydra's grammar gives meaning to commas, brackets, quotes and numbers. A path, a name or a prompt is text as typed.
"""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from headscope.cli.resume import continued
from headscope.sweep.jobs import quoted

PATHS = {"checkpoint", "data.path", "hydra.run.dir", "hydra.sweep.dir", "init", "out", "prompt_file"}
PATHS |= {"data.data_dir", "paths.data_dir", "paths.run_dir", "paths.runs"}
TEXTS = {"name", *PATHS}
STARTED_FROM = {"data.path", "init"}  #: recorded as absolute paths, so that a run can be resumed from another folder


def take(*names: str) -> dict[str, str]:
    """Removes each `name=…` from the command line and returns it as typed."""
    taken = {}
    for argument in sys.argv[1:]:
        name, equals, value = argument.partition("=")
        if equals and name in names:
            taken[name] = value
            sys.argv.remove(argument)
    return taken


def for_hydra(resume: bool = False) -> None:
    """Rewrites `sys.argv`.

    Args:
        resume: whether `resume=DIR` and `sweep=NAME` are known.

    Raises:
        UserError: see `resume.continued`.
        SystemExit: with 0, if there is nothing left to do.
    """
    folder = take("resume").get("resume") if resume else None
    # Hydra's argument parser takes -m before the overrides only.
    sys.argv[1:] = sorted(as_text(sys.argv[1:]), key=lambda argument: argument not in ("-m", "--multirun"))
    if folder is not None:
        arguments = continued(expanded(folder), sys.argv[1:])
        if arguments is None:
            sys.exit(0)
        sys.argv[1:] = arguments
    several = any(o.startswith("sweep=") and o != "sweep=null" for o in sys.argv) and "hydra.mode=RUN" not in sys.argv
    if resume and several and not any(o.startswith("-") for o in sys.argv[1:]):
        sys.argv.insert(1, "-m")  # Hydra refuses values with a comma beside a file that asks for a sweep


def as_text(arguments: Sequence[str]) -> list[str]:
    """Arguments with paths and names quoted. In a sweep a comma in one still separates its values."""
    several = any(a in ("-m", "--multirun") or a.startswith("sweep=") for a in arguments)
    return [_as_text(argument, several) for argument in arguments]


def _as_text(argument: str, several: bool) -> str:
    typed, equals, value = argument.partition("=")
    key = typed.lstrip("+")
    values = several and "," in value and not key.startswith("hydra.")
    if not equals or key not in TEXTS or values or value in ("", "null", "???") or _is_quoted(value):
        return argument
    if key in PATHS:
        value = expanded(value)
    if key in STARTED_FROM and "${" not in value:
        value = str(Path(value).absolute())
    return f"{typed}={quoted(value)}"


def expanded(path: str) -> str:
    """A path with a home folder at its beginning written out; `./~` is no home, nor that of a user who is not there."""
    with contextlib.suppress(RuntimeError):
        return str(Path(path).expanduser()) if path.startswith("~") else path
    return path


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
