"""Callbacks that make a run resumable: they save checkpoints, random number generators, and the state at a signal."""

import os
import random
import shutil
import signal
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from lightning import Trainer

from headscope.errors import Interrupted, not_written
from headscope.files import BESIDE, follow_umask, sync_file, sync_folder
from headscope.run.folder import RunFolder
from headscope.run.signals import stop_signals
from headscope.shell import argument
from headscope.training.module import Callback, LanguageModule

AGREE_EVERY = 10  #: number of steps between two steps at which the ranks compare their signals


class Checkpoints(Callback):
    """Saves a checkpoint after each validation, so that a resumed run repeats no validation.

    Each file is written under a temporary name and then renamed, so it is never incomplete. The earlier `last.ckpt`
    becomes `previous.ckpt`. `best.ckpt` is the checkpoint with the lowest `val/loss`.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.best_loss = float("inf")

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.state.fn != "fit":
            return
        loss = trainer.callback_metrics["val/loss"].item()
        is_best, self.best_loss = loss < self.best_loss, min(loss, self.best_loss)
        self.save(trainer, is_best)

    def save(self, trainer: Trainer, is_best: bool = False) -> None:
        """Saves the whole state of the run. All ranks must call this method together.

        `best.ckpt` is written first: if the process is killed before it writes `last.ckpt`, the resumed run writes both
        again. If the disk is full, the earlier checkpoints are unchanged.
        """
        for logger in trainer.loggers:
            logger.save()  # a resumed run does not log the steps before its checkpoint again
        temporary = self.folder.last.with_suffix(BESIDE)
        try:
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                follow_umask(temporary)
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


class RngState(Callback):
    """Saves and restores the random number generators of all ranks; otherwise, dropout would differ after a resume."""

    @property
    def state_key(self) -> str:
        """The key of this callback in a checkpoint, also in those of earlier versions."""
        return "Randomness"

    def __init__(self) -> None:
        self._states: list[dict[str, Any]] = []

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.global_rank < len(self._states):
            state = self._states[trainer.global_rank]
            torch.set_rng_state(state["torch"])
            version, numbers, gauss = state["python"]
            random.setstate((version, tuple(numbers), gauss))
            if torch.cuda.is_available() and "cuda" in state:
                torch.cuda.set_rng_state(state["cuda"])

    def state_dict(self) -> dict[str, Any]:
        version, numbers, gauss = random.getstate()
        mine = {"torch": torch.get_rng_state(), "python": [version, list(numbers), gauss]}
        if torch.cuda.is_available():
            mine["cuda"] = torch.cuda.get_rng_state()
        states: list[Any] = [mine]
        if dist.is_available() and dist.is_initialized():
            states = [None] * dist.get_world_size()
            dist.all_gather_object(states, mine)  # all ranks save at the same time
        return {"states": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._states = state_dict["states"]


class SignalCheckpoint(Callback):
    """Saves a checkpoint and ends the run after a signal of `headscope.run.signals`.

    The signal handler only remembers the signal, and all ranks compare theirs between two steps. An exception ends the
    run, because `should_stop` would validate first.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.signum = 0  #: the last signal, or 0

    def setup(self, trainer: Trainer, module: LanguageModule, stage: str) -> None:
        """Starts to listen when all ranks are connected; while they wait for each other, a signal ends them."""
        if stage == "fit" and threading.current_thread() is threading.main_thread():
            for signum in stop_signals():
                signal.signal(signum, self._remember)  # `handlers_restored` restores the handlers

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum

    def on_train_batch_start(self, trainer: Trainer, module: LanguageModule, batch: Any, batch_idx: int) -> None:
        if batch_idx % trainer.accumulate_grad_batches:
            return  # in the middle of a step, which has several batches
        signum = self.signum
        if trainer.world_size > 1:
            if trainer.global_step % AGREE_EVERY:
                return
            flag = torch.tensor(float(signum), device=module.device)
            signum = int(trainer.strategy.reduce(flag, reduce_op="max"))
        if signum:
            progress = trainer.fit_loop.epoch_loop.batch_progress
            # Lightning has counted this batch, which will not be processed, so a resumed run would validate too early.
            progress.total.ready -= 1
            progress.current.ready -= 1
            self.checkpoints.save(trainer)
            again = argument("resume=", self.checkpoints.folder)
            raise Interrupted(signum, f"the checkpoint is saved; continue with {again}")
