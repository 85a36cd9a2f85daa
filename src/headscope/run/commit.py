"""Which commit of the source a run was made with."""

import subprocess

from headscope.installed import SCRIPTS


def commit() -> str | None:
    """The commit of this source tree, followed by + if files differ from it; None outside git."""
    root = SCRIPTS
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+", "--match="]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
