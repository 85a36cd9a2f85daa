"""Chooses, before torch is imported, how OpenMP's threads wait for each other.

Threads wait many times per training step. A spinning thread continues at once but occupies a core; if another process
needs that core, all threads wait for whole time slices. A sleeping thread leaves its core free but takes time to wake.
Therefore, threads spin if the machine has a free core for each of them; otherwise, they sleep after a short spin.
`benchmarks/busy.py` measures both.

`GOMP_SPINCOUNT` is read by libgomp, which PyTorch includes on Linux; elsewhere the variable has no effect.
"""

import os
import time
from pathlib import Path

SPIN, SLEEP = "10000", "100"  #: number of iterations that a waiting thread spins before it sleeps
_decided = False  # whether `decide`, not the user, has set the variable


def decide() -> None:
    """Sets `GOMP_SPINCOUNT`, unless the user has set it or `OMP_WAIT_POLICY`."""
    global _decided
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        _decided = True
        os.environ["GOMP_SPINCOUNT"] = SPIN if cores_are_free() else SLEEP


def variables_for_shared_cores() -> dict[str, str]:
    """Returns environment variables for processes that share the cores: their threads sleep after a short spin."""
    return {"GOMP_SPINCOUNT": SLEEP} if _decided else {}


def our_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_are_free(samples: int = 5) -> bool:
    """Whether any of several samples finds a free core for each of our threads; other threads may run only briefly."""
    ours = our_cores()
    return any(_active_threads() - 1 + ours <= (os.cpu_count() or ours) for _ in range(samples))


def _active_threads() -> int:
    """Returns the number of threads on this machine that run or wait for a core; 1 if it is unknown."""
    time.sleep(0.005)
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].split("/")[0])  # proc_loadavg(5)
    except (OSError, IndexError, ValueError):
        return 1
