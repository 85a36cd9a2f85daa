"""How this copy of Headscope came onto the machine: where its scripts lie, how its commands are typed, its commit."""

import os
import subprocess
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
IN_A_WHEEL = (PACKAGE / "scripts").is_dir()
#: The folder of train.py, generate.py and conf/: a wheel holds copies of them (see setup.py), a checkout the originals.
SCRIPTS = PACKAGE / "scripts" if IN_A_WHEEL else PACKAGE.parents[1]
CONF = SCRIPTS / "conf"
TYPED = (
    "HEADSCOPE_COMMAND"  #: environment variable: `headscope` was typed, not a script; for the processes below it too
)

COMMANDS = {
    "train": "train.py",
    "generate": "generate.py",
    "report": "-m headscope.report",
    "walk": "-m headscope.walkthrough",
    "export": "-m headscope.checkpoint",
}


def command(name: str) -> str:
    """How to type a command: as this process was started, so that what we print can be pasted."""
    return f"headscope {name}" if IN_A_WHEEL or TYPED in os.environ else f"python {COMMANDS[name]}"


def commit() -> str | None:
    """The commit of this source tree, followed by + if files differ from it; None outside git."""
    if not (SCRIPTS / ".git").exists():
        return None
    describe = ["git", "-C", str(SCRIPTS), "describe", "--always", "--abbrev=12", "--dirty=+", "--match="]
    try:
        return subprocess.run(describe, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def extra(name: str) -> str:
    """How to install an optional dependency."""
    return f"pip install 'headscope[{name}]'" if IN_A_WHEEL else f"pip install --editable '.[{name}]'"
