"""Records the validation losses and the training time of a run, and writes `progress.json`."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning import Trainer

from headscope.errors import RunFailed
from headscope.files import write_json
from headscope.run.folder import RunFolder
from headscope.run.recorder import SummaryCallback
from headscope.training.module import LanguageModule

WRITE_INTERVAL = 1.0  #: minimum number of seconds between two writes of progress.json


class History(SummaryCallback):
    """Records (step, seconds, val_loss) at every validation; its state is saved in the checkpoint.

    `train_seconds` excludes validations and the checkpoints, pictures and samples made after them. `wall_seconds` is
    counted from `started`, the `time.monotonic()` of the process's start. Both include the time of the earlier
    processes of a resumed run up to their last checkpoint.
    """

    def __init__(self, started: float | None = None, folder: RunFolder | None = None) -> None:
        self.folder, self._written_at = folder, 0.0
        self._started = time.monotonic() if started is None else started
        self._trained_seconds = 0.0  # until the last pause
        self._resumed_at: float | None = None  # when training continued after the last pause; None during a pause
        self.train_loss = float("nan")  #: loss of the step before the last validation, in nats per token
        self.accuracy: float | None = None  #: accuracy at the last validation
        self.history: list[dict[str, float]] = []
        self._largest_weight: float | None = None  # absolute value at the end of training

    @property
    def train_seconds(self) -> float:
        """Seconds of training, including the earlier processes of a resumed run."""
        since_pause = 0.0 if self._resumed_at is None else time.perf_counter() - self._resumed_at
        return self._trained_seconds + since_pause

    def wall_seconds(self) -> float:
        """Returns the seconds since the start of the process, including the earlier processes of a resumed run."""
        return time.monotonic() - self._started

    def _pause(self) -> None:
        self._trained_seconds, self._resumed_at = self.train_seconds, None

    def on_train_batch_start(self, trainer: Trainer, module: LanguageModule, batch: Any, batch_idx: int) -> None:
        if self._resumed_at is None:  # the clock runs until the next validation, so it includes the time between steps
            self._resumed_at = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, module: LanguageModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if module.at_log_step():
            _synchronize(module.device)
            now = time.perf_counter()
            if now - self._written_at >= WRITE_INTERVAL:
                self._written_at = now
                self._write_progress(trainer)

    def on_validation_start(self, trainer: Trainer, module: LanguageModule) -> None:
        self._write_progress(trainer)  # first, so that a removed folder is noticed before another callback recreates it
        _synchronize(module.device)
        self._pause()

    def on_train_end(self, trainer: Trainer, module: LanguageModule) -> None:
        self._pause()
        self._largest_weight = float(torch.stack([p.detach().abs().max() for p in module.model.parameters()]).max())

    def on_exception(self, trainer: Trainer, module: LanguageModule, exception: BaseException) -> None:
        self._pause()

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.state.fn == "fit":
            loss = trainer.callback_metrics["val/loss"].item()
            self.train_loss = module.step_loss.item()
            self.accuracy = trainer.callback_metrics["val/accuracy"].item()
            seconds = round(self.train_seconds, 3)
            self.history.append({"step": trainer.global_step, "seconds": seconds, "val_loss": loss})
            self._write_progress(trainer)

    def facts(self, history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        if self._largest_weight is None:
            return {}
        finite = math.isfinite(self._largest_weight)
        return {"finite_weights": finite} | ({"largest_weight": self._largest_weight} if finite else {})

    def _write_progress(self, trainer: Trainer) -> None:
        """Writes `progress.json`; raises `RunFailed` if the run's folder was removed."""
        if self.folder is None or trainer.state.fn != "fit" or not trainer.is_global_zero:
            return
        if not self.folder.started:
            trainer.loggers = []  # otherwise Lightning would make the loggers write again
            raise RunFailed(f"{self.folder} was removed while the run trained; nothing is left to resume")
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
        self._started -= state_dict["wall_seconds"]
        self._trained_seconds = state_dict["train_seconds"]
        self.train_loss = state_dict["train_loss"]
        self.accuracy = state_dict.get("accuracy")  # missing in older checkpoints
        self.history = state_dict["history"]


def _synchronize(device: torch.device) -> None:
    """Waits until the GPU has finished its work, so that the measured time includes it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
