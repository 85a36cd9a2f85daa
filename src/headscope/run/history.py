"""The losses of a run at each validation, and the seconds it took."""

import time
from typing import Any

from lightning import Callback, Trainer

from headscope.errors import RunFailed
from headscope.run.clock import Clock, finish
from headscope.run.folder import RunFolder
from headscope.training.module import LanguageModule

SECONDS = 1.0  #: at least, between two times that progress.json is written


class History(Callback):
    """Keeps (step, seconds, val_loss) at every validation; its state travels in the checkpoint.

    `train_seconds` is the time from the first step to the last without validations and what hangs on them:
    checkpoints, pictures, samples; a GPU has finished its work whenever it is read at a log step or a validation. While
    the run goes on, `progress.json` says how far it is.

    Args:
        started: `time.monotonic()` when the process began; the clock on the wall may be set back.
        folder: the run's; None writes no progress.
    """

    def __init__(self, started: float | None = None, folder: RunFolder | None = None) -> None:
        self.folder, self._said = folder, 0.0
        self.started = time.monotonic() if started is None else started
        self.earlier_seconds = 0.0  #: of wall time before this process
        self.clock = Clock()
        self.train_loss = float("nan")  #: nats per token of the step before the last validation
        self.accuracy: float | None = None  #: at the last validation
        self.history: list[dict[str, float]] = []

    @property
    def train_seconds(self) -> float:
        """Spent in training so far, those before a resume included."""
        return self.clock.seconds

    def on_train_batch_start(self, trainer: Trainer, module: LanguageModule, batch: Any, batch_idx: int) -> None:
        self.clock.start()  # it runs on until a validation: what lies between two steps is counted

    def on_train_batch_end(
        self, trainer: Trainer, module: LanguageModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if module.at_log_step():
            finish(module.device)
            now = time.perf_counter()
            if now - self._said >= SECONDS:
                self._said = now
                self._say(trainer)

    def on_validation_start(self, trainer: Trainer, module: LanguageModule) -> None:
        self._check(trainer)  # before any callback writes something
        finish(module.device)
        self.clock.stop()

    def on_train_end(self, trainer: Trainer, module: LanguageModule) -> None:
        self.clock.stop()

    def on_exception(self, trainer: Trainer, module: LanguageModule, exception: BaseException) -> None:
        self.clock.stop()

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.state.fn == "fit":
            loss = trainer.callback_metrics["val/loss"].item()
            self.train_loss = module.step_loss.item()
            self.accuracy = trainer.callback_metrics["val/accuracy"].item()
            self.history.append(
                {"step": trainer.global_step, "seconds": round(self.train_seconds, 3), "val_loss": loss}
            )
            self._say(trainer)

    @property
    def val_loss(self) -> float | None:
        """At the last validation."""
        return self.history[-1]["val_loss"] if self.history else None

    def _check(self, trainer: Trainer) -> None:
        """Stops a run whose folder is gone: what it wrote into a new one could not be resumed, and nobody owns it."""
        if self.folder is not None and trainer.state.fn == "fit" and trainer.is_global_zero and not self.folder.started:
            trainer.loggers = []  # Lightning would let them write once more
            raise RunFailed(f"{self.folder} was removed while the run trained; nothing is left to go on from")

    def _say(self, trainer: Trainer) -> None:
        self._check(trainer)
        if self.folder is not None and trainer.is_global_zero:
            now = {"step": trainer.global_step, "max_steps": trainer.max_steps, "history": self.history}
            self.folder.write_progress(now)

    def state_dict(self) -> dict[str, Any]:
        return {
            "wall_seconds": self.wall_seconds(),
            "train_seconds": self.train_seconds,
            "train_loss": self.train_loss,
            "accuracy": self.accuracy,
            "history": [dict(entry) for entry in self.history],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.earlier_seconds = state_dict["wall_seconds"]
        self.clock = Clock(state_dict["train_seconds"])
        self.train_loss = state_dict["train_loss"]
        self.accuracy = state_dict.get("accuracy")  # older checkpoints have none
        self.history = state_dict["history"]

    def wall_seconds(self) -> float:
        """Since the process began, and those of the processes before it that got as far as a checkpoint."""
        return self.earlier_seconds + time.monotonic() - self.started
