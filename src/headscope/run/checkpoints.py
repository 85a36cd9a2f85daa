"""The checkpoints of a run: the last, the one before it, and the best."""

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
    """Saves a checkpoint after each validation, so that a resumed run has lost no validation.

    Each file is written under a temporary name and then renamed, so it is never incomplete. The former `last.ckpt`
    becomes `previous.ckpt`. `best.ckpt` has the lowest `val/loss` so far.
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

        `best.ckpt` is written first: if the process is killed before `last.ckpt`, the resumed run repeats both.

        Raises:
            RunFailed: the disk is full; the earlier checkpoints are unchanged.
        """
        for logger in trainer.loggers:
            logger.save()  # a resumed run logs only the steps after its checkpoint
        temporary = self.folder.last.with_suffix(BESIDE)
        try:
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                sync_file(temporary)
        except OSError as e:
            with suppress(OSError):
                temporary.unlink()
            raise not_written(e, self.folder.last) from e
        if trainer.is_global_zero:
            if is_best:
                best = self.folder.best.with_suffix(BESIDE)
                best.unlink(missing_ok=True)
                try:
                    os.link(temporary, best)
                except OSError:  # the file system has no hard links
                    shutil.copyfile(temporary, best)
                best.replace(self.folder.best)
            if self.folder.last.exists():
                self.folder.last.replace(self.folder.previous)
            temporary.replace(self.folder.last)
            sync_folder(self.folder.checkpoints)
        trainer.strategy.barrier("checkpoint")

    def state_dict(self) -> dict[str, Any]:
        return {"best_loss": self.best_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_loss = state_dict["best_loss"]
