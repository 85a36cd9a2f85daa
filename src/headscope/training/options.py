"""The config group `trainer`: the arguments of Lightning's Trainer that it can set, and why it cannot set others."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le

from headscope.errors import UserError

Count = Annotated[int, Ge(1)]
Threads = Annotated[int, Ge(1), Le(1024)]  #: OpenMP ends the process if it cannot start them all
Unit = Literal["weeks", "days", "hours", "minutes", "seconds"]
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true", "bf16", 16, 32, 64]
#: Lightning's short names of precisions, which recorded configs may have.
LIGHTNING_NAMES = {32: "32-true", 16: "16-mixed", "bf16": "bf16-mixed", 64: "64-true"}


@dataclass(frozen=True)
class TrainerOptions:
    """How long to train, how often to validate and log, and on which hardware.

    The fields without a default are in `conf/trainer`. Where a field is `auto`, or `fused` or `compile` is null,
    Headscope chooses what suits the machine. The other fields are added with a +, as in `+trainer.limit_val_batches=4`.
    Lightning documents the meaning of these other fields, except that an epoch is always one pass over the training
    windows.

    Raises UserError if two options contradict each other, or if `max_time` is not a duration.
    """

    max_steps: Count
    val_check_interval: Count
    log_every_n_steps: Count
    gradient_clip_val: Annotated[float, Gt(0)] | None
    accumulate_grad_batches: Annotated[int, Ge(1), Le(65_536)]
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    devices: Count | Literal["auto"]
    num_nodes: Count
    strategy: Literal["auto", "ddp"]
    precision: Precision
    fused: bool | None
    compile: bool | None
    threads: Threads | None
    profiler: Literal["simple", "advanced", "pytorch"] | None
    min_steps: Count | None = None
    max_epochs: Count | None = None
    max_time: str | dict[Unit, Count] | None = None
    fast_dev_run: bool | Annotated[int, Ge(1), Le(10_000)] = False
    limit_train_batches: Count | None = None
    limit_val_batches: Count | None = None
    detect_anomaly: bool = False
    deterministic: bool | Literal["warn"] | None = None
    benchmark: bool | None = None
    inference_mode: bool = True

    #: Lightning's other arguments, with the reason why a config cannot set them.
    REFUSED: ClassVar[Mapping[str, str]] = {
        "barebones": "it forbids the callbacks that save and measure a run; benchmarks/train_step.py measures speed",
        "callbacks": "callbacks have their own group; add +callbacks.NAME._target_=…",
        "check_val_every_n_epoch": "validation counts steps; set trainer.val_check_interval",
        "default_root_dir": "the run's folder is hydra.run.dir",
        "enable_autolog_hparams": "the run's config is recorded in its folder and by its logger",
        "enable_checkpointing": "a checkpoint is saved at every validation; callbacks can add a ModelCheckpoint",
        "enable_model_summary": "add +callbacks.summary._target_=lightning.pytorch.callbacks.RichModelSummary",
        "enable_progress_bar": "callbacks.progress=null removes the progress bar",
        "gradient_clip_algorithm": "gradients are clipped by their norm",
        "limit_predict_batches": "a run does not predict; generate.py writes text with a run's checkpoint",
        "limit_test_batches": "there is no test split; set trainer.limit_val_batches",
        "logger": "loggers have their own group; choose one with logger=…",
        "min_epochs": "set trainer.min_steps",
        "model_registry": "checkpoints stay in the run's folder",
        "num_sanity_val_steps": "use +trainer.fast_dev_run=true to try training and validation before a run",
        "overfit_batches": "use same_batch=true, or debug=overfit",
        "plugins": "they follow from accelerator, strategy and precision",
        "reload_dataloaders_every_n_epochs": "the training batches form one endless stream",
        "sync_batchnorm": "Headscope's models have no batch norm",
        "use_distributed_sampler": "the batches are already shared among the devices",
    }

    def __post_init__(self) -> None:
        if isinstance(self.max_time, str) and not re.fullmatch(r"(?=.*[1-9])\d+:\d\d:\d\d:\d\d", self.max_time):
            raise UserError(f"trainer.max_time={self.max_time} must be DD:HH:MM:SS and above zero, as in 00:01:30:00")
        if self.min_steps and self.min_steps > self.max_steps:
            raise UserError(f"trainer.min_steps={self.min_steps} must be at most trainer.max_steps={self.max_steps}")
        if self.limit_train_batches and self.limit_train_batches % self.accumulate_grad_batches:
            raise UserError(
                f"trainer.limit_train_batches={self.limit_train_batches} must be a multiple of"
                f" trainer.accumulate_grad_batches={self.accumulate_grad_batches}"
            )

    def last_step(self, windows: int, batch_size: int) -> int:
        """Returns the step after which a run ends: `max_steps`, or the end of `max_epochs` if that comes first.

        An epoch has `windows` training windows. One forward pass uses `batch_size` of them, over all devices together.
        """
        if self.max_epochs is None:
            return self.max_steps
        batches = min(windows / batch_size, self.limit_train_batches or math.inf)  # in an epoch
        return min(self.max_steps, math.ceil(self.max_epochs * batches / self.accumulate_grad_batches))
