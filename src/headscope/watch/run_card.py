"""What a run is, as TensorBoard shows it: config and commit as text, HParams, the embedding projector."""

import json
import math
import shutil
from typing import Any

from lightning import Callback, Trainer
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from headscope.render.labels import label
from headscope.run.checkpoints import Checkpoints
from headscope.training.module import LanguageModule
from headscope.watch.board import board, corpus
from headscope.watch.samples import as_block

#: The columns of the HParams table: few, flat, and the same for every run.
COLUMNS = (
    *("model.d_model", "model.n_heads", "model.n_layers", "model.block_size", "model.dropout", "data.name"),
    *("position", "optimizer.lr", "optimizer.weight_decay", "batch_size", "seed", "trainer.max_steps"),
)

#: Typed, but no column: what they choose is in other columns, or is no choice.
OPTIONS = {"data", "trainer", "sweep", "logger", "callbacks", "debug", "data.path", "paths.data_dir"}


class RunCard(Callback):
    """The resolved config and the commit as text when training starts; the rest when it ends."""

    def on_train_start(self, trainer: Trainer, module: LanguageModule) -> None:
        writer = board(trainer)
        if writer is None or trainer.global_step:
            return
        about = module.card["about"]
        writer.add_text("config", as_block(json.dumps(about["config"], indent=2)), trainer.global_step)
        rest = {k: v for k, v in about.items() if k != "config"}
        writer.add_text("run", as_block(json.dumps(rest, indent=2)), trainer.global_step)

    def on_train_end(self, trainer: Trainer, module: LanguageModule) -> None:
        writer = board(trainer)
        if writer is None:
            return
        self._embeddings(writer, trainer, module)
        losses = trainer.callback_metrics
        metrics = {"final/val_loss": losses["val/loss"].item()} if "val/loss" in losses else {}
        best = min((c.best_loss for c in vars(trainer)["callbacks"] if isinstance(c, Checkpoints)), default=math.inf)
        metrics |= {"final/best_val_loss": best} if math.isfinite(best) else {}
        write_hparams(f"{writer.log_dir}/hparams", columns(module.card["about"]), metrics, trainer.global_step)

    def _embeddings(self, writer: SummaryWriter, trainer: Trainer, module: LanguageModule) -> None:
        embedding = getattr(module.model, "embedding", None)
        tokenizer = corpus(trainer).tokenizer
        if embedding is not None and len(tokenizer) > 1:
            writer.add_embedding(
                embedding.weight.detach().cpu(),
                metadata=[label(tokenizer.show(i)) for i in range(len(tokenizer))],
                global_step=trainer.global_step,
                tag="embedding",
            )


def columns(about: dict[str, Any]) -> dict[str, Any]:
    """The values of the HParams table: the usual columns, as far as a run has them, and whatever was typed for it."""
    typed = dict(o.lstrip("+").split("=", 1) for o in about.get("overrides", ()) if "=" in o)
    values = typed | flat(about["config"]) | {"position": about.get("position"), "data.name": about["data"]["name"]}
    columns = dict.fromkeys((*COLUMNS, *(key for key in typed if key not in OPTIONS)))
    found = {k: values[k] for k in columns if values.get(k) is not None}
    return {k: v if type(v) in (int, float, str) else str(v) for k, v in found.items()}


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves


def write_hparams(folder: str, values: dict[str, Any], metrics: dict[str, float], step: int) -> None:
    """A session of the HParams table in a folder of its own, with nothing but the final metrics.

    The experiment tag that torch would write is left out: TensorBoard reads one run's and drops the columns of the
    others. Without it the table is the union of all runs.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was shorter then
    _, start, end = hparams(values, {})  # type: ignore[no-untyped-call]
    with SummaryWriter(folder) as writer:
        writer.file_writer.add_summary(start)
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)
        writer.file_writer.add_summary(end)
