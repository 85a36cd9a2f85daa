"""The parts of a run, and its summary."""

import logging
import math
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Trainer

from headscope.config.keys import TrainConfig
from headscope.data.datamodule import CorpusData
from headscope.errors import RunFailed, UserError
from headscope.files import write_json
from headscope.run.folder import RunFolder, State
from headscope.run.history import History
from headscope.run.recorder import SummaryCallback
from headscope.run.start import Start
from headscope.training.hardware import Choice, Machine
from headscope.training.module import LanguageModule
from headscope.training.trainer import ended_by

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """The parts of a run."""

    config: TrainConfig
    folder: RunFolder
    data: CorpusData
    module: LanguageModule
    trainer: Trainer
    history: History
    machine: Machine
    choice: Choice
    start: Start


def write_summary(run: Run, status: State) -> dict[str, Any]:
    """Returns the summary; rank 0 also writes it to `summary.json` in the run's folder."""
    summary = summarise(run, status)
    if run.trainer.is_global_zero:
        try:
            if run.folder.started:  # otherwise the folder was removed, which `History` has reported
                write_json(run.folder.summary_file, summary)
        except (RunFailed, UserError) as e:
            if status != "failed":
                raise
            log.warning("%s", e)  # the command reports the run's own failure instead
    return summary


def summarise(run: Run, status: State) -> dict[str, Any]:
    """Returns the summary: losses in nats per token, times in seconds, and the origin of the run."""
    about, corpus = run.module.card["about"], run.data.corpus
    history, seconds = run.history.history, run.history.train_seconds
    losses = [h["val_loss"] for h in history]
    last = losses[-1] if losses else None
    x, _ = corpus.train.stream(0, range(1), run.data.block_size)  # (1, length of a window)
    tokens = run.trainer.global_step * run.config.trainer.accumulate_grad_batches * run.config.batch_size * x.shape[1]
    summary = {
        "name": about["name"],
        "status": status,
        "ended_by": ended_by(run.trainer, run.config.trainer, run.config.callbacks) if status == "completed" else None,
        "val_loss": last,
        "best_val_loss": min(losses, default=None),
        "val_accuracy": run.history.accuracy,
        "optimum": corpus.optimum,
        "val_regret": None if last is None or corpus.optimum is None else last - corpus.optimum,
        "val_bits_per_character": None if last is None else last / math.log(2) / corpus.characters,
        "train_loss": run.history.train_loss if math.isfinite(run.history.train_loss) else None,
        "steps": run.trainer.global_step,
        "parameters": sum(p.numel() for p in run.module.model.parameters()),
        "tokens_per_second": round(tokens / seconds, 1) if seconds else None,
        "train_seconds": round(seconds, 3),
        "wall_seconds": round(run.history.wall_seconds(), 3),
        "hardware": {
            "cpu": run.machine.cpu,
            "cores": run.machine.cores,
            "gpus": list(run.machine.gpus),
            "accelerator": run.choice.accelerator,
            "devices": run.trainer.world_size,
            "precision": run.choice.precision,
        },
        "threads": torch.get_num_threads(),
        "data": {
            "name": corpus.name,
            "sha256": corpus.sha256,
            "tokens": corpus.tokens,
            "tokenizer": corpus.tokenizer.unit,
            "vocab_size": len(corpus.tokenizer),
            "block_size": run.data.block_size,
            "note": corpus.note,
        },
        "position": about["position"],
        "overrides": about["overrides"],
        "changes": run.folder.changes(),
        "seed": run.config.seed,
        "commit": about["commit"],
        "versions": {"headscope": about["version"], "torch": about["torch"]},
        "history": history,
    }
    for callback in run.trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, SummaryCallback):
            summary |= callback.facts(history)
    return summary
