"""Logs a run's config and commit, its final losses, and its token embedding."""

import json
import math
from typing import Any

from lightning import Trainer

from headscope.config.overrides import flat
from headscope.render.labels import label
from headscope.run.checkpoints import Checkpoints
from headscope.run.recorder import recorders
from headscope.training.module import Callback, LanguageModule
from headscope.watch.corpus import corpus
from headscope.watch.token_class import token_class

#: The columns of a table of runs, the same for all runs.
COLUMNS = (
    *("model.d_model", "model.n_heads", "model.n_layers", "model.block_size", "model.dropout", "data.name"),
    *("position", "optimizer.lr", "optimizer.weight_decay", "batch_size", "seed", "trainer.max_steps"),
)

#: Overrides without a column, because other columns show their effect.
OPTIONS = {"data", "data.path", "trainer", "sweep", "callbacks", "debug"}

#: Groups of keys that do not affect the model; they may contain private paths.
OUTSIDE = {"logger", "paths"}


class RunCard(Callback):
    """Logs the config and the commit when training starts, and the final losses and the embedding when it ends."""

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        about = module.card["about"]
        config = {k: v for k, v in flat(about["config"]).items() if k.partition(".")[0] not in OUTSIDE}
        for logger in trainer.loggers:
            logger.log_hyperparams(choices(about) | config)
        if trainer.global_step == 0:
            rest = {k: v for k, v in about.items() if k != "config"}
            for recorder in recorders(trainer):
                recorder.record_text("config", json.dumps(about["config"], indent=2), 0)
                recorder.record_text("run", json.dumps(rest, indent=2), 0)

    def on_train_end(self, trainer: Trainer, module: LanguageModule) -> None:
        step = trainer.global_step
        embedding = getattr(module.model, "embedding", None)
        tokenizer = corpus(trainer).tokenizer
        tokens = [tokenizer.show(i) for i in range(len(tokenizer))]
        points = [(label(token), token_class(token)) for token in tokens]
        for recorder in recorders(trainer):
            if embedding is not None and len(points) > 1:
                recorder.record_embedding("embedding", embedding.weight.detach().float().cpu().numpy(), points)
            recorder.record_end(choices(module.card["about"]), final_losses(trainer), step)


def final_losses(trainer: Trainer) -> dict[str, float]:
    """Returns the last and the best validation loss in nats per token, if the run has them."""
    losses = trainer.callback_metrics
    metrics = {"final/val_loss": losses["val/loss"].item()} if "val/loss" in losses else {}
    best = min((c.best_loss for c in vars(trainer)["callbacks"] if isinstance(c, Checkpoints)), default=math.inf)
    return metrics | ({"final/best_val_loss": best} if math.isfinite(best) else {})


def choices(about: dict[str, Any]) -> dict[str, int | float | str]:
    """Returns the values that distinguish a run: the usual columns that it has, and all its overrides."""
    typed = dict(o.lstrip("+").split("=", 1) for o in about.get("overrides", ()) if "=" in o)
    values = typed | flat(about["config"]) | {"position": about.get("position"), "data.name": about["data"]["name"]}
    keys = dict.fromkeys((*COLUMNS, *(k for k in typed if k not in OPTIONS and k.partition(".")[0] not in OUTSIDE)))
    found = {k: values[k] for k in keys if values.get(k) is not None}
    return {k: v if type(v) in (int, float, str) else str(v) for k, v in found.items()}
