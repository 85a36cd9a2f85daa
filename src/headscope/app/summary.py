"""What a run says of itself when it ends: `summary.json`, and a few lines for people."""

import json
import logging
import math
import shlex
from pathlib import Path
from typing import Any, Literal

import torch
from hydra.core.hydra_config import HydraConfig

from headscope.app.run import Run
from headscope.data.atomic import write_atomically
from headscope.errors import RunFailed
from headscope.generation.sampling import Sampling
from headscope.generation.text import opening, write_text

log = logging.getLogger(__name__)

Status = Literal["completed", "interrupted", "failed"]


def write(run: Run, status: Status) -> dict[str, Any]:
    """Writes `summary.json` into the run's folder, whole or not at all, from rank 0; returns it.

    Args:
        run: what ran.
        status: how it ended.
    """
    about = run.module.card["about"]
    history = run.history.history
    losses = [h["val_loss"] for h in history]
    tokens = run.trainer.global_step * run.config.trainer.accumulate_grad_batches
    tokens *= run.config.batch_size * _window(run)
    seconds = run.history.train_seconds
    summary = {
        "name": run.name,
        "status": status,
        "val_loss": losses[-1] if losses else None,
        "best_val_loss": min(losses) if losses else None,
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
        "overrides": list(HydraConfig.get().overrides.task),
        "seed": run.config.seed,
        "commit": about["commit"],
        "versions": {"headscope": about["version"], "torch": about["torch"]},
        "history": history,
    }
    if run.trainer.is_global_zero:
        try:
            write_atomically(run.folder / "summary.json", json.dumps(summary, indent=2).encode())
        except RunFailed as e:
            if status != "failed":
                raise
            log.warning("%s", e)  # what failed before is what to say
    return summary


def _window(run: Run) -> int:
    """Positions in a training window: T, or the longest sentence."""
    x, _ = run.corpus.train.cut(torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long))
    return x.shape[1]


def sample(run: Run, length: int = 300) -> str:
    """A text that the model writes as it is now, always from the same seed."""
    model, tokenizer = run.module.model.eval(), run.corpus.tokenizer
    generator = torch.Generator().manual_seed(run.config.seed)
    return "".join(write_text(model, tokenizer, opening(tokenizer), length, Sampling(), generator))


def say(run: Run, summary: dict[str, Any]) -> None:
    """The end of a run for people: a sample, the losses, where it lies, what to try next."""
    if not run.trainer.is_global_zero:
        return
    here = Path.cwd()
    folder = run.folder.relative_to(here) if run.folder.is_relative_to(here) else run.folder
    log.info("\n%s\n", sample(run).strip("\n"))
    note = f" ({summary['data']['note']})" if summary["data"]["note"] else ""
    losses = ", ".join(f"{k.replace('_', ' ')} {summary[k]:.4f}" for k in ("train_loss", "val_loss", "best_val_loss"))
    log.info(f"{run.name}: {losses} nats per {run.corpus.tokenizer.unit} on {run.corpus.name}{note}")
    log.info(
        f"{summary['steps']} steps, {summary['train_seconds']:.0f} s of training,"
        f" {summary['tokens_per_second']:,.0f} tokens/s, {summary['parameters']:,} parameters"
    )
    log.info(f"the run lies in {folder}\n\nnext:")
    best = shlex.quote(f"checkpoint={folder}/checkpoints/best.ckpt")
    log.info(f"  python generate.py {best} max_new_tokens=500")
    log.info(f"  python generate.py {best} show=next")
    log.info(f"  tensorboard --logdir {shlex.quote(str(folder.parent))}")
    again = [o for o in summary["overrides"] if not o.startswith("seed=")]
    log.info(f"  python train.py -m {shlex.join([*again, 'seed=1,2,3'])}")
