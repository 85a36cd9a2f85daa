"""What becomes of a run of several processes on one machine when one of them dies: the others end, soon, with a word.

Lightning's own observer looks every five seconds and then kills them all, the one that speaks among them.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from lightning.pytorch.strategies.launchers import subprocess_script

GRACE = 5.0  #: seconds in which a process that lost another should find that out by itself, and end with its own words
DIED = "another process of this run died; resume=DIR goes on from its last checkpoint"


def end_together(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    """Watches the processes that the first one has started. These watch it in turn: see `headscope.cli.command`."""

    def watch() -> None:
        while not any(rank.poll() for rank in ranks):
            time.sleep(0.3)
        time.sleep(GRACE)
        for rank in ranks:
            rank.kill()
        print(f"error: {DIED}", file=sys.stderr, flush=True)
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()


def replace_observer() -> None:
    """Lets Lightning call `end_together` where it would start its observer."""
    subprocess_script._launch_process_observer = end_together  # type: ignore[attr-defined, assignment]
