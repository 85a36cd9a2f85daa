"""Stopped by a signal: saves a checkpoint at the next step and exits."""

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

AGREE_EVERY = 10  #: steps between two times that the ranks ask each other


class SignalCheckpoint(Callback):
    """The signals of `stopping` set a flag; between two steps the ranks agree on it, save together, and exit.

    The handler does nothing else: Lightning's own broadcasts inside the signal and can hang. Leaving is an exception,
    because `should_stop` would validate once more.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.signum = 0
        self._before: dict[int, Any] = {}

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # Python lets no other thread handle signals
        self._before = {signum: signal.signal(signum, self._remember) for signum in stopping()}

    def on_train_batch_start(self, trainer: Trainer, module: LanguageModule, batch: Any, batch_idx: int) -> None:
        if batch_idx % trainer.accumulate_grad_batches:
            return  # in the middle of a step
        signum = self.signum
        if trainer.world_size > 1:
            if trainer.global_step % AGREE_EVERY:
                return
            asked = torch.tensor(float(signum), device=module.device)
            signum = int(trainer.strategy.reduce(asked, reduce_op="max"))
        if signum:
            progress = trainer.fit_loop.epoch_loop.batch_progress
            progress.total.ready -= 1  # Lightning has counted the batch that will not begin,
            progress.current.ready -= 1  # and would validate that much earlier after a resume
            self.checkpoints.save(trainer)
            again = argument("resume=", self.checkpoints.folder)
            raise Interrupted(signum, f"the checkpoint is saved; go on with {again}")

    def teardown(self, trainer: Trainer, module: LanguageModule, stage: str) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before.clear()
