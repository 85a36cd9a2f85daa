"""The checkpoints of a run: the last to resume from, the one before it, and the best."""

import os
import shutil
from contextlib import suppress
from typing import Any

from lightning import Trainer

from headscope.errors import not_written
from headscope.files import BESIDE, sync_file, sync_folder
from headscope.run.folder import RunFolder
from headscope.training.module import Callback, LanguageModule


class Checkpoints(Callback):
    """Saved after each validation, and never before, so that none is lost when a run is resumed.

    Every file appears whole or not at all: it is written beside, then renamed. The one that was last until then stays
    as `previous.ckpt`. `best.ckpt` has the lowest `val/loss` so far.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.best_loss = float("inf")

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.state.fn != "fit":
            return
        loss = trainer.callback_metrics["val/loss"].item()
        is_best = loss < self.best_loss
        self.best_loss = min(loss, self.best_loss)
        self.save(trainer, is_best)

    def save(self, trainer: Trainer, is_best: bool = False) -> None:
        """Saves the whole state of the run; all ranks call it together.

        The best goes to `best.ckpt` first: a kill in between leaves nothing that is not saved again.

        Raises:
            RunFailed: the disk is full; what was saved before is still there.
        """
        for logger in trainer.loggers:
            logger.save()  # a resumed run does not log again what came before its checkpoint
        beside = self.folder.last.with_suffix(BESIDE)
        try:
            trainer.save_checkpoint(beside)
            if trainer.is_global_zero:
                sync_file(beside)
        except OSError as e:
            with suppress(OSError):
                beside.unlink()
            raise not_written(e, self.folder.last) from e
        if trainer.is_global_zero:
            if is_best:
                second = self.folder.best.with_suffix(BESIDE)
                second.unlink(missing_ok=True)
                try:
                    os.link(beside, second)
                except OSError:  # a file system without links
                    shutil.copyfile(beside, second)
                second.replace(self.folder.best)
            if self.folder.last.exists():
                self.folder.last.replace(self.folder.previous)
            beside.replace(self.folder.last)
            sync_folder(self.folder.checkpoints)
        trainer.strategy.barrier("checkpoint")

    def state_dict(self) -> dict[str, Any]:
        return {"best_loss": self.best_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_loss = state_dict["best_loss"]
