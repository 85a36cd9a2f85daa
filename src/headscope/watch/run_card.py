"""Logs a run's config and commit, its final losses, and its token embedding."""

import json
import math
from typing import Any

from lightning import Trainer

from headscope.config.overrides import flat
from headscope.data.datamodule import corpus
from headscope.render.labels import label
from headscope.run.checkpoints import Checkpoints
from headscope.run.recorder import recorders
from headscope.training.module import Callback, LanguageModule

#: Config keys that are columns of the dashboards' tables for every run.
COLUMNS = (
    *("model.d_model", "model.n_heads", "model.n_layers", "model.block_size", "model.dropout", "data.name"),
    *("position", "optimizer.lr", "optimizer.weight_decay", "batch_size", "seed", "trainer.max_steps"),
)

#: Overrides that get no column: most of them set a key that has one.
COVERED = {"data", "data.path", "trainer", "sweep", "callbacks", "debug"}

#: Groups of config keys that are not logged: they do not affect the model, and may contain private paths.
UNLOGGED = {"logger", "paths"}


class RunCard(Callback):
    """Logs the config and the commit when training starts, and the final losses and the embedding when it ends."""

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        about = module.card["about"]
        config = logged(about["config"])
        for logger in trainer.loggers:
            logger.log_hyperparams(choices(about) | flat(config))
        if trainer.global_step == 0:
            rest = {k: v for k, v in about.items() if k not in ("config", "passages", "texts")}
            for recorder in recorders(trainer):
                recorder.record_text("config", json.dumps(config, indent=2), 0)
                recorder.record_text("run", json.dumps(rest, indent=2), 0)

    def on_train_end(self, trainer: Trainer, module: LanguageModule) -> None:
        last = trainer.callback_metrics.get("val/loss")
        losses = {} if last is None else {"final/val_loss": last.item()}  # nats per token
        best = min((c.best_loss for c in vars(trainer)["callbacks"] if isinstance(c, Checkpoints)), default=math.inf)
        if math.isfinite(best):
            losses["final/best_val_loss"] = best
        embedding = getattr(module.model, "embedding", None)
        points = [(label(token), token_class(token)) for token in corpus(trainer).tokenizer.shown]
        for recorder in recorders(trainer):
            if embedding is not None and len(points) > 1:
                recorder.record_embedding("embedding", embedding.weight.detach().float().cpu().numpy(), points)
            recorder.record_end(choices(module.card["about"]), losses, trainer.global_step)


def logged(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a config without the groups in `UNLOGGED` and without the folders of callbacks."""
    kept = {key: value for key, value in config.items() if key not in UNLOGGED}
    if isinstance(callbacks := kept.get("callbacks"), dict):
        kept["callbacks"] = {
            name: {k: v for k, v in options.items() if k != "folder"} if isinstance(options, dict) else options
            for name, options in callbacks.items()
        }
    return kept


def choices(about: dict[str, Any]) -> dict[str, int | float | str]:
    """Returns the values that distinguish a run from others: the columns in `COLUMNS`, and its other overrides."""
    typed = dict(o.lstrip("+").split("=", 1) for o in about.get("overrides", ()) if "=" in o)
    values = typed | flat(about["config"]) | {"position": about.get("position"), "data.name": about["data"]["name"]}
    keys = dict.fromkeys((*COLUMNS, *(k for k in typed if k not in COVERED and k.partition(".")[0] not in UNLOGGED)))
    found = {k: values[k] for k in keys if values.get(k) is not None}
    return {k: v if type(v) in (int, float, str) else str(v) for k, v in found.items()}


def token_class(token: str) -> str:
    """Returns the class of a token, which colours it in TensorBoard's projector.

    Classes of one character: capital letter, small letter, letter (in a script without case), digit, space and
    punctuation. Classes of longer tokens: letters, space and letters, number, space, punctuation, special (such as
    <pad>), bytes (that do not form a character) and mixed.
    """
    bare = token.strip()
    if not bare:
        return "space"
    if len(bare) > 2 and bare[0] == "<" and bare[-1] == ">":
        return "special"
    if bare.startswith("\\x"):
        return "bytes"
    if not any(c.isalnum() for c in bare):
        return "punctuation"
    if bare.isnumeric():
        return "digit" if len(bare) == 1 else "number"
    if not bare.isalpha():
        return "mixed"
    if len(token) == 1:
        return "capital letter" if token.isupper() else "small letter" if token.islower() else "letter"
    return "space and letters" if token[0].isspace() else "letters"
