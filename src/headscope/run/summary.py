"""What a run records about itself when it ends: `summary.json`."""

import logging
import math
from typing import Any, Literal

import torch

from headscope.errors import RunFailed, UserError
from headscope.files import write_json
from headscope.run.prepare import Run
from headscope.run.recorder import Witness

log = logging.getLogger(__name__)

Outcome = Literal["completed", "interrupted", "failed"]


def write_summary(run: Run, status: Outcome) -> dict[str, Any]:
    """Writes `summary.json` into the run's folder, from rank 0; returns it."""
    about = run.module.card["about"]
    history = run.history.history
    losses = [h["val_loss"] for h in history]
    x, _ = run.corpus.train.stream(0, torch.zeros(1, dtype=torch.long), run.data.block_size)  # (1, T or a sentence)
    tokens = run.trainer.global_step * run.config.trainer.accumulate_grad_batches * run.config.batch_size * x.shape[1]
    seconds = run.history.train_seconds
    summary = {
        "name": run.name,
        "status": status,
        "val_loss": losses[-1] if losses else None,
        "best_val_loss": min(losses) if losses else None,
        "val_accuracy": run.history.accuracy,
        "optimum": run.corpus.optimum,
        "val_regret": losses[-1] - run.corpus.optimum if losses and run.corpus.optimum is not None else None,
        "val_bits_per_character": losses[-1] / math.log(2) / run.corpus.characters if losses else None,
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
            "name": run.corpus.name,
            "sha256": run.corpus.sha256,
            "tokens": run.corpus.tokens,
            "tokenizer": run.corpus.tokenizer.unit,
            "vocab_size": len(run.corpus.tokenizer),
            "block_size": run.data.block_size,
            "note": run.corpus.note,
        },
        "position": about["position"],
        "overrides": run.composed.overrides,
        "changes": run.folder.changes(),
        "seed": run.config.seed,
        "commit": about["commit"],
        "versions": {"headscope": about["version"], "torch": about["torch"]},
        "history": history,
    }
    for callback in run.trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Witness):
            summary |= callback.facts(history)
    if run.trainer.is_global_zero:
        try:
            if run.folder.started:  # else it was removed, which was reported
                write_json(run.folder.summary_file, summary)
        except (RunFailed, UserError) as e:
            if status != "failed":
                raise
            log.warning("%s", e)  # the run's own failure is the error to report
    return summary
