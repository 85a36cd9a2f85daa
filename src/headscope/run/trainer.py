"""Lightning's Trainer as a run needs it."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint, Timer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler
from lightning.pytorch.strategies import DDPStrategy

from headscope.config.keys import TrainConfig
from headscope.errors import UserError
from headscope.run.checkpoints import Checkpoints
from headscope.run.folder import RunFolder
from headscope.run.history import History
from headscope.run.processes import replace_observer
from headscope.run.randomness import Randomness
from headscope.run.stop import Stop
from headscope.training.hardware import Choice

log = logging.getLogger(__name__)

#: Options that Lightning takes as they are.
AS_THEY_ARE = ["num_nodes", "min_steps", "max_time", "fast_dev_run", "limit_train_batches", "limit_val_batches"]
AS_THEY_ARE += ["log_every_n_steps", "gradient_clip_val", "accumulate_grad_batches", "detect_anomaly", "deterministic"]
AS_THEY_ARE += ["benchmark", "inference_mode"]
PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}


def build_trainer(
    config: TrainConfig,
    choice: Choice,
    windows: int,
    folder: RunFolder,
    history: History,
    loggers: list[Logger],
    plugins: Sequence[Any] = (),
) -> Trainer:
    """The Trainer of a run whose epochs have so many training windows, with the callbacks that every run needs.

    Raises:
        UserError: Lightning refuses the options of the trainer, of a callback or of the logger.
    """
    options, checkpoints = config.trainer, Checkpoints(folder)
    if choice.devices > 1:
        replace_observer()
    if options.profiler:
        log.info(f"the profile will be saved to {folder}/fit-profile.txt")
    with explained():
        watching = {name: build() for name, build in config.callbacks.items() if build}
        for name, callback in watching.items():
            if (monitor := getattr(callback, "monitor", None)) not in (None, "val/loss"):
                raise UserError(f"callbacks.{name}.monitor={monitor} is never measured; use val/loss")
        return Trainer(
            default_root_dir=folder.path,
            accelerator=choice.accelerator,
            devices=choice.devices,
            **{name: getattr(options, name) for name in AS_THEY_ARE},
            # Our buffers never change, and sending them in each forward pass would wait for ranks with fewer batches.
            strategy=DDPStrategy(broadcast_buffers=False) if choice.strategy == "ddp" else choice.strategy,
            precision=choice.precision,  # type: ignore[arg-type]
            max_steps=options.last_step(windows, config.batch_size),
            max_epochs=-1,
            val_check_interval=options.val_check_interval * options.accumulate_grad_batches,  # Lightning counts batches
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            logger=loggers,
            callbacks=[
                history,
                Randomness(),
                Stop(checkpoints),
                *watching.values(),
                checkpoints,
            ],  # it saves their state
            enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in watching.values()),
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            plugins=[*plugins],
            profiler=PROFILERS[options.profiler](folder.path, "profile") if options.profiler else None,
        )


def ended_early(trainer: Trainer) -> str:
    """Why training ended before its last step; empty if it did not."""
    if trainer.global_step >= trainer.max_steps:
        return ""
    timers = [c for c in vars(trainer)["callbacks"] if isinstance(c, Timer)]
    if any((left := timer.time_remaining()) is not None and left <= 0 for timer in timers):
        return "the time of trainer.max_time is over"
    return "a callback stopped it, such as early_stopping"


@contextmanager
def explained() -> Iterator[None]:
    """Reports in one line what Lightning refuses, and a package that it lacks.

    Raises:
        UserError: either of them.
    """
    try:
        yield
    except (MisconfigurationException, ModuleNotFoundError) as e:
        raise UserError(" ".join(str(e).split())) from e
