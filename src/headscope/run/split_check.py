"""Warns at a validation if the validation text is of another kind than the training text."""

import logging

from lightning import Trainer

from headscope.data.datamodule import CorpusData
from headscope.data.split import difference
from headscope.data.windows import TextWindows
from headscope.training.module import Callback, LanguageModule

log = logging.getLogger(__name__)

LARGE = 0.25  #: nats per token; a smaller difference does not matter, and occurs between chapters of one text


class SplitCheck(Callback):
    """Warns at the first validation if the two texts differ, because their losses are then not comparable."""

    def __init__(self) -> None:
        self._is_done = False

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        if trainer.state.fn != "fit" or not trainer.is_global_zero or self._is_done or not isinstance(data, CorpusData):
            return
        self._is_done, corpus = True, data.corpus
        if not isinstance(corpus.train, TextWindows) or not isinstance(corpus.val, TextWindows):
            return
        nats = difference(corpus.train.ids, corpus.val.ids)
        if nats > LARGE:
            train, val = module.step_loss.item(), trainer.callback_metrics["val/loss"].item()
            log.warning(
                f"train/loss {train:.4f} and val/loss {val:.4f} are for different kinds of text: the last tenth of"
                f" {corpus.name}, which is for validation, differs from the rest by about {nats:.2f} nats per"
                f" {corpus.tokenizer.unit}; to check, compare with a new run with data.split=interleaved"
            )
