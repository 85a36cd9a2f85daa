"""`resume=DIR`: goes on with a run in its folder. Works on the command line, before Hydra sees it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from headscope.errors import UserError
from headscope.run.folder import RESUMING, RunFolder
from headscope.sweep.jobs import MANIFEST, Manifest, quoted, split


def rewrite(folder: str, overrides: list[str]) -> list[str] | None:
    """The command line that continues a run or a sweep: its saved overrides, then new ones, its folder fixed.

    The run saves the union once it has checked it, so that the next resume knows it too. None if there is nothing left
    to do.

    Args:
        folder: of the run.
        overrides: what was typed beside `resume=`.

    Raises:
        UserError: no run was started in that folder.
    """
    if not folder:
        raise UserError("resume= is empty; give the folder of a run")
    run, folder_of = Path(folder), RunFolder(folder)
    os.environ[RESUMING] = str(run.resolve())
    if (run / MANIFEST).exists():
        return [*merged(Manifest.read(run).command, overrides), f"hydra.sweep.dir={quoted(str(run))}"]
    before = folder_of.overrides()
    new = [o for o in overrides if not o.lstrip("+~").startswith("hydra.")]
    steps = [o for o in new if o.lstrip("+").startswith("trainer.max_steps=")]
    if folder_of.summary().get("status") == "completed" and not steps:
        print(f"{folder} has completed; trainer.max_steps=… extends it")
        return None
    task = merged(before, new)
    if task != before:
        print(f"resuming {folder} with {' '.join(new)}")
    return [*task, f"hydra.run.dir={quoted(str(run))}", "hydra.mode=RUN"]


def merged(before: Sequence[str], new: Sequence[str]) -> list[str]:
    """Overrides with new ones in place of those that have the same key, or after them."""
    keys = [split(o)[0] for o in new]
    kept = [o for o in before if split(o)[0] not in keys or "=" not in o]
    return [*kept, *(o for o in new if "=" in o or o not in kept)]


def from_command_line(typed: dict[str, str]) -> None:
    """Replaces `resume=` by what it stands for, and adds -m to `sweep=`; leaves with 0 where nothing is to be done."""
    if "resume" in typed:
        argv = rewrite(typed["resume"], sys.argv[1:])
        if argv is None:
            sys.exit(0)
        sys.argv[1:] = argv
    several = any(o.startswith("sweep=") and o != "sweep=null" for o in sys.argv) and "hydra.mode=RUN" not in sys.argv
    if several and not any(o.startswith("-") for o in sys.argv[1:]):
        sys.argv.insert(1, "-m")  # Hydra would refuse values with a comma beside a file that asks for a sweep
