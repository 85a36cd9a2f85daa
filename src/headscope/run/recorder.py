"""The interface for loggers that record more than scalars and the config, so that callbacks work with any logger."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lightning import Trainer
from numpy.typing import NDArray

from headscope.training.module import Callback


class Recorder:
    """A mixin for Lightning loggers, which override the supported methods; only the first process calls those."""

    def record_picture(self, tag: str, rgb: NDArray[np.uint8], step: int) -> None:
        """Records a picture of shape (height, width, 3)."""

    def record_text(self, tag: str, text: str, step: int) -> None:
        """Records a text, which is shown verbatim."""

    def record_chart(self, title: str, tags: Sequence[str]) -> None:
        """Shows several scalars in one chart."""

    def record_embedding(self, tag: str, vectors: NDArray[np.float32], points: Sequence[tuple[str, str]]) -> None:
        """Records N vectors of shape (N, C) for an embedding projector, with a label and a class for each."""

    def record_end(self, choices: Mapping[str, int | float | str], metrics: Mapping[str, float], step: int) -> None:
        """Records the final metrics and the config values that distinguish this run from others."""

    def resume_at(self, step: int) -> None:
        """Continues an earlier record after `step` (or 0); the run's folder still has the earlier config."""


def recorders(trainer: Trainer) -> list[Recorder]:
    """Returns the loggers of a run that record more than scalars; an empty list on all processes except the first."""
    loggers: list[Any] = trainer.loggers if trainer.is_global_zero else []
    return [logger for logger in loggers if isinstance(logger, Recorder)]


class SummaryCallback(Callback):
    """A callback that adds keys to `summary.json` when the run ends."""

    def facts(self, history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        """Returns keys for the summary; `history` has the step, seconds and val_loss of each validation."""
        raise NotImplementedError
