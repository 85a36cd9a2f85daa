"""The losses of a run at each validation, and the seconds it took."""

import time
from typing import Any

import torch
from lightning import Trainer

from headscope.errors import RunFailed
from headscope.files import write_json
from headscope.run.folder import RunFolder
from headscope.training.module import Callback, LanguageModule

SECONDS = 1.0  #: at least, between two times that progress.json is written


class History(Callback):
    """Keeps (step, seconds, val_loss) at every validation; its state travels in the checkpoint.

    `train_seconds` is the time from the first step to the last without validations and what hangs on them:
    checkpoints, pictures, samples; a GPU has finished its work whenever it is read at a log step or a validation.
    `wall_seconds` began with the process, or earlier by what processes before it took to come as far as a checkpoint.
    While the run goes on, `progress.json` says how far it is.

    Args:
        started: `time.monotonic()` when the process began; the clock on the wall may be set back.
        folder: the run's; None writes no progress.
    """

    def __init__(self, started: float | None = None, folder: RunFolder | None = None) -> None:
        self.folder, self._said = folder, 0.0
        self._began = time.monotonic() if started is None else started
        self._trained = 0.0  # seconds of training until it last stood
        self._since: float | None = None  # it goes on; None while it stands
        self.train_loss = float("nan")  #: nats per token of the step before the last validation
        self.accuracy: float | None = None  #: at the last validation
        self.history: list[dict[str, float]] = []

    @property
    def train_seconds(self) -> float:
        """Spent in training so far, those before a resume included."""
        return self._trained + (0.0 if self._since is None else time.perf_counter() - self._since)

    def wall_seconds(self) -> float:
        """Spent in all so far."""
        return time.monotonic() - self._began

    def _stand(self) -> None:
        self._trained, self._since = self.train_seconds, None

    def on_train_batch_start(self, trainer: Trainer, module: LanguageModule, batch: Any, batch_idx: int) -> None:
        if self._since is None:  # it goes on until a validation: what lies between two steps is counted
            self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, module: LanguageModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if module.at_log_step():
            _finish(module.device)
            now = time.perf_counter()
            if now - self._said >= SECONDS:
                self._said = now
                self._say(trainer)

    def on_validation_start(self, trainer: Trainer, module: LanguageModule) -> None:
        self._say(trainer)  # before any callback writes something
        _finish(module.device)
        self._stand()

    def on_train_end(self, trainer: Trainer, module: LanguageModule) -> None:
        self._stand()

    def on_exception(self, trainer: Trainer, module: LanguageModule, exception: BaseException) -> None:
        self._stand()

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.state.fn == "fit":
            loss = trainer.callback_metrics["val/loss"].item()
            self.train_loss = module.step_loss.item()
            self.accuracy = trainer.callback_metrics["val/accuracy"].item()
            self.history.append(
                {"step": trainer.global_step, "seconds": round(self.train_seconds, 3), "val_loss": loss}
            )
            self._say(trainer)

    def _say(self, trainer: Trainer) -> None:
        """Writes how far the run is.

        Raises:
            RunFailed: its folder is gone; what it wrote into a new one could not be resumed, and nobody owns that.
        """
        if self.folder is None or trainer.state.fn != "fit" or not trainer.is_global_zero:
            return
        if not self.folder.started:
            trainer.loggers = []  # Lightning would let them write once more
            raise RunFailed(f"{self.folder} was removed while the run trained; nothing is left to go on from")
        now = {"step": trainer.global_step, "max_steps": trainer.max_steps, "history": self.history}
        write_json(self.folder.progress_file, now)

    def state_dict(self) -> dict[str, Any]:
        return {
            "wall_seconds": self.wall_seconds(),
            "train_seconds": self.train_seconds,
            "train_loss": self.train_loss,
            "accuracy": self.accuracy,
            "history": [dict(entry) for entry in self.history],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._began -= state_dict["wall_seconds"]
        self._trained = state_dict["train_seconds"]
        self.train_loss = state_dict["train_loss"]
        self.accuracy = state_dict.get("accuracy")  # older checkpoints have none
        self.history = state_dict["history"]


def _finish(device: torch.device) -> None:
    """Waits for work that a GPU was asked for and has not finished, so that its time is counted."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
