"""Whether a launcher has started this run again, in which case it resumes in its folder without `resume=DIR`.

SLURM and torchrun count their restarts. The counter alone is not enough: torchrun also restarts a command that was
refused because its folder contains another run. And if torchrun runs on several machines, their counters may differ.
So a run records which launcher started it, and only the same launcher may resume it. The first process decides, because
the launcher ends the other processes if the first one is refused.
"""

import os
import platform
from pathlib import Path

from headscope.files import read_json

LAUNCHER_FILE = Path(".hydra") / "launcher.json"  #: in the run's folder


def launcher() -> dict[str, str]:
    """Returns what identifies the launchers of this process through all restarts; empty without a launcher."""
    found = {}
    if job := os.environ.get("SLURM_JOB_ID"):
        found["slurm"] = job  # SLURM keeps the number when it starts a job again
    if name := os.environ.get("TORCHELASTIC_RUN_ID"):  # often "none", so the process of torchrun is needed too
        agent = os.getppid()
        found["torchrun"] = f"{name} {platform.node()} {agent} {_started(agent)}"
    return found


def is_resumed(folder: Path, marker: Path, resume: str | None, first: bool = True) -> bool:
    """Whether this process resumes the run or sweep in `folder`; the file `marker` exists once it has started.

    `resume` is this folder or the folder of its sweep, from `resume=DIR`; it may be None if a launcher started the run
    again. `first`: whether this is the run's first process.
    """
    here, named = folder.resolve(), Path(resume).resolve() if resume is not None else None
    return named == here or ((named == here.parent or _is_restarted(folder, first)) and marker.exists())


def _is_restarted(folder: Path, first: bool) -> bool:
    """Whether the launcher that started the run in `folder` has started it again."""
    before, now = read_json(folder / LAUNCHER_FILE), launcher()
    if _counted("SLURM_RESTART_COUNT") and before.get("slurm", now.get("slurm")) == now.get("slurm"):
        return True
    if "torchrun" not in before or "torchrun" not in now:
        return False
    return not first or before["torchrun"] == now["torchrun"]


def own_folder(wanted: Path) -> Path | None:
    """Returns the folder of the run that the same torchrun has already started; None if there is none.

    Looks for it where new folders such as `wanted` are. Their names contain the time, so a restarted process would
    otherwise choose another folder.
    """
    mine = launcher().get("torchrun")
    if not mine or not _counted("TORCHELASTIC_RESTART_COUNT"):
        return None
    files = wanted.parent.parent.glob(f"*/*/{LAUNCHER_FILE}")
    return next((file.parents[1] for file in files if read_json(file).get("torchrun") == mine), None)


def _counted(name: str) -> bool:
    return os.environ.get(name, "0") != "0"


def _started(pid: int) -> str:
    """Returns when a process started, in clock ticks since the boot, because numbers of processes are used again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):  # not Linux
        return ""
