"""What `conf/train.yaml` composes to: the places of a run's config, and what may stand in each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from lightning import Callback
from lightning.pytorch.loggers import Logger
from torch.optim import Optimizer

from headscope.data.corpus import Source
from headscope.model.position import Position
from headscope.model.transformer import LanguageModel
from headscope.training.hardware import TrainerOptions
from headscope.training.schedule import Schedule


@dataclass(frozen=True)
class Paths:
    """Where things lie."""

    data_dir: str
    run_dir: str


@dataclass(frozen=True)
class TrainConfig:
    """A run."""

    name: str
    task: Literal["fit", "validate"]
    checkpoint: str | None
    init: str | None
    seed: Annotated[int, "[0, 4294967296)"]
    batch_size: Annotated[int, "[1, inf)"]
    same_batch: bool
    position: Callable[..., Position]
    model: Callable[..., LanguageModel]
    data: Callable[..., Source]
    optimizer: Callable[..., Optimizer]
    schedule: Callable[..., Schedule]
    trainer: TrainerOptions
    callbacks: dict[str, Callable[..., Callback]]
    logger: dict[str, Callable[..., Logger] | None]
    paths: Paths
