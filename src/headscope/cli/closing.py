"""The last lines of a run's log: a sample, the losses, the folder, and commands to try next."""

import logging
import shlex
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import TensorBoardLogger

from headscope.generation.sampling import Sampling
from headscope.generation.text import write_texts
from headscope.installed import command
from headscope.run.prepare import Run
from headscope.shell import argument
from headscope.training.trainer import ended_early

log = logging.getLogger(__name__)

LENGTH = 300  #: tokens of the sample


def log_summary(run: Run, summary: dict[str, Any]) -> None:
    """Logs the last lines, from rank 0."""
    if not run.trainer.is_global_zero:
        return
    here, folder, tokenizer = Path.cwd(), run.folder.path, run.data.corpus.tokenizer
    folder = folder.relative_to(here) if folder.is_relative_to(here) else folder
    generator = torch.Generator().manual_seed(run.config.seed)
    sample = "".join(write_texts(run.module.model.eval(), tokenizer, "", LENGTH, Sampling(), [generator])[0])
    log.info("\n%s\n", sample.strip("\n"))
    note = f" ({summary['data']['note']})" if summary["data"]["note"] else ""
    losses = ", ".join(f"{k.replace('_', ' ')} {summary[k]:.4f}" for k in ("train_loss", "val_loss", "best_val_loss"))
    log.info(f"{summary['name']}: {losses} nats per {tokenizer.unit} on {summary['data']['name']}{note}")
    log.info(
        f"{summary['steps']} steps, {summary['train_seconds']:.0f} s of training,"
        f" {summary['tokens_per_second']:,.0f} tokens/s, {summary['parameters']:,} parameters"
    )
    if reason := ended_early(run.trainer):
        log.info(f"ended before step {run.trainer.max_steps}: {reason}")
    log.info(f"run saved to {folder}\n\nnext:")
    best = argument("checkpoint=", f"{folder}/checkpoints/best.ckpt")
    for override in ("max_new_tokens=500", "show=next", "show=page"):
        log.info(f"  {command('generate')} {best} {override}")
    if any(isinstance(logger, TensorBoardLogger) for logger in run.trainer.loggers):
        log.info(f"  tensorboard --logdir {argument('', folder.parent)}")
    again = [o for o in summary["overrides"] if not o.startswith("seed=")]
    log.info(f"  {command('train')} -m {shlex.join([*again, 'seed=1,2,3'])}")
