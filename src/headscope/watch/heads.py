"""Callbacks that show heads: scores and roles at each validation, pictures of maps, and the film of `show=page`.

They share one forward pass per step.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from headscope.files import write_atomically
from headscope.heads import ActivationCache, film, look, table
from headscope.heads.flow import views_of
from headscope.heads.reports import SHORTEST, HeadReport, inspect
from headscope.heads.roles import ROLE_RULES
from headscope.model.transformer import TransformerLM
from headscope.render.figures import Series, curves, horizontal_line, pixels
from headscope.render.pictures import WINDOW, table_picture
from headscope.run.folder import RunFolder
from headscope.run.recorder import SummaryCallback, recorders
from headscope.show.attention import head_pictures, layer_pictures
from headscope.show.heads import score_pictures
from headscope.training.module import Callback, LanguageModule
from headscope.watch.corpus import corpus

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


class Heads(HeadViewer, SummaryCallback):
    """Logs a description of every head, and writes it to `heads.csv` in the run's folder.

    Logged are each score of each head (`heads/L1H2/induction`), one picture per score of all heads, and a text with the
    roles and their evidence. The summary has the final role of each head, and when each role formed; a picture of the
    losses marks these steps.
    """

    def __init__(self, folder: str) -> None:
        self.folder = RunFolder(folder)
        self.rows: list[table.Row] = []
        self.csv = ""  #: the rows as text
        self.reports: list[HeadReport] = []

    def needs(self, trainer: Trainer) -> bool:
        return True

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        super().on_train_start(trainer, module)
        file = self.folder.heads_file
        if trainer.is_global_zero and trainer.global_step > 0 and file.exists():
            # A resumed run describes heads again at the steps after its checkpoint.
            rows = table.from_csv(file.read_text(encoding="utf-8"))
            self.rows = [row for row in rows if row["step"] <= trainer.global_step]
            self.csv = table.to_csv(self.rows)

    def show(self, trainer: Trainer, module: LanguageModule, view: HeadView) -> None:
        if not view.reports:
            return
        self.reports, step = view.reports, trainer.global_step
        rows = table.rows(view.reports, step)
        self.rows += rows
        self.csv = table.extended(self.csv, rows)
        write_atomically(self.folder.heads_file, self.csv.encode())
        with_role = [rule.score for rule in ROLE_RULES.values()]
        scores = {f"heads/{r.name}/{score}": r.scores[score] for r in view.reports for score in with_role}
        module.report({name: value for name, value in scores.items() if not math.isnan(value)})
        loggers = recorders(trainer)
        for logger in loggers:
            logger.record_text("heads", table.as_text(view.reports), step)
        if loggers and is_picture_step(trainer):
            for score, picture in score_pictures(view.reports, f"step {step}").items():
                for logger in loggers:
                    logger.record_picture(f"heads/{score}", picture, step)
        if loggers and step >= trainer.max_steps:
            self._mark_losses(trainer)

    def _mark_losses(self, trainer: Trainer) -> None:
        """Draws the losses with the steps at which roles formed."""
        history = self.folder.status(running=True).history
        if len(history) < 2:
            return
        series = [Series("val/loss", [h["step"] for h in history], [h["val_loss"] for h in history])]
        if (optimum := corpus(trainer).optimum) is not None:
            series.append(horizontal_line("optimum", optimum, series))
        events = [(f["step"], f"{role} {f['head']}") for role, f in table.formed(self.rows, history).items()]
        figure = curves(series, "training step", "nats per token", "Loss, and when roles formed", events=events)
        for logger in recorders(trainer):
            logger.record_picture("loss_and_roles", pixels(figure), trainer.global_step)

    def facts(self, history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        """Returns `heads`, the final role of each head, and `roles`, when each role first had a confirmed head."""
        last = [
            {"head": r.name, "role": r.role, "confirmed": r.confirmed, "score": r.evidence and r.evidence.value}
            for r in self.reports
        ]
        return {"heads": last, "roles": table.formed(self.rows, history)}


class Heatmaps(HeadViewer):
    """Draws all heads on the first of the run's texts, before the first step and after at most nine validations.

    Each layer has one picture of attention weights and one of norm-weighted attention. One picture shows the rollout
    through all layers, and each head has a larger picture of its weights. A positional scheme that has a table gets a
    picture of it, too.
    """

    def needs(self, trainer: Trainer) -> bool:
        return bool(recorders(trainer)) and super().needs(trainer)

    def show(self, trainer: Trainer, module: LanguageModule, view: HeadView) -> None:
        step, tokenizer = trainer.global_step, corpus(trainer).tokenizer
        tokens = [tokenizer.show(i) for i in view.text[0].tolist()]
        seen = views_of(view.model, view.cache.maps[:, :1], view.cache.values[:, :1])
        rest = tokens, f"step {step}", table.titles(view.reports), WINDOW
        pictures = layer_pictures(seen, *rest)
        # Dashboards sort this group after `attention`.
        pictures |= {f"head_attention/{name}": rgb for name, rgb in head_pictures(seen.weights, *rest).items()}
        position = view.model.position
        if (positions := position.table()) is not None:
            title = f"{type(position).__name__}, step {step}"
            pictures["positions"] = table_picture(positions.double().cpu().numpy(), title)
        for logger in recorders(trainer):
            for tag, rgb in pictures.items():
                logger.record_picture(tag, rgb, step)


class Film(HeadViewer):
    """Keeps the maps of every head on the first of the run's texts, with one byte per weight, at each picture step.

    A model without heads has no film. Ten frames of `nano` take 100 to 200 kB.
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
                self.frames = None  # a damaged film starts again

    def show(self, trainer: Trainer, module: LanguageModule, view: HeadView) -> None:
        step, ids = trainer.global_step, view.text[0].tolist()
        earlier = self.frames.until(step - 1).frames if self.frames and self.frames.ids == ids else []
        self.frames = film.Film(ids, [*earlier, film.frame(step, view.cache.maps[:, :1], table.titles(view.reports))])
        write_atomically(self.file, self.frames.to_bytes())
