"""What a run shows beside scalars, through one interface: no callback asks which logger it writes to.

Scalars and the config go through Lightning's own `Logger.log_metrics` and `Logger.log_hyperparams`, which any Lightning
logger has.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lightning import Trainer
from numpy.typing import NDArray

from headscope.training.module import Callback


class Recorder:
    """Mixed into a Lightning `Logger`, which overrides what it can show. Only the main process calls it."""

    def record_picture(self, tag: str, rgb: NDArray[np.uint8], step: int) -> None:
        """Records a picture (height, width, 3)."""

    def record_text(self, tag: str, text: str, step: int) -> None:
        """Records a text, shown as it is whatever it contains."""

    def record_chart(self, title: str, tags: Sequence[str]) -> None:
        """Asks for one chart of several scalars."""

    def record_embedding(self, tag: str, vectors: NDArray[np.float32], points: Sequence[tuple[str, str]]) -> None:
        """Records vectors (N, C), to be explored in fewer dimensions, each with a label and a class."""

    def record_end(self, choices: Mapping[str, int | float | str], metrics: Mapping[str, float], step: int) -> None:
        """Records the final metrics, beside the choices that tell this run from others."""

    def resume_at(self, step: int) -> None:
        """Continues the record of an earlier process; called before anything else is recorded.

        The run will log again whatever it logged after `step`, which is 0 if nothing was saved.
        """


def recorders(trainer: Trainer) -> list[Recorder]:
    """The loggers of a run that show more than scalars; none on processes other than the main one."""
    loggers: list[Any] = trainer.loggers if trainer.is_global_zero else []
    return [logger for logger in loggers if isinstance(logger, Recorder)]


class SummaryCallback(Callback):
    """A callback that has something to say in `summary.json` when the run ends."""

    def facts(self, history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        """Keys of the summary, plain data.

        Args:
            history: step, seconds and val_loss of each validation.
        """
        raise NotImplementedError
