"""Measures the loss beyond the trained context length at the end of training."""

import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge
from lightning import Trainer

from headscope.data.datamodule import corpus
from headscope.data.windows import TextWindows
from headscope.errors import UserError
from headscope.heads.capture import evaluating
from headscope.model.transformer import TransformerLM
from headscope.render.figures import block_means, curves, pixels, save
from headscope.run.folder import RunFolder
from headscope.run.recorder import SummaryCallback, recorders
from headscope.training.by_position import non_overlapping_losses, sliding_losses
from headscope.training.module import LanguageModule

log = logging.getLogger(__name__)

POINTS = 32  #: points per line of the figure


class Beyond(SummaryCallback):
    """Measures the loss by position on the validation text, up to a multiple of the trained context length.

    There are two measurements. In non-overlapping windows, a target's context is everything before it in its window.
    With sliding windows, the same targets are predicted from contexts of T/2, T, 2T, … tokens; T is the trained length.
    Both are taken with each extension method of the positional scheme. If the scheme's table limits the context, longer
    contexts are not measured, and the result includes the reason.

    Args:
        folder: the run's folder.
        times: the longest context as a multiple of the trained context.
        targets: number of targets with sliding windows.
    """

    def __init__(self, folder: str, times: Annotated[int, Ge(1)] = 4, targets: Annotated[int, Ge(1)] = 512) -> None:
        self.folder, self.times, self.targets = RunFolder(folder), times, targets
        self.found: dict[str, Any] | None = None

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        """Raises UserError unless the model and the data allow longer contexts."""
        if not isinstance(module.model, TransformerLM):
            raise UserError("callbacks.beyond needs a transformer; turn it off with callbacks.beyond=null")
        windows = corpus(trainer).val
        longest = self.times * module.model.block_size
        if not isinstance(windows, TextWindows):
            raise UserError(f"data={corpus(trainer).name} has no windows longer than the context; use running text")
        if len(windows.ids) <= longest:
            raise UserError(
                f"the validation text of {len(windows.ids)} tokens has no window of {longest};"
                " use more text, a shorter model.block_size, or a smaller callbacks.beyond.times"
            )

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.state.fn != "fit" or trainer.global_step < trainer.max_steps or not trainer.is_global_zero:
            return
        model, windows = module.model, corpus(trainer).val
        assert isinstance(model, TransformerLM)
        assert isinstance(windows, TextWindows)
        self.found = self.measure(model, windows)
        for method, losses in self.found["non_overlapping"].items():
            for position, loss in enumerate(losses, 1):
                for logger in trainer.loggers:
                    logger.log_metrics({f"loss_by_position/{method}": loss}, position)
        # One line per extension method; neighbouring positions are averaged.
        series = [block_means(method, losses, POINTS) for method, losses in self.found["non_overlapping"].items()]
        events = [(self.found["trained"], "trained length")]
        figure = curves(series, "tokens of context", "nats per token", "Loss by position", events=events)
        save(figure, self.folder.by_position_figure)
        for recorder in recorders(trainer):
            recorder.record_picture("loss_by_position", pixels(figure), trainer.global_step)

    def measure(self, model: TransformerLM, windows: TextWindows) -> dict[str, Any]:
        """Returns all measurements; `facts` documents their layout."""
        trained = model.block_size
        contexts = sorted({max(trained // 2, 1), *(trained * 2**i for i in range(self.times.bit_length()))})
        contexts = [c for c in contexts if c <= self.times * trained]
        found: dict[str, Any] = {"trained": trained, "ends": "", "non_overlapping": {}, "sliding": {}}
        with evaluating(model):
            for method in model.position.extension_methods:
                try:
                    longer, longest = model.stretched(self.times * trained, method), self.times * trained
                except ValueError as e:
                    found["ends"] = str(e)
                    log.info(f"loss by position: {e}, so longer contexts are not measured")
                    longer, longest = model, trained
                reached = [c for c in contexts if c <= longest]
                by_context = sliding_losses(longer, windows.ids, reached, self.targets).tolist()
                found["sliding"][method] = {str(c): loss for c, loss in zip(reached, by_context, strict=True)}
                found["non_overlapping"][method] = non_overlapping_losses(longer, windows.ids, longest).tolist()
        return found

    def facts(self, history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        """Returns `loss_by_position`, in nats per token.

        `non_overlapping` has one list of losses per extension method, for 1, 2, 3, … tokens of context.
        `sliding` has one number per extension method and context length. If contexts longer than `trained` cannot be
        measured, `ends` is the reason.
        """
        return {"loss_by_position": self.found}
