"""The schema of `conf/train.yaml`: the keys of a run's config and the types of their values."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from lightning import Callback
from lightning.pytorch.loggers import Logger
from torch import nn
from torch.optim import Optimizer

from headscope.config.plain_keys import PlainKeys
from headscope.data.corpus import Source
from headscope.errors import UserError
from headscope.model.feedforward import FeedForward
from headscope.model.position import Position
from headscope.model.qk_norm import QKNorm
from headscope.model.transformer import LanguageModel
from headscope.training.schedule import Schedule

SAMPLED = 8  #: layers in which the options of a model are checked; a layer without weights takes up to 10 ms


@dataclass(frozen=True)
class Paths:
    """The folder of downloaded data and the folder of the run."""

    data_dir: str
    run_dir: str


@dataclass(frozen=True)
class TrainConfig(PlainKeys):
    """The config of a run. The run calls each `Callable` with the arguments in its type; the config sets all others.

    Objects that need neither data nor memory are built once here, so that each class checks its options.
    """

    position: Callable[[int, int, int, int | None], Position]
    feedforward: Callable[[int], FeedForward]
    qk_norm: Callable[[], QKNorm]
    model: Callable[[int], LanguageModel]
    data: Callable[[], Source]
    optimizer: Callable[[nn.Module, bool], Optimizer]
    schedule: Callable[[], Schedule]
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
        """The model without weights, with at most `SAMPLED` layers."""
        return self.without_weights(SAMPLED)

    def without_weights(self, layers: int) -> LanguageModel:
        """Returns the model without weights, for a vocabulary of one token and with at most this many layers."""
        options = self.model.keywords if isinstance(self.model, partial) else {}
        fewer = {"n_layers": min(options["n_layers"], layers)} if "n_layers" in options else {}
        try:
            with torch.device("meta"):
                return self.model(1, **fewer)
        except RuntimeError as e:  # torch refuses a tensor whose size in bytes is no 64-bit integer
            raise UserError(f"the model cannot be built: {str(e).splitlines()[0]}; lower the sizes in model.*") from e
