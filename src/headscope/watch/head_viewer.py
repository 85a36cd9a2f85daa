"""The base of callbacks that show heads: all of them share one forward pass per step."""

from dataclasses import dataclass

import torch
from lightning import Trainer
from torch import Tensor

from headscope.heads import ActivationCache, look, table
from headscope.heads.probes import run_probe
from headscope.heads.reports import SHORTEST, HeadReport, inspect
from headscope.model.transformer import TransformerLM
from headscope.training.module import Callback, LanguageModule
from headscope.watch.corpus import corpus
from headscope.watch.picture_steps import is_picture_step


@dataclass(frozen=True)
class HeadView:
    """All heads at one step, on the texts that the checkpoint keeps."""

    model: TransformerLM
    text: Tensor  #: ids (B, T)
    cache: ActivationCache  #: on the text: maps, values, z and resid
    reports: list[HeadReport]  #: empty if the texts are too short to describe heads

    @property
    def titles(self) -> dict[tuple[int, int], str]:
        """The role of each (layer, head), as a label."""
        return table.titles(self.reports)


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
        if (view := _inspect(trainer, module)) is not None:
            for viewer in viewers:
                viewer.show(trainer, module, view)


def _inspect(trainer: Trainer, module: LanguageModule) -> HeadView | None:
    model, texts = module.model, module.card["about"].get("passages")
    if not isinstance(model, TransformerLM) or not texts:
        return None
    text = torch.tensor(texts, device=module.device)
    if text.shape[1] < SHORTEST:
        return HeadView(model, text, look(model, text, "maps", "values"), [])
    repeated = run_probe(len(corpus(trainer).tokenizer), model.block_size).to(module.device)
    reports, cache = inspect(model, text, repeated)
    return HeadView(model, text, cache, reports)
