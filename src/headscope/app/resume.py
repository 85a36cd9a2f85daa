"""`resume=DIR`: goes on with a run in its folder. Works on the command line, before Hydra sees it."""

import json
import os
import re
import sys
from pathlib import Path

from omegaconf import ListConfig, OmegaConf

from headscope.data.atomic import write_atomically
from headscope.errors import UserError

#: Tells this process, and the ranks it starts, that the folder's run is to go on.
RESUMING = "HEADSCOPE_RESUMING"


def rewrite(folder: str, overrides: list[str]) -> list[str] | None:
    """The command line that continues a run: its saved overrides, then new ones, its folder fixed.

    The union is saved first, so that the next resume knows it too. None if there is nothing left to do.

    Args:
        folder: of the run.
        overrides: what was typed beside `resume=`.

    Raises:
        UserError: no run was started in that folder.
    """
    if not folder:
        raise UserError("resume= is empty; give the folder of a run")
    run = Path(folder)
    saved = run / ".hydra" / "overrides.yaml"
    try:
        loaded = OmegaConf.load(saved)
        assert isinstance(loaded, ListConfig)
        before = [str(o) for o in loaded]
    except Exception as e:
        raise UserError(
            f"resume={folder}: no run was started there; give a run's folder, the one with checkpoints in it"
        ) from e
    new = [o for o in overrides if not o.lstrip("+~").startswith("hydra.")]
    steps = [o for o in new if o.lstrip("+").startswith("trainer.max_steps=")]
    if _status(run) == "completed" and not steps:
        print(f"{folder} has completed; trainer.max_steps=… extends it")
        return None
    task = [*before, *(o for o in new if o not in before)]
    if task != before:
        print(f"resuming {folder} with {' '.join(new)}")
        write_atomically(saved, OmegaConf.to_yaml(OmegaConf.create(task)).encode())
    os.environ[RESUMING] = str(run.resolve())
    return [*task, f"hydra.run.dir='{_quoted(str(run))}'"]


def resuming(folder: Path) -> bool:
    """Whether this process continues the run of a folder."""
    return os.environ.get(RESUMING) == str(folder.resolve())


def _status(run: Path) -> str | None:
    try:
        status = json.loads((run / "summary.json").read_text())["status"]
    except (OSError, ValueError, KeyError):
        return None
    return str(status)


def _quoted(text: str) -> str:
    return re.sub(r"(['\\])", r"\\\1", text)


def from_command_line(typed: dict[str, str]) -> None:
    """Replaces `resume=` by what it stands for; leaves with exit code 0 where there is nothing to do."""
    if "resume" in typed:
        argv = rewrite(typed["resume"], sys.argv[1:])
        if argv is None:
            sys.exit(0)
        sys.argv[1:] = argv
