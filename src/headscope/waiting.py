"""How threads of OpenMP wait for each other, decided before torch is imported.

They meet many times a step. A thread that spins is there at once, but holds a core that another process could have
used, and is stopped for whole time slices by one that takes it; a thread that sleeps must be woken. So they spin where
a core is free for each of them, and sleep soon where none is. `benchmarks/busy.py` measures both.

`GOMP_SPINCOUNT` is read by libgomp, which PyTorch brings along on Linux; elsewhere it does nothing.
"""

import os
import time
from pathlib import Path

SPIN, SLEEP = "10000", "100"  #: turns of a waiting thread before it sleeps
_decided = False  # by us, not by the user


def decide() -> None:
    """Sets `GOMP_SPINCOUNT`, unless the user has said how threads wait."""
    global _decided
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        _decided = True
        os.environ["GOMP_SPINCOUNT"] = SPIN if cores_are_free() else SLEEP


def beside_others() -> dict[str, str]:
    """What to add to the environment of processes that share this machine's cores: their threads sleep soon."""
    return {"GOMP_SPINCOUNT": SLEEP} if _decided else {}


def our_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_are_free(looks: int = 5) -> bool:
    """Whether the other processes of this machine leave a core for each of our threads, at one look at least.

    Many processes run for a moment only.
    """
    ours = our_cores()
    return any(_computing() - 1 + ours <= (os.cpu_count() or ours) for _ in range(looks))


def _computing() -> int:
    """Threads of the whole machine that run or wait for a core, this one included; 1 where nobody counts them."""
    time.sleep(0.005)
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].split("/")[0])  # proc_loadavg(5)
    except (OSError, IndexError, ValueError):
        return 1
