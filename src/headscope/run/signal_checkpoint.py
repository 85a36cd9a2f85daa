"""Saves a checkpoint at the next step after a signal, and ends the run."""

import signal
import threading
from types import FrameType
from typing import Any

import torch
from lightning import Trainer

from headscope.errors import Interrupted
from headscope.run.checkpoints import Checkpoints
from headscope.run.processes import stopping
from headscope.shell import argument
from headscope.training.module import Callback, LanguageModule

AGREE_EVERY = 10  #: steps between two comparisons of the ranks' flags


class SignalCheckpoint(Callback):
    """Each signal of `stopping` sets a flag; between two steps all ranks compare it, save together, and exit.

    The handler only sets the flag: Lightning's own handler communicates inside the signal handler and can hang. The
    run ends by an exception, because `should_stop` would validate once more.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.signum = 0
        self._before: dict[int, Any] = {}

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread may set signal handlers
        self._before = {signum: signal.signal(signum, self._remember) for signum in stopping()}

    def on_train_batch_start(self, trainer: Trainer, module: LanguageModule, batch: Any, batch_idx: int) -> None:
        if batch_idx % trainer.accumulate_grad_batches:
            return  # in the middle of a step
        signum = self.signum
        if trainer.world_size > 1:
            if trainer.global_step % AGREE_EVERY:
                return
            flag = torch.tensor(float(signum), device=module.device)
            signum = int(trainer.strategy.reduce(flag, reduce_op="max"))
        if signum:
            progress = trainer.fit_loop.epoch_loop.batch_progress
            # Lightning has already counted the batch that will not begin, and would validate too early after a resume.
            progress.total.ready -= 1
            progress.current.ready -= 1
            self.checkpoints.save(trainer)
            again = argument("resume=", self.checkpoints.folder)
            raise Interrupted(signum, f"the checkpoint is saved; continue with {again}")

    def teardown(self, trainer: Trainer, module: LanguageModule, stage: str) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before.clear()
