"""Logs text that the model generates after each validation."""

from typing import Annotated

import torch
from annotated_types import Ge, Le
from lightning import Trainer

from headscope.data.datamodule import corpus
from headscope.generation.sampling import Sampling
from headscope.generation.text import opening, write_texts
from headscope.heads.capture import evaluating
from headscope.run.recorder import recorders
from headscope.training.module import Callback, LanguageModule


class Samples(Callback):
    """Generates a sample with the same seed and starting text each time, without affecting training's random numbers.

    Args:
        tokens: length of the sample, in tokens.
        temperature: see `Sampling`.
    """

    def __init__(
        self, tokens: Annotated[int, Ge(1), Le(1_000_000)] = 200, temperature: Annotated[float, Ge(0)] = 0.8
    ) -> None:
        self.tokens, self.sampling = tokens, Sampling(temperature)

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        loggers = recorders(trainer)
        if not loggers or trainer.state.fn != "fit":
            return
        model, tokenizer = module.model, corpus(trainer).tokenizer
        generator = torch.Generator().manual_seed(0)
        with evaluating(model):
            (pieces,) = write_texts(model, tokenizer, opening(tokenizer), self.tokens, self.sampling, [generator])
            text = "".join(pieces)
        for logger in loggers:
            logger.record_text("sample", text, trainer.global_step)
