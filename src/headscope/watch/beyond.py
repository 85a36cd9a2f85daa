"""The loss beyond the length that a model was trained on, when its training ends."""

import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge
from lightning import Trainer

from headscope.data.windows import TextWindows
from headscope.errors import UserError
from headscope.heads.capture import evaluating
from headscope.model.transformer import TransformerLM
from headscope.render.figures import averaged, curves, pixels, save
from headscope.run.folder import RunFolder
from headscope.run.recorder import SummaryCallback, recorders
from headscope.training.by_position import non_overlapping, sliding
from headscope.training.module import LanguageModule
from headscope.watch.probe import corpus

log = logging.getLogger(__name__)

POINTS = 32  #: of a line in the figure


class Beyond(SummaryCallback):
    """Measures the loss by position, up to a multiple of the trained context, on the validation text.

    Two ways of looking, both with exactly the context named: windows side by side, in which the target at each position
    has everything before it in its window; and sliding, the same targets with contexts of T/2, T, 2T, … tokens, so that
    contexts are compared on the same text. Each of the scheme's ways to go on is measured; a scheme with a table
    reports where it ends.

    Args:
        folder: the run's.
        times: how many times the trained context.
        targets: for the sliding look.
    """

    def __init__(self, folder: str, times: Annotated[int, Ge(1)] = 4, targets: Annotated[int, Ge(1)] = 512) -> None:
        self.folder, self.times, self.targets = RunFolder(folder), times, targets
        self.found: dict[str, Any] | None = None

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        """Refuses what cannot be made longer.

        Raises:
            UserError: a model that is no transformer; data that are no running text, or too short.
        """
        if not isinstance(module.model, TransformerLM):
            raise UserError("callbacks.beyond needs a transformer; leave it out with callbacks.beyond=null")
        windows = corpus(trainer).val
        longest = self.times * module.model.block_size
        if not isinstance(windows, TextWindows):
            raise UserError(f"data={corpus(trainer).name} has no windows longer than the context; use a running text")
        if len(windows.ids) <= longest:
            raise UserError(
                f"the validation text of {len(windows.ids)} tokens has no window of {longest};"
                " use more text, a shorter model.block_size, or fewer callbacks.beyond.times"
            )

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.state.fn != "fit" or trainer.global_step < trainer.max_steps or not trainer.is_global_zero:
            return
        model, windows = module.model, corpus(trainer).val
        assert isinstance(model, TransformerLM)
        assert isinstance(windows, TextWindows)
        self.found = self.measure(model, windows)
        for way, losses in self.found["non_overlapping"].items():
            for place, loss in enumerate(losses, 1):
                for logger in trainer.loggers:
                    logger.log_metrics({f"loss_by_position/{way}": loss}, place)
        figure = self.figure(self.found)
        save(figure, self.folder.by_position_figure)
        for recorder in recorders(trainer):
            recorder.record_picture("loss_by_position", pixels(figure), trainer.global_step)

    def measure(self, model: TransformerLM, windows: TextWindows) -> dict[str, Any]:
        """Everything that was measured, as plain data: see `facts`."""
        trained = model.block_size
        contexts = sorted({max(trained // 2, 1), *(trained * 2**i for i in range(self.times.bit_length()))})
        contexts = [c for c in contexts if c <= self.times * trained]
        found: dict[str, Any] = {"trained": trained, "ends": "", "non_overlapping": {}, "sliding": {}}
        with evaluating(model):
            for way in model.position.extension_methods:
                try:
                    longer, longest = model.stretched(self.times * trained, way), self.times * trained
                except ValueError as e:
                    found["ends"] = str(e)
                    log.info(f"loss by position: {e}, so nothing is measured beyond")
                    longer, longest = model, trained
                reached = [c for c in contexts if c <= longest]
                by_context = sliding(longer, windows.ids, reached, self.targets).tolist()
                found["sliding"][way] = {str(c): loss for c, loss in zip(reached, by_context, strict=True)}
                found["non_overlapping"][way] = non_overlapping(longer, windows.ids, longest).tolist()
        return found

    @staticmethod
    def figure(found: Mapping[str, Any]) -> Any:
        """Loss by position, a line a way, neighbouring positions averaged."""
        series = [averaged(way, losses, POINTS) for way, losses in found["non_overlapping"].items()]
        events = [(found["trained"], "trained length")]
        return curves(series, "tokens of context", "nats per token", "Loss by position", events=events)

    def facts(self, history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        """`loss_by_position`: nats per token.

        `non_overlapping` has a list for each way to go on, its first number for one token of context; `sliding` has a
        number for each context, over the same targets. `ends` says why nothing was measured beyond `trained`.
        """
        return {"loss_by_position": self.found}
