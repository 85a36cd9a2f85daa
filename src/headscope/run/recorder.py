"""The interface of loggers that record more than scalars, so that callbacks work with any logger.

Scalars and the config go through `Logger.log_metrics` and `Logger.log_hyperparams` of Lightning.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lightning import Trainer
from numpy.typing import NDArray

from headscope.training.module import Callback


class Recorder:
    """A mixin for Lightning loggers, which override the methods that they support. Only the first process calls it."""

    def record_picture(self, tag: str, rgb: NDArray[np.uint8], step: int) -> None:
        """Records a picture (height, width, 3)."""

    def record_text(self, tag: str, text: str, step: int) -> None:
        """Records a text, to be shown verbatim."""

    def record_chart(self, title: str, tags: Sequence[str]) -> None:
        """Requests one chart of several scalars."""

    def record_embedding(self, tag: str, vectors: NDArray[np.float32], points: Sequence[tuple[str, str]]) -> None:
        """Records vectors (N, C) for a projector, each with a label and a class."""

    def record_end(self, choices: Mapping[str, int | float | str], metrics: Mapping[str, float], step: int) -> None:
        """Records the final metrics and the choices that distinguish this run from others."""

    def resume_at(self, step: int) -> None:
        """Continues the record of an earlier process; called before anything else is recorded.

        The run logs every step after `step` again; `step` is 0 if the earlier process saved no checkpoint.
        """


def recorders(trainer: Trainer) -> list[Recorder]:
    """Returns the loggers of a run that record more than scalars; none on processes other than the first."""
    loggers: list[Any] = trainer.loggers if trainer.is_global_zero else []
    return [logger for logger in loggers if isinstance(logger, Recorder)]


class SummaryCallback(Callback):
    """A callback that adds keys to `summary.json` when the run ends."""

    def facts(self, history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        """Returns keys of the summary, with plain data; `history` has step, seconds and val_loss of each validation."""
        raise NotImplementedError
