"""Builds Lightning's Trainer from a config and the chosen hardware, and checks the variables that launchers set.

Lightning decides from environment variables whether this process is one of several that a launcher has started, and
then waits for the others. But the shell of a cluster allocation (`salloc`) has the variables of the whole job, and
variables of an earlier launcher may be left over.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning import Callback, Trainer
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler
from lightning.pytorch.utilities import rank_zero_only

from headscope.errors import UserError
from headscope.training.ddp import Ddp
from headscope.training.hardware import Choice
from headscope.training.options import TrainerOptions

log = logging.getLogger(__name__)

OURS = {"fused", "compile", "threads"}  #: options that Lightning's Trainer does not have
PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}
#: For each launcher: a variable that it always sets, and the variables that may hold the number of processes.
LAUNCHERS = {
    "torchrun": ("TORCHELASTIC_RUN_ID", "WORLD_SIZE"),
    "srun": ("SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),
    "jsrun": ("JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_SIZE"),
    "mpirun": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"),
}
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")
INTERACTIVE = ("bash", "interactive")  #: names of SLURM jobs that Lightning treats as a single process


def build_trainer(
    options: TrainerOptions,
    choice: Choice,
    last_step: int,
    folder: Path,
    callbacks: Sequence[Callback],
    loggers: Sequence[Logger],
    plugins: Sequence[ClusterEnvironment] = (),
) -> Trainer:
    """Returns the Trainer of a run that ends after `last_step`; `convert_errors` converts Lightning's errors."""
    if options.profiler:
        log.info(f"the profile will be saved to {folder}/fit-profile.txt")
    warn_about_rankings(callbacks)
    given = {name: value for name, value in vars(options).items() if name not in OURS}
    fixed = {
        "default_root_dir": folder,
        "accelerator": choice.accelerator,
        "devices": choice.devices,
        "strategy": Ddp() if choice.strategy == "ddp" else choice.strategy,
        "precision": choice.precision,
        "max_steps": last_step,
        "max_epochs": -1,
        "val_check_interval": options.val_check_interval * options.accumulate_grad_batches,  # Lightning counts batches
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "logger": list(loggers),
        "callbacks": list(callbacks),
        "enable_checkpointing": any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "plugins": list(plugins),
        "profiler": PROFILERS[options.profiler](folder, "profile") if options.profiler else None,
    }
    trainer = Trainer(**given | fixed)
    # Lightning handles SIGTERM and, under SLURM, SIGUSR1: it communicates with the other processes in the middle of a
    # step, which can hang. The method is private; tests/run/test_signals.py fails if its name changes.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


def warn_about_rankings(callbacks: Sequence[Callback]) -> None:
    """Warns if a ModelCheckpoint saves between validations: Lightning ranks each file by the previous validation."""
    for callback in callbacks:
        if not isinstance(callback, ModelCheckpoint) or callback.monitor is None:
            continue
        for name in ("every_n_train_steps", "train_time_interval"):
            if given := getattr(callback, f"_{name}"):
                log.warning(
                    f"ModelCheckpoint with {name}={given}: Lightning ranks each file by {callback.monitor} of the"
                    f" previous validation; leave {name} out to save after each validation"
                )


def ended_by(trainer: Trainer, options: TrainerOptions, callbacks: Mapping[str, Callable[..., Callback] | None]) -> str:
    """Returns the key of the limit that ended a completed run; `callbacks` are the constructors of the config."""
    if options.fast_dev_run:
        return "trainer.fast_dev_run"
    if trainer.global_step >= options.max_steps:
        return "trainer.max_steps"
    if trainer.global_step >= trainer.max_steps:
        return "trainer.max_epochs"
    own = list(vars(trainer)["callbacks"])
    if any(isinstance(c, Timer) and (left := c.time_remaining()) is not None and left <= 0 for c in own):
        return "trainer.max_time"
    names = [
        name for name, build in callbacks.items() if build and issubclass(getattr(build, "func", object), EarlyStopping)
    ]
    stopping = [c for c in own if isinstance(c, EarlyStopping)]  # in the order of the config
    stopped = [name for name, c in zip(names, stopping, strict=False) if c.stopping_reason_message]
    return f"callbacks.{stopped[0]}" if stopped else "callbacks"


@contextmanager
def convert_errors() -> Iterator[None]:
    """Raises a one-line `UserError` where Lightning refuses the options or needs a package that is not installed.

    Also raises the KeyboardInterrupt that Lightning has replaced by SystemExit.
    """
    try:
        yield
    except SystemExit as e:
        if isinstance(e.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    except (MisconfigurationException, ModuleNotFoundError) as e:
        raise UserError(" ".join(str(e).split())) from e


def launcher_plugins(devices: int, nodes: int) -> list[ClusterEnvironment]:
    """Returns the Trainer's plugins: none if a launcher has started this run, else one that ignores clusters."""
    wanted = devices * nodes
    for launcher, (marker, *sizes) in LAUNCHERS.items():
        size = next((name for name in sizes if name in os.environ), "")
        started = _number(size, 1) if marker in os.environ else 1
        if started == 1 or (launcher == "srun" and os.environ.get("SLURM_JOB_NAME") in INTERACTIVE):
            continue
        if started != wanted:
            raise UserError(
                f"{launcher} has started {started} processes ({size}), but the run is for {wanted}; change"
                " trainer.devices and trainer.num_nodes to match, or start one process"
            )
        if launcher == "srun":
            _check_slurm(devices, nodes)
        return []
    _refuse_leftover_ranks(wanted, nodes)
    return [LightningEnvironment()]


def _check_slurm(devices: int, nodes: int) -> None:
    """Raises UserError if SLURM has allocated another number of tasks or nodes; Lightning would print a traceback."""
    shape = {"SLURM_NTASKS_PER_NODE": ("trainer.devices", devices), "SLURM_NNODES": ("trainer.num_nodes", nodes)}
    for name, (key, ours) in shape.items():
        if (given := _number(name, ours)) != ours:
            raise UserError(f"{key}={ours}, but SLURM gives {given} ({name}); make the numbers equal")
    os.environ["SLURM_NTASKS_PER_NODE"] = str(devices)  # Lightning needs it, and `srun --ntasks` does not set it


def _refuse_leftover_ranks(wanted: int, nodes: int) -> None:
    """Raises UserError if the environment has a rank although neither a launcher nor Lightning started this process.

    Otherwise removes the variables of an earlier launcher from the environment of a single process.
    """
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
