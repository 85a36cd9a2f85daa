"""The base of callbacks that show heads, which share one forward pass per step, and the steps with pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from lightning import Trainer
from torch import Tensor

from headscope.heads import ActivationCache, look
from headscope.heads.reports import SHORTEST, HeadReport, inspect
from headscope.model.transformer import TransformerLM
from headscope.training.callback import Callback
from headscope.training.module import LanguageModule

PICTURES = 10  #: at most, because TensorBoard keeps only 10 pictures per tag


@dataclass(frozen=True)
class HeadView:
    """All heads at one step, on the texts that the checkpoint keeps."""

    model: TransformerLM
    text: Tensor  #: ids (B, T)
    cache: ActivationCache  #: on the text: maps, values, z and resid
    reports: list[HeadReport]  #: empty if the texts are too short to describe heads


class HeadViewer(Callback):
    """A callback that shows heads: before the first step, and after validations.

    The first such callback of a run that needs a step's heads inspects them once, and passes the result to all others.
    A model without heads is not inspected.
    """

    def show(self, trainer: Trainer, module: LanguageModule, view: HeadView) -> None:
        """Draws, logs or stores the heads at one step. Only the main process calls it."""
        raise NotImplementedError

    def needs(self, trainer: Trainer) -> bool:
        """Returns whether the callback shows the heads at the current step."""
        return is_picture_step(trainer)

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.global_step == 0:
            self._show_in_all(trainer, module)

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.state.fn == "fit":
            self._show_in_all(trainer, module)

    def _show_in_all(self, trainer: Trainer, module: LanguageModule) -> None:
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        viewers = [c for c in callbacks if isinstance(c, HeadViewer) and c.needs(trainer)]
        if not trainer.is_global_zero or not viewers or viewers[0] is not self:
            return
        if (view := _inspect(module)) is not None:
            for viewer in viewers:
                viewer.show(trainer, module, view)


def _inspect(module: LanguageModule) -> HeadView | None:
    model, texts = module.model, module.card["about"].get("passages")
    if not isinstance(model, TransformerLM) or not texts:
        return None
    text = torch.tensor(texts, device=module.device)
    if text.shape[1] < SHORTEST:
        return HeadView(model, text, look(model, text, "maps", "values"), [])
    reports, cache = inspect(model, text)
    return HeadView(model, text, cache, reports)


def validations(max_steps: int, interval: int) -> list[int]:
    """Returns the steps at which a run validates. The last step is always one of them."""
    return [*range(interval, max_steps, interval), max_steps]


def picture_steps(steps: Sequence[int]) -> list[int]:
    """Returns step 0 and up to `PICTURES` - 1 validation steps, including the first and the last.

    They are spaced by about the same factor, because most roles of heads form early.
    """
    n, chosen = min(PICTURES - 1, len(steps)), [0]
    for i in range(n):
        wanted = steps[0] * (steps[-1] / steps[0]) ** (i / (n - 1) if n > 1 else 1)
        later = [s for s in steps if s > chosen[-1]]
        free = later[: len(later) - (n - 1 - i)]  # leaves enough steps for the remaining pictures
        chosen.append(min(free, key=lambda s: abs(math.log(s / wanted))))
    return chosen


def is_picture_step(trainer: Trainer) -> bool:
    """Returns whether pictures are drawn at the current step."""
    interval = max(int(trainer.val_check_interval) // trainer.accumulate_grad_batches, 1)  # 0 in a trial run
    planned = picture_steps(validations(trainer.max_steps, interval))
    return trainer.state.fn == "fit" and trainer.global_step in planned
