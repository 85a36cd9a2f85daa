"""Whether this process is a whole run, or one of several that a launcher has started.

Lightning reads that from the environment, and waits for the others. But a shell that a cluster gave (`salloc`) has the
variables of its whole job, and a launcher that has gone may have left some behind.
"""

import os

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.utilities import rank_zero_only

from headscope.errors import UserError

#: Programs that start every process of a run: a variable that shows it, and where it may say how many.
LAUNCHERS = {
    "torchrun": ("TORCHELASTIC_RUN_ID", "WORLD_SIZE"),
    "srun": ("SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),
    "jsrun": ("JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_SIZE"),
    "mpirun": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"),
}
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")
BY_HAND = ("bash", "interactive")  #: names of SLURM jobs whose processes Lightning does not count


def launched(devices: int, nodes: int) -> list[ClusterEnvironment]:
    """Plugins for Lightning's Trainer: none if a launcher has started this run's processes, else what ignores the rest.

    Raises:
        UserError: the environment speaks of other processes than the run has.
    """
    wanted = devices * nodes
    for launcher, (mark, *sizes) in LAUNCHERS.items():
        size = next((name for name in sizes if name in os.environ), "")
        started = _number(size, 1) if mark in os.environ else 1
        if started == 1 or (launcher == "srun" and os.environ.get("SLURM_JOB_NAME") in BY_HAND):
            continue
        if started != wanted:
            raise UserError(
                f"{launcher} has started {started} processes ({size}), but the run is for {wanted}: match them with"
                " trainer.devices and trainer.num_nodes, or start one"
            )
        if launcher == "srun":
            _fits_slurm(devices, nodes)
        return []
    _refuse_strays(wanted, nodes)
    return [LightningEnvironment()]


def _fits_slurm(devices: int, nodes: int) -> None:
    """Lightning compares the same, but its error is a traceback; and `srun --ntasks` does not set the first."""
    for name, key, ours in (
        ("SLURM_NTASKS_PER_NODE", "trainer.devices", devices),
        ("SLURM_NNODES", "trainer.num_nodes", nodes),
    ):
        if (given := _number(name, ours)) != ours:
            raise UserError(f"{key}={ours}, but SLURM gives {given} ({name}); make them the same")
    os.environ["SLURM_NTASKS_PER_NODE"] = str(devices)


def _refuse_strays(wanted: int, nodes: int) -> None:
    """Of processes that no launcher has started, only those may have a rank that Lightning started itself."""
    if nodes > 1 and not {"NODE_RANK", "MASTER_ADDR"} <= os.environ.keys():  # Lightning's way to start them by hand
        raise UserError(f"trainer.num_nodes={nodes}, but no launcher has started this process; use torchrun or srun")
    lightnings = _number("LOCAL_RANK", 0) > 0 and _number("WORLD_SIZE", 1) == wanted and "RANK" not in os.environ
    if nodes > 1 or lightnings:
        return
    if strays := [name for name in (*RANKS, "WORLD_SIZE") if _number(name, 0) > (name == "WORLD_SIZE")]:
        raise UserError(
            f"{' '.join(f'{name}={os.environ[name]}' for name in strays)} in the environment would make this one"
            f" of several processes, but no launcher has started it; use torchrun, or unset {' '.join(strays)}"
        )
    for name in (*RANKS, "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)
    rank_zero_only.rank = 0  # type: ignore[attr-defined]


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else default
