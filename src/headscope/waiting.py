"""Decides, before torch is imported, how threads of OpenMP wait for each other.

Threads wait many times in a training step. A spinning thread continues at once, but it occupies a core; if another
process needs that core, all threads wait for whole time slices. A sleeping thread leaves the core free, but takes time
to wake. So threads spin if the machine has a free core for each of them, and otherwise sleep after a short spin.
`benchmarks/busy.py` measures both.

`GOMP_SPINCOUNT` is read by libgomp, which PyTorch includes on Linux; elsewhere the variable has no effect.
"""

import os
import time
from pathlib import Path

SPIN, SLEEP = "10000", "100"  #: iterations that a waiting thread spins before it sleeps
_decided = False  # whether this module, and not the user, has set the variable


def decide() -> None:
    """Sets `GOMP_SPINCOUNT`, unless the user has set it or `OMP_WAIT_POLICY`."""
    global _decided
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        _decided = True
        os.environ["GOMP_SPINCOUNT"] = SPIN if cores_are_free() else SLEEP


def beside_others() -> dict[str, str]:
    """Returns environment variables for processes that share this machine's cores: their threads sleep soon."""
    return {"GOMP_SPINCOUNT": SLEEP} if _decided else {}


def our_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_are_free(looks: int = 5) -> bool:
    """Whether other processes leave a free core for each of our threads, in at least one of several samples.

    One sample is not enough, because many processes run only for a moment.
    """
    ours = our_cores()
    return any(_computing() - 1 + ours <= (os.cpu_count() or ours) for _ in range(looks))


def _computing() -> int:
    """Returns how many threads of this machine run or wait for a core, at least 1; 1 if the system does not tell."""
    time.sleep(0.005)
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].split("/")[0])  # proc_loadavg(5)
    except (OSError, IndexError, ValueError):
        return 1
