"""Scalars beside the losses: what the optimizer does, how fast it goes, how much memory it takes."""

import math
import resource
import sys
import time
from typing import Any

import torch
from lightning import Callback, Trainer

from headscope.training.module import LanguageModule
from headscope.watch.board import board, corpus


class Curves(Callback):
    """At log steps: learning rate, gradient norm before clipping, tokens a second, memory at its peak.

    At validations: bits per character and perplexity, which is per token. Train against validation is a chart
    of its own under Custom Scalars.
    """

    def __init__(self) -> None:
        self._tokens = 0
        self._seconds = 0.0
        self._began = 0.0

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        writer = board(trainer)
        if writer is not None and trainer.global_step == 0:
            writer.add_custom_scalars({"loss": {"train and validation": ["Multiline", ["train/loss", "val/loss"]]}})

    def on_train_batch_start(self, trainer: Trainer, module: LanguageModule, batch: Any, batch_idx: int) -> None:
        self._began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, module: LanguageModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._tokens += batch[0].numel() * trainer.world_size
        self._seconds += time.perf_counter() - self._began
        if not module.at_log_step():
            return
        module.report(
            {
                "train/lr": trainer.optimizers[0].param_groups[0]["lr"],
                "train/grad_norm": module.grad_norm.item(),
                "speed/tokens_per_second": self._tokens / self._seconds,
                "speed/memory_mb": peak_megabytes(module.device),
            }
        )
        self._tokens, self._seconds = 0, 0.0

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        loss = trainer.callback_metrics["val/loss"].item()
        bits = loss / math.log(2) / corpus(trainer).characters
        module.report({"val/bits_per_character": bits, "val/perplexity": math.exp(min(loss, 700.0))})


def peak_megabytes(device: torch.device) -> float:
    """The most memory in use so far: of the GPU where there is one, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
