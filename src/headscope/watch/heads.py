"""What every head does, at each validation: scores, roles with their evidence, and when each role formed."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from lightning import Trainer

from headscope.files import write_atomically
from headscope.heads import describe, repeated_probe, table
from headscope.heads.reports import SHORTEST, HeadReport
from headscope.model.transformer import TransformerLM
from headscope.render.figures import Series, curves, level, pixels
from headscope.render.grid import SCORES, scores_picture
from headscope.run.folder import RunFolder
from headscope.run.recorder import SummaryCallback, recorders
from headscope.training.module import LanguageModule
from headscope.watch.picture_steps import is_picture_step
from headscope.watch.probe import corpus


class Heads(SummaryCallback):
    """Describes every head on two fixed probes: passages of the validation text, and repeated random tokens.

    Logs each score of each head (`heads/L1H2/induction`), a picture of each score over layers and heads, and the roles
    with their evidence as a text; `heads.csv` in the run's folder has all of it. The summary says which role each head
    has at the end, and when each role formed; a picture of the losses marks that.

    Args:
        folder: the run's.
        texts: passages, and as many repeated texts.
        longest: tokens of each, at most.
    """

    def __init__(self, folder: str, texts: Annotated[int, Ge(2)], longest: Annotated[int, Ge(4)]) -> None:
        self.folder, self.texts, self.longest = RunFolder(folder), texts, longest
        self.rows: list[table.Row] = []
        self.csv = ""  #: the text of the rows
        self.reports: list[HeadReport] = []

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        file = self.folder.heads_file
        if not trainer.is_global_zero or not isinstance(module.model, TransformerLM):
            return
        if trainer.global_step == 0:
            self._describe(trainer, module)
        elif file.exists():  # a resumed run describes again whatever came after its checkpoint
            self.rows = [
                r for r in table.from_csv(file.read_text(encoding="utf-8")) if r["step"] <= trainer.global_step
            ]
            self.csv = table.to_csv(self.rows)

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.is_global_zero and trainer.state.fn == "fit" and isinstance(module.model, TransformerLM):
            self._describe(trainer, module)
            if trainer.global_step >= trainer.max_steps and self.rows and recorders(trainer):
                self._mark_losses(trainer)

    def _describe(self, trainer: Trainer, module: LanguageModule) -> None:
        model = module.model
        assert isinstance(model, TransformerLM)
        data, longest = corpus(trainer), min(self.longest, model.block_size)
        text = data.passages(self.texts, longest)
        if min(text.shape[1], longest) < SHORTEST:  # three words do not show what a head does
            return
        step, repeated = trainer.global_step, repeated_probe(len(data.tokenizer), longest, self.texts)
        self.reports = describe(model, text.to(module.device), repeated.to(module.device))
        rows = table.rows(self.reports, step)
        self.rows += rows
        self.csv = table.extended(self.csv, rows)
        write_atomically(self.folder.heads_file, self.csv.encode())
        scores = {f"heads/{r.name}/{score}": r.scores[score] for r in self.reports for score in SCORES}
        module.report({name: value for name, value in scores.items() if not math.isnan(value)})
        for logger in recorders(trainer):
            logger.record_text("heads", table.as_text(self.reports), step)
            if is_picture_step(trainer):
                for score, said in SCORES.items():
                    values = np.array([r.scores[score] for r in self.reports])
                    values = values.reshape(model.n_layers, model.n_heads)  # (L, H)
                    picture = scores_picture(values, f"step {step}: {score.replace('_', ' ')}", said)
                    logger.record_picture(f"heads/{score}", picture, step)

    def _mark_losses(self, trainer: Trainer) -> None:
        """Draws the losses and where roles formed, once, with the last validation."""
        history = self.folder.status(running=True).history
        if len(history) < 2:
            return
        series = [Series("val/loss", [h["step"] for h in history], [h["val_loss"] for h in history])]
        if (optimum := corpus(trainer).optimum) is not None:
            series.append(level("optimum", optimum, series))
        events = [(f["step"], f"{role} {f['head']}") for role, f in table.formed(self.rows, history).items()]
        figure = curves(series, "training step", "nats per token", "Loss, and when roles formed", events=events)
        for logger in recorders(trainer):
            logger.record_picture("loss_and_roles", pixels(figure), trainer.global_step)

    def facts(self, history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        """`heads`: the role of each at the end. `roles`: when each first had a confirmed head."""
        last = [
            {"head": r.name, "role": r.role, "confirmed": r.confirmed, "score": r.evidence and r.evidence.value}
            for r in self.reports
        ]
        return {"heads": last, "roles": table.formed(self.rows, history)}


def roles(trainer: Trainer) -> dict[tuple[int, int], str]:
    """What to write beside a head's name (layer, head), as of the last description; a question mark: unconfirmed."""
    reports = [r for c in trainer.callbacks if isinstance(c, Heads) for r in c.reports]  # type: ignore[attr-defined]
    return table.titles(reports)
