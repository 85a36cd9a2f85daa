"""How this copy of Headscope was installed: the folder of its scripts, how to type its commands, its commit."""

import os
import subprocess
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
IN_A_WHEEL = (PACKAGE / "scripts").is_dir()
#: The folder of train.py, generate.py and conf/: the checkout, or the copies in a wheel (see setup.py).
SCRIPTS = PACKAGE / "scripts" if IN_A_WHEEL else PACKAGE.parents[1]
CONF = SCRIPTS / "conf"
TYPED = "HEADSCOPE_COMMAND"  #: environment variable that is set if the user typed `headscope`, not `python train.py`

COMMANDS = {
    "train": "train.py",
    "generate": "generate.py",
    "report": "-m headscope.report",
    "walk": "-m headscope.walkthrough",
    "export": "-m headscope.checkpoint",
}


def command(name: str) -> str:
    """Returns a command in the form in which the user started this process, so that it can be pasted."""
    return f"headscope {name}" if IN_A_WHEEL or TYPED in os.environ else f"python {COMMANDS[name]}"


def commit() -> str | None:
    """Returns the commit of this source tree, with a + if files have changed since; None outside git."""
    if not (SCRIPTS / ".git").exists():
        return None
    try:
        # Not `git describe --dirty`, which rewrites the index: killed by a limit, it leaves a lock (git 2.39.5).
        changed = _git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
        return _git("describe", "--always", "--abbrev=12", "--match=") + "+" * bool(changed)
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(SCRIPTS), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()


def extra(name: str) -> str:
    """Returns the command that installs an optional dependency."""
    return f"pip install 'headscope[{name}]'" if IN_A_WHEEL else f"pip install --editable '.[{name}]'"
