"""What the model writes, after each validation."""

from typing import Annotated

import torch
from annotated_types import Ge
from lightning import Callback, Trainer

from headscope.generation.sampling import Sampling
from headscope.generation.text import opening, write_text
from headscope.training.module import LanguageModule
from headscope.watch.board import board, corpus


class Samples(Callback):
    """The same seed and opening each time, from a generator of its own: training's random numbers are not touched.

    Args:
        tokens: how many.
        temperature: see `Sampling`.
    """

    def __init__(self, tokens: Annotated[int, Ge(1)] = 200, temperature: Annotated[float, Ge(0)] = 0.8) -> None:
        self.tokens, self.sampling = tokens, Sampling(temperature)

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        writer = board(trainer)
        if writer is None or trainer.state.fn != "fit":
            return
        model, tokenizer = module.model, corpus(trainer).tokenizer
        training = model.training
        generator = torch.Generator().manual_seed(0)
        pieces = write_text(model.eval(), tokenizer, opening(tokenizer), self.tokens, self.sampling, generator)
        writer.add_text("sample", as_block("".join(pieces)), trainer.global_step)
        model.train(training)


def as_block(text: str) -> str:
    """Text that TensorBoard's Markdown shows as it is."""
    return "\n".join(f"    {line}" for line in text.splitlines())
