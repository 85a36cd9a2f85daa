"""Detects whether this process is a whole run, or one of several processes that a launcher has started.

Lightning decides this from environment variables, and then waits for the other processes. But the shell of a cluster
allocation (`salloc`) has the variables of the whole job, and variables of an earlier launcher may be left over.
"""

import os

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.utilities import rank_zero_only

from headscope.errors import UserError

#: Launchers: a variable that each of them sets, and the variables that may hold the number of processes.
LAUNCHERS = {
    "torchrun": ("TORCHELASTIC_RUN_ID", "WORLD_SIZE"),
    "srun": ("SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),
    "jsrun": ("JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_SIZE"),
    "mpirun": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"),
}
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")
INTERACTIVE = ("bash", "interactive")  #: names of SLURM jobs that Lightning treats as a single process


def launched(devices: int, nodes: int) -> list[ClusterEnvironment]:
    """Returns plugins for Lightning's Trainer: none if a launcher has started this run, else one that ignores clusters.

    Raises `UserError` if the environment names another number of processes than the run has.
    """
    wanted = devices * nodes
    for launcher, (mark, *sizes) in LAUNCHERS.items():
        size = next((name for name in sizes if name in os.environ), "")
        started = _number(size, 1) if mark in os.environ else 1
        if started == 1 or (launcher == "srun" and os.environ.get("SLURM_JOB_NAME") in INTERACTIVE):
            continue
        if started != wanted:
            raise UserError(
                f"{launcher} has started {started} processes ({size}), but the run is for {wanted}: match them with"
                " trainer.devices and trainer.num_nodes, or start one"
            )
        if launcher == "srun":
            _check_slurm(devices, nodes)
        return []
    _refuse_leftover_ranks(wanted, nodes)
    return [LightningEnvironment()]


def _check_slurm(devices: int, nodes: int) -> None:
    """Refuses a SLURM allocation of another shape in one line, before Lightning does so with a traceback."""
    shape = {"SLURM_NTASKS_PER_NODE": ("trainer.devices", devices), "SLURM_NNODES": ("trainer.num_nodes", nodes)}
    for name, (key, ours) in shape.items():
        if (given := _number(name, ours)) != ours:
            raise UserError(f"{key}={ours}, but SLURM gives {given} ({name}); make them the same")
    os.environ["SLURM_NTASKS_PER_NODE"] = str(devices)  # Lightning needs it, and `srun --ntasks` does not set it


def _refuse_leftover_ranks(wanted: int, nodes: int) -> None:
    """Refuses a rank in the environment when no launcher has started this process, unless Lightning started it."""
    if nodes > 1 and not {"NODE_RANK", "MASTER_ADDR"} <= os.environ.keys():  # Lightning's way to start nodes by hand
        raise UserError(f"trainer.num_nodes={nodes}, but no launcher has started this process; use torchrun or srun")
    by_lightning = _number("LOCAL_RANK", 0) > 0 and _number("WORLD_SIZE", 1) == wanted and "RANK" not in os.environ
    if nodes > 1 or by_lightning:
        return
    if leftover := [name for name in (*RANKS, "WORLD_SIZE") if _number(name, 0) > (name == "WORLD_SIZE")]:
        raise UserError(
            f"{' '.join(f'{name}={os.environ[name]}' for name in leftover)} in the environment would make this one"
            f" of several processes, but no launcher has started it; use torchrun, or unset {' '.join(leftover)}"
        )
    for name in (*RANKS, "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)
    rank_zero_only.rank = 0  # type: ignore[attr-defined]


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else default
