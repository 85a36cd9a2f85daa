"""Shows the progress of a run: one line per validation, and a progress bar in a terminal."""

import logging
from typing import Any

from lightning import Trainer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from headscope.shell import console
from headscope.training.module import Callback, LanguageModule

log = logging.getLogger(__name__)


class Progress(Callback):
    """Shows steps, losses and the remaining time.

    Reads the loss only at log steps and validations, because each read waits for the GPU.
    """

    def __init__(self) -> None:
        self._bar: Bar | None = None

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.is_global_zero and console().is_terminal:
            text = TextColumn("{task.description}", markup=False)
            self._bar = Bar(
                BarColumn(), MofNCompleteColumn(), text, TimeRemainingColumn(), console=console(), transient=True
            )
            self._bar.start()
            self._bar.add_task("", total=trainer.max_steps, completed=trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, module: LanguageModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar and module.at_log_step():
            text = f"train/loss {module.step_loss.item():.3f}"
            self._bar.update(self._bar.task_ids[0], completed=trainer.global_step, description=text)

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.state.fn != "fit":
            return
        train, val = module.step_loss.item(), trainer.callback_metrics["val/loss"].item()
        log.info(f"step {trainer.global_step:>6}/{trainer.max_steps}  train/loss {train:.4f}  val/loss {val:.4f}")

    def on_train_end(self, trainer: Trainer, module: LanguageModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, module: LanguageModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None
