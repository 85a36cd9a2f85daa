"""Lightning's Trainer, built from the options of a config and the choice of hardware."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning import Callback, Trainer
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint, Timer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler
from lightning.pytorch.strategies import DDPStrategy

from headscope.errors import UserError
from headscope.training.hardware import Choice
from headscope.training.options import TrainerOptions

log = logging.getLogger(__name__)

OURS = {"fused", "compile", "threads"}  #: options that Lightning's Trainer does not have
PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}


def build_trainer(
    options: TrainerOptions,
    choice: Choice,
    last_step: int,
    folder: Path,
    callbacks: Sequence[Callback],
    loggers: Sequence[Logger],
    plugins: Sequence[ClusterEnvironment] = (),
) -> Trainer:
    """Returns the Trainer of a run that ends after `last_step`; raises Lightning's errors: see `explained`."""
    if options.profiler:
        log.info(f"the profile will be saved to {folder}/fit-profile.txt")
    given = {name: value for name, value in vars(options).items() if name not in OURS}
    fixed = {
        "default_root_dir": folder,
        "accelerator": choice.accelerator,
        "devices": choice.devices,
        # Our buffers never change. Sending them in each forward pass would block ranks that validate more batches.
        "strategy": DDPStrategy(broadcast_buffers=False) if choice.strategy == "ddp" else choice.strategy,
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
    return Trainer(**given | fixed)


def ended_early(trainer: Trainer) -> str:
    """Returns the reason why training ended before its last step; empty if it reached that step."""
    if trainer.global_step >= trainer.max_steps:
        return ""
    left = [c.time_remaining() for c in vars(trainer)["callbacks"] if isinstance(c, Timer)]
    if any(seconds is not None and seconds <= 0 for seconds in left):
        return "the time of trainer.max_time is over"
    return "a callback stopped it, such as early_stopping"


@contextmanager
def explained() -> Iterator[None]:
    """Raises a one-line `UserError` if Lightning refuses the options or needs a package that is not installed."""
    try:
        yield
    except (MisconfigurationException, ModuleNotFoundError) as e:
        raise UserError(" ".join(str(e).split())) from e
