"""Prepares the command line for Hydra: takes the prompt out, quotes paths, replaces `resume=`."""

import sys

from headscope.config.overrides import as_text, expanded, is_key, refuse_dashes, split
from headscope.errors import UserError
from headscope.sweep.resume import continued


def take(name: str) -> str | None:
    """Removes `name=…` from the command line and returns its value as typed; of several, the last."""
    typed = [a for a in sys.argv[1:] if a.startswith(f"{name}=")]
    sys.argv[1:] = [a for a in sys.argv[1:] if a not in typed]
    return typed[-1].partition("=")[2] if typed else None


def take_prompt() -> str | None:
    """Takes `prompt=…`, or a single argument that is neither an override nor a key: `generate.py "ROMEO:"`."""
    bare = [a for a in sys.argv[1:] if "=" not in a]
    if len(bare) == 1 and not bare[0].startswith(("-", "~")) and not is_key(bare[0], "generate"):
        sys.argv.remove(bare[0])
        sys.argv.append(f"prompt={bare[0]}")
    return take("prompt")


def for_hydra(resume: bool = False) -> None:
    """Rewrites `sys.argv`; with `resume`, the command also accepts `resume=DIR` and `sweep=NAME`.

    Raises:
        UserError: see `resume.continued`; a key was typed with dashes; `hydra.job.chdir` was set.
        SystemExit: with 0, if the run has already completed.
    """
    refuse_dashes(sys.argv[1:])
    if any(split(o) == ("hydra.job.chdir", "true") for o in sys.argv[1:]):
        raise UserError("hydra.job.chdir=true would move data, checkpoints and other relative paths; leave it out")
    folder = take("resume") if resume else None
    arguments = as_text(sys.argv[1:])
    if folder is not None:
        if (resumed := continued(expanded(folder), arguments)) is None:
            sys.exit(0)
        arguments = resumed
    several = any(o.startswith("sweep=") and o != "sweep=null" for o in arguments) and "hydra.mode=RUN" not in arguments
    if resume and several and not any(o.startswith("-") for o in arguments):
        arguments = ["-m", *arguments]  # a sweep file has values with commas, which Hydra accepts only with -m
    # Hydra's argument parser accepts -m only before the overrides.
    sys.argv[1:] = sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))
