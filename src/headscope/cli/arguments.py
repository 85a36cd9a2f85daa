"""The command line before Hydra reads it: a prompt is taken out, paths are quoted, `resume=` is replaced."""

import sys

from headscope.cli.resume import continued
from headscope.config.overrides import as_text, expanded, is_key, refuse_dashes


def take(name: str) -> str | None:
    """Removes `name=…` from the command line and returns its value as typed; the last of several counts."""
    typed = [a for a in sys.argv[1:] if a.startswith(f"{name}=")]
    sys.argv[1:] = [a for a in sys.argv[1:] if a not in typed]
    return typed[-1].partition("=")[2] if typed else None


def take_prompt() -> str | None:
    """The same for `prompt=…`, or for the only argument without `=` if it is no key: `generate.py "ROMEO:"`."""
    bare = [a for a in sys.argv[1:] if "=" not in a]
    if len(bare) == 1 and not bare[0].startswith(("-", "~")) and not is_key(bare[0], "generate"):
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
