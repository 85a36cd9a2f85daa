"""Checks what Lightning restores from `last.ckpt`, because neither Lightning nor torch does."""

from itertools import chain
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning import Trainer
from torch import Tensor

from headscope import checkpoint
from headscope.checkpoint.source import Source
from headscope.errors import RunFailed
from headscope.training.module import Callback, LanguageModule

#: The entries of a checkpoint that Lightning restores, and the keys that it reads from each.
RESTORED: dict[str, tuple[type, set[str]]] = {
    "optimizer_states": (list, {"state", "param_groups"}),
    "lr_schedulers": (list, {"last_epoch", "_step_count", "lr_lambdas", "base_lrs"}),
    "loops": (dict, {"fit_loop"}),
    "callbacks": (dict, set()),
}


def load_resumable(path: Path) -> checkpoint.Loaded:
    """Returns the model in a checkpoint; raises ValueError if the file lacks an entry that a resumed run needs."""
    source = Source(path)
    loaded = checkpoint.load(source)
    for name, (kind, keys) in RESTORED.items():
        found = source.content.get(name)
        parts = found if isinstance(found, list) else [found]
        if not isinstance(found, kind) or not parts or not all(isinstance(p, dict) and keys <= p.keys() for p in parts):
            raise ValueError(f"{name} is not what Lightning saves")
    return loaded


class RestoredCheck(Callback):
    """Raises RunFailed if the processes start at different steps, which would hang later.

    Also if a restored state of the optimizer does not fit its parameter. A fused optimizer trusts the shapes: it would
    read and write beyond a buffer that is too small.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def setup(self, trainer: Trainer, module: LanguageModule, stage: str) -> None:
        if trainer.world_size == 1:
            return
        steps: list[int] = [0] * trainer.world_size
        dist.all_gather_object(steps, self.step)
        if other := next((rank for rank, step in enumerate(steps) if step != steps[0]), 0):
            starts = f"process {other} of this run starts at step {steps[other]}, and the first one at step {steps[0]}"
            raise RunFailed(f"{starts}; give all of them the same hydra.run.dir, on a disk that all machines share")

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        for parameter, state in chain.from_iterable(optimizer.state.items() for optimizer in trainer.optimizers):
            for name, value in state.items():
                if not _fits(name, value, parameter):
                    wrong = f"{name} of the optimizer in last.ckpt"
                    raise RunFailed(f"{wrong} does not fit the model; use another checkpoint")


def _fits(name: str, value: Any, parameter: Tensor) -> bool:
    if not isinstance(value, Tensor):
        return isinstance(value, int | float | bool | None)
    plain = value.layout is torch.strided and not value.is_meta and not value.is_quantized and value.is_floating_point()
    shape = () if name == "step" else parameter.shape  # the fused AdamW keeps its count of steps as a tensor
    return plain and value.shape == shape and value.is_contiguous()
