"""The schema of `conf/train.yaml`: the keys of a run's config and the types of their values."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from lightning import Callback
from lightning.pytorch.loggers import Logger
from torch import nn
from torch.optim import Optimizer

from headscope.data.corpus import Source
from headscope.errors import UserError
from headscope.model.feedforward import FeedForward
from headscope.model.position import Position
from headscope.model.qk_norm import QKNorm
from headscope.model.transformer import LanguageModel
from headscope.training.options import TrainerOptions
from headscope.training.schedule import Schedule


@dataclass(frozen=True)
class Paths:
    """The folder of downloaded data and the folder of the run."""

    data_dir: str
    run_dir: str


@dataclass(frozen=True)
class TrainConfig:
    """The config of a run. The run calls each `Callable` with the arguments in its type; the config sets all others.

    Objects that need neither data nor memory are built once here, so that each class checks its options before the run
    starts. Raises `UserError` if two options are incompatible.
    """

    name: str
    task: Literal["fit", "validate"]
    checkpoint: str | None
    init: str | None
    seed: Annotated[int, Ge(0), Lt(2**32)]
    batch_size: Annotated[int, Ge(1)]
    same_batch: bool
    position: Callable[[int, int, int, int | None], Position]
    feedforward: Callable[[int], FeedForward]
    qk_norm: Callable[[], QKNorm]
    model: Callable[[int], LanguageModel]
    data: Callable[[], Source]
    optimizer: Callable[[nn.Module, bool], Optimizer]
    schedule: Callable[[], Schedule]
    trainer: TrainerOptions
    callbacks: dict[str, Callable[[], Callback] | None]
    logger: dict[str, Callable[[], Logger] | None]
    paths: Paths

    def __post_init__(self) -> None:
        if self.task == "validate" and self.checkpoint is None:
            raise UserError("task=validate needs a model; add checkpoint=outputs/…/checkpoints/best.ckpt")
        try:
            self.meta_model  # noqa: B018, built only to check its options
            self.optimizer(nn.Linear(1, 1), False)
            self.schedule()
            self.data()
        except ValueError as e:
            raise UserError(str(e)) from e
        for name, build in self.callbacks.items():
            if (monitor := getattr(build, "keywords", {}).get("monitor")) not in (None, "val/loss"):
                raise UserError(f"callbacks.{name}.monitor={monitor} is never measured; use val/loss")

    @cached_property
    def meta_model(self) -> LanguageModel:
        """The model without weights, for a vocabulary of one token."""
        with torch.device("meta"):
            return self.model(1)
