"""Callbacks that show heads: scores and roles, pictures of attention maps, and a film of the maps for `show=page`.

At each step, the callbacks share one forward pass.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Annotated, Any

import torch
from annotated_types import Ge
from lightning import Trainer
from torch import Tensor

from headscope.data.datamodule import corpus
from headscope.files import write_atomically
from headscope.heads import ActivationCache, film, look, table
from headscope.heads.descriptions import Description
from headscope.heads.flow import views_from_maps
from headscope.heads.kept import described
from headscope.heads.reports import SHORTEST, HeadReport, inspect
from headscope.heads.roles import ROLE_RULES
from headscope.model.transformer import TransformerLM
from headscope.render.figures import Series, curves, horizontal_line, pixels
from headscope.render.pictures import WINDOW, table_picture
from headscope.run.folder import RunFolder
from headscope.run.recorder import SummaryCallback, recorders
from headscope.show.attention import head_pictures, layer_pictures
from headscope.show.heads import parts_figure, score_pictures
from headscope.training.module import Callback, LanguageModule

WRAPPED = 110  #: characters in a line of a logged sentence
PICTURES = 10  #: maximum per tag, because TensorBoard keeps only 10


@dataclass(frozen=True)
class HeadView:
    """All heads at one step, on the validation texts that the checkpoint keeps."""

    model: TransformerLM
    text: Tensor  #: ids (B, T)
    cache: ActivationCache  #: maps, values, z and resid on the text
    reports: list[HeadReport]  #: empty if the texts are too short to describe heads


class HeadViewer(Callback):
    """A callback that shows heads: before the first step, and after validations.

    At each step, the first of the callbacks that show heads inspects the heads once, and passes the result to the
    others. Nothing happens if the model has no heads.
    """

    def show(self, trainer: Trainer, module: LanguageModule, view: HeadView) -> None:
        """Draws, logs or stores the heads at one step. Only the main process calls this method."""
        raise NotImplementedError

    def needs(self, trainer: Trainer) -> bool:
        """Returns whether the callback shows the heads at the current step."""
        return is_picture_step(trainer)

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.global_step == 0:
            self._show_in_all_viewers(trainer, module)

    def on_validation_end(self, trainer: Trainer, module: LanguageModule) -> None:
        if trainer.state.fn == "fit":
            self._show_in_all_viewers(trainer, module)

    def _show_in_all_viewers(self, trainer: Trainer, module: LanguageModule) -> None:
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
    reports, cache = inspect(model, text, special=corpus(trainer).tokenizer.special)
    return HeadView(model, text, cache, reports)


def validation_steps(max_steps: int, interval: int) -> list[int]:
    """Returns the steps at which a run validates. The last step is always one of them."""
    return [*range(interval, max_steps, interval), max_steps]


def picture_steps(steps: Sequence[int]) -> list[int]:
    """Returns step 0 and up to `PICTURES` - 1 validation steps, including the first and the last.

    The steps are spaced roughly geometrically, because most roles form early.
    """
    n, chosen = min(PICTURES - 1, len(steps)), [0]
    for i in range(n):
        wanted = steps[0] * (steps[-1] / steps[0]) ** (i / (n - 1) if n > 1 else 1)
        later = [s for s in steps if s > chosen[-1]]
        candidates = later[: len(later) - (n - 1 - i)]  # leaves enough steps for the remaining pictures
        chosen.append(min(candidates, key=lambda s: abs(math.log(s / wanted))))
    return chosen


def is_picture_step(trainer: Trainer) -> bool:
    """Returns whether callbacks draw pictures at the current step."""
    # In a trial run, the quotient is 0.
    interval = max(int(trainer.val_check_interval) // trainer.accumulate_grad_batches, 1)
    planned = picture_steps(validation_steps(trainer.max_steps, interval))
    return trainer.state.fn == "fit" and trainer.global_step in planned


class Heads(HeadViewer, SummaryCallback):
    """Describes every head in the loggers and in the run's `heads.csv`, before the first step and at each validation.

    Logs each score of each head (`heads/L1H2/induction`), one picture per score, and a table of the roles with their
    evidence. After the last step of a run of at least `describe_from` steps, describes each head by a rule that can
    replace its attention (`headscope.heads.descriptions`). At the end of the run, logs a plot of the losses that marks
    when each role formed. `summary.json` has the final role and description of each head, and when each role formed.
    """

    def __init__(self, folder: str, describe_from: Annotated[int, Ge(0)] = 300) -> None:
        self.folder, self.describe_from = RunFolder(folder), describe_from
        self.descriptions: list[Description] = []
        self.rows: list[table.Row] = []
        self.csv = ""  #: the content of `heads.csv`: the text of `rows`
        self.reports: list[HeadReport] = []

    def needs(self, trainer: Trainer) -> bool:
        return True

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        super().on_train_start(trainer, module)
        file = self.folder.heads_file
        if trainer.is_global_zero and trainer.global_step > 0 and file.exists():
            # Drops rows after the checkpoint, because a resumed run repeats these steps.
            rows = table.from_csv(file.read_text(encoding="utf-8"))
            self.rows = [row for row in rows if row["step"] <= trainer.global_step]
            self.csv = table.to_csv(self.rows)

    def show(self, trainer: Trainer, module: LanguageModule, view: HeadView) -> None:
        if not view.reports:
            return
        self.reports, step = view.reports, trainer.global_step
        if step >= trainer.max_steps >= self.describe_from:
            tokenizer, about = corpus(trainer).tokenizer, module.card["about"]
            files = [self.folder.descriptions_file]
            self.descriptions = described(view.model, tokenizer.shown, tokenizer.unit, about, files)
        rows = table.rows(view.reports, step, self.descriptions)
        self.rows += rows
        self.csv = table.append_rows(self.csv, rows)
        write_atomically(self.folder.heads_file, self.csv.encode())
        role_scores = [rule.score for rule in ROLE_RULES.values()]
        scores = {f"heads/{r.name}/{score}": r.scores[score] for r in view.reports for score in role_scores}
        module.report({name: value for name, value in scores.items() if not math.isnan(value)})
        loggers = recorders(trainer)
        for logger in loggers if any(d.matters for d in self.descriptions) else ():
            logger.record_text("descriptions", "\n\n".join(fill(d.sentence, WRAPPED) for d in self.descriptions), step)
            logger.record_picture("descriptions", pixels(parts_figure(self.descriptions)), step)
        for logger in loggers:
            logger.record_text("heads", table.as_text(view.reports), step)
        if loggers and is_picture_step(trainer):
            for score, picture in score_pictures(view.reports, f"step {step}").items():
                for logger in loggers:
                    logger.record_picture(f"heads/{score}", picture, step)
        if loggers and step >= trainer.max_steps:
            self._mark_losses(trainer)

    def _mark_losses(self, trainer: Trainer) -> None:
        """Logs a plot of the losses that marks the steps at which roles formed."""
        history = self.folder.status(running=True).history
        if len(history) < 2:
            return
        series = [Series("val/loss", [h["step"] for h in history], [h["val_loss"] for h in history])]
        if (optimum := corpus(trainer).optimum) is not None:
            series.append(horizontal_line("optimum", optimum, series))
        events = [(f["step"], f"{role} {f['head']}") for role, f in table.first_formed(self.rows, history).items()]
        figure = curves(series, "training step", "nats per token", "Loss, and when roles formed", events=events)
        for logger in recorders(trainer):
            logger.record_picture("loss_and_roles", pixels(figure), trainer.global_step)

    def facts(self, history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        """Returns `heads`, the final role and description of each head, and `roles`, when each first had a head."""
        final: list[dict[str, Any]] = [
            {"head": r.name, "role": r.role, "confirmed": r.confirmed, "score": r.evidence and r.evidence.value}
            | {"rests_on_first": r.rests_on_first, "stability": r.stability}
            for r in self.reports
        ]
        for head, description in zip(final, self.descriptions, strict=False):
            head.update(description.facts())
        return {"heads": final, "roles": table.first_formed(self.rows, history)}


class Heatmaps(HeadViewer):
    """Draws the attention of all heads on the run's first text, before the first step and after up to nine validations.

    There is one picture of attention weights and one of norm-weighted attention per layer, one picture of the rollout
    through all layers, and one larger picture of weights per head. If the positional scheme has a table, it is drawn
    too.
    """

    def needs(self, trainer: Trainer) -> bool:
        return bool(recorders(trainer)) and super().needs(trainer)

    def show(self, trainer: Trainer, module: LanguageModule, view: HeadView) -> None:
        step, tokenizer = trainer.global_step, corpus(trainer).tokenizer
        tokens = [tokenizer.show(i) for i in view.text[0].tolist()]
        flow = views_from_maps(view.model, view.cache.maps[:, :1], view.cache.values[:, :1])
        options = tokens, f"step {step}", table.role_labels(view.reports), WINDOW
        pictures = layer_pictures(flow, *options)
        # Dashboards sort groups by name, so these pictures come after `attention`.
        pictures |= {f"head_attention/{name}": rgb for name, rgb in head_pictures(flow.weights, *options).items()}
        position = view.model.position
        if (positions := position.table()) is not None:
            title = f"{type(position).__name__}, step {step}"
            pictures["positions"] = table_picture(positions.double().cpu().numpy(), title)
        for logger in recorders(trainer):
            for tag, rgb in pictures.items():
                logger.record_picture(tag, rgb, step)


class Film(HeadViewer):
    """Records the attention maps of every head on the run's first text, with one byte per weight, at each picture step.

    A model without heads has no film. Ten frames of the model `nano` take 100 to 200 kB.
    """

    def __init__(self, folder: str) -> None:
        self.file = RunFolder(folder).film_file
        self.frames: film.Film | None = None

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        super().on_train_start(trainer, module)
        if trainer.is_global_zero and trainer.global_step > 0 and self.file.exists():
            try:  # a resumed run keeps the frames up to its checkpoint
                self.frames = film.Film.from_bytes(self.file.read_bytes()).until(trainer.global_step)
            except ValueError:
                self.frames = None  # replaces a damaged film with a new one

    def show(self, trainer: Trainer, module: LanguageModule, view: HeadView) -> None:
        step, ids = trainer.global_step, view.text[0].tolist()
        earlier = self.frames.until(step - 1).frames if self.frames and self.frames.ids == ids else []
        frame = film.frame(step, view.cache.maps[:, :1], table.role_labels(view.reports))
        self.frames = film.Film(ids, [*earlier, frame])
        write_atomically(self.file, self.frames.to_bytes())
