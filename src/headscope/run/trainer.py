"""Lightning's Trainer as a run needs it."""

import logging
from pathlib import Path

from lightning import Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import Profiler, PyTorchProfiler, SimpleProfiler
from lightning.pytorch.strategies import DDPStrategy

from headscope.run.checkpoints import Checkpoints
from headscope.run.config import TrainConfig
from headscope.run.folder import RunFolder
from headscope.run.history import History
from headscope.run.processes import replace_observer
from headscope.run.randomness import Randomness
from headscope.run.stop import Stop
from headscope.training.hardware import Choice

log = logging.getLogger(__name__)


def build_trainer(
    config: TrainConfig, choice: Choice, folder: RunFolder, history: History, loggers: list[Logger]
) -> Trainer:
    """The Trainer of a run, with the callbacks that it cannot do without."""
    options = config.trainer
    replace_observer()
    checkpoints = Checkpoints(folder)
    watching = [build() for build in config.callbacks.values()]
    return Trainer(
        default_root_dir=folder.path,
        accelerator=choice.accelerator,
        devices=choice.devices,
        num_nodes=options.num_nodes,
        # Our buffers never change, and sending them in every forward pass would wait for ranks with fewer batches.
        strategy=DDPStrategy(broadcast_buffers=False) if choice.strategy == "ddp" else choice.strategy,
        precision=choice.precision,  # type: ignore[arg-type]
        max_steps=options.max_steps,
        max_epochs=-1,
        val_check_interval=options.val_check_interval * options.accumulate_grad_batches,  # Lightning counts batches
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        gradient_clip_val=options.gradient_clip_val,
        accumulate_grad_batches=options.accumulate_grad_batches,
        logger=loggers,
        callbacks=[history, Randomness(), Stop(checkpoints), *watching, checkpoints],  # it saves the others' state
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        profiler=_profiler(options.profiler, folder.path),
    )


def _profiler(kind: str | None, folder: Path) -> Profiler | None:
    if kind is None:
        return None
    log.info(f"the profile will be saved to {folder}/fit-profile.txt")
    profiler = PyTorchProfiler if kind == "pytorch" else SimpleProfiler
    return profiler(dirpath=folder, filename="profile")
