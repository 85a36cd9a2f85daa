"""Implements train.py: executes one run with the config that Hydra composed, and logs its results."""

import logging
import time
from pathlib import Path
from typing import Any, cast

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig

from headscope import installed
from headscope.cli import command
from headscope.config.composed import as_data
from headscope.config.overrides import split
from headscope.generation.sampling import Sampling
from headscope.generation.text import write_texts
from headscope.run.execute import execute
from headscope.run.limits import MAX_STEPS, continued_by, reason
from headscope.run.summary import Run
from headscope.shell import argument, shell_command

log = logging.getLogger(__name__)

SAMPLE_TOKENS = 300  #: length of the sample in tokens


def train(cfg: DictConfig) -> float | None:
    """Executes a run, logs its results, and returns its validation loss in nats per token; None if it has none."""
    hydra = HydraConfig.get()
    started = command.started if hydra.mode == RunMode.RUN else time.monotonic()  # one process may run many jobs
    summary = execute(as_data(cfg, hydra, started), log_summary)
    return cast(float | None, summary["val_loss"])


def log_summary(run: Run, summary: dict[str, Any]) -> None:
    """Logs a sample, the losses, the folder, and commands to try next, from rank 0."""
    if not run.trainer.is_global_zero:
        return
    here, folder, tokenizer = Path.cwd(), run.folder.path, run.data.corpus.tokenizer
    folder = folder.relative_to(here) if folder.is_relative_to(here) else folder
    generator = torch.Generator().manual_seed(run.config.seed)
    sample = "".join(write_texts(run.module.model.eval(), tokenizer, "", SAMPLE_TOKENS, Sampling(), [generator])[0])
    log.info("\n%s\n", sample.strip("\n"))
    note = f" ({summary['data']['note']})" if summary["data"]["note"] else ""
    losses = ", ".join(f"{k.replace('_', ' ')} {summary[k]:.4f}" for k in ("train_loss", "val_loss", "best_val_loss"))
    log.info(f"{summary['name']}: {losses} nats per {tokenizer.unit} on {summary['data']['name']}{note}")
    log.info(
        f"{summary['steps']} steps, {summary['train_seconds']:.0f} s of training,"
        f" {summary['tokens_per_second']:,.0f} tokens/s, {summary['parameters']:,} parameters"
    )
    if (limit := summary["ended_by"]) != MAX_STEPS:
        further = f"{installed.command('train')} {argument('resume=', folder)} {continued_by(limit)}"
        log.info(f"ended before step {run.config.trainer.max_steps}: {reason(limit)}; continue with: {further}")
    log.info(f"run saved to {folder}\n\nnext:")
    best = argument("checkpoint=", f"{folder}/checkpoints/best.ckpt")
    for override in ("max_new_tokens=500", "show=next", "show=page"):
        log.info(f"  {installed.command('generate')} {best} {override}")
    if any(isinstance(logger, TensorBoardLogger) for logger in run.trainer.loggers):
        log.info(f"  tensorboard --logdir {argument('', folder.parent)}")
    again = [o for o in run.folder.overrides() if split(o)[0] != "seed"]
    log.info(f"  {installed.command('train')} -m {shell_command([*again, 'seed=1,2,3'])}")
