"""Logs scalars other than the losses, such as learning rate, gradient norm, speed, memory and perplexity."""

import math
import sys
from typing import Any

import torch
from lightning import Trainer

from headscope.data.datamodule import corpus
from headscope.run.history import History
from headscope.run.recorder import recorders
from headscope.training.module import Callback, LanguageModule

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


class Curves(Callback):
    """Logs scalars.

    At log steps: learning rate, gradient norm before clipping, tokens per second, and peak memory in MiB (not on
    Windows without a GPU). At validations: bits per character and perplexity per token. If the lowest possible loss on
    the data is known, validations also log this optimum (a horizontal line) and the regret, the loss minus the optimum.
    """

    def __init__(self) -> None:
        self._tokens = 0
        self._since = 0.0  # training seconds at the last log step

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        self._since = _train_seconds(trainer)
        if trainer.global_step == 0:
            optimum = ["val/optimum"] * (corpus(trainer).optimum is not None)
            for logger in recorders(trainer):
                logger.record_chart("train and validation loss", ["train/loss", "val/loss", *optimum])

    def on_train_batch_end(
        self, trainer: Trainer, module: LanguageModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._tokens += batch[0].numel() * trainer.world_size
        if not module.at_log_step():
            return
        seconds = _train_seconds(trainer)
        metrics = {
            "train/lr": trainer.optimizers[0].param_groups[0]["lr"],
            "train/grad_norm": module.grad_norm.item(),
            "speed/tokens_per_second": self._tokens / (seconds - self._since),
        }
        memory = peak_megabytes(module.device)
        module.report(metrics if memory is None else metrics | {"speed/memory_mb": memory})
        self._tokens, self._since = 0, seconds

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        loss = trainer.callback_metrics["val/loss"].item()
        bits = loss / math.log(2) / corpus(trainer).characters
        module.report({"val/bits_per_character": bits, "val/perplexity": math.exp(min(loss, 700.0))})
        if (optimum := corpus(trainer).optimum) is not None:
            module.report({"val/optimum": optimum, "val/regret": loss - optimum})


def _train_seconds(trainer: Trainer) -> float:
    """Returns the training seconds from the callback `History`, which runs before this one and waits for the GPU."""
    return next(c for c in trainer.callbacks if isinstance(c, History)).train_seconds  # type: ignore[attr-defined]


def peak_megabytes(device: torch.device) -> float | None:
    """Returns the peak memory in MiB, of the GPU if one is used, otherwise of this process (None on Windows)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if resource is None:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
