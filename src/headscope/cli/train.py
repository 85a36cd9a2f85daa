"""What `train.py` does: check ▸ prepare ▸ fit ▸ summarise."""

import logging
import time
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from headscope import installed
from headscope.cli import closing, command
from headscope.config.composed import plain
from headscope.errors import Interrupted, RunFailed, UserError
from headscope.run.folder import RunFolder, nothing_left
from headscope.run.prepare import Composed, Run, prepare
from headscope.run.summary import write_summary
from headscope.shell import argument
from headscope.training.trainer import explained

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> float | None:
    """Runs what a composed config asks for.

    Returns:
        The validation loss in nats per token, for a sweeper to minimise; None if nothing was validated.

    Raises:
        UserError: see `prepare`.
        RunFailed: the run failed in a way we foresee.
        Interrupted: a signal stopped it; its checkpoint is saved.
    """
    hydra = HydraConfig.get()
    began = command.started if hydra.mode == RunMode.RUN else time.monotonic()  # a process may run many jobs
    with nothing_left(RunFolder(cfg.paths.run_dir), began):
        if hydra.job.chdir:
            raise UserError("hydra.job.chdir=true would move data, checkpoints and other relative paths; leave it out")
        run = prepare(Composed(plain(cfg), list(hydra.overrides.task), hydra.runtime.choices, began))
        if run.config.task == "validate":
            run.trainer.validate(run.module, run.data, verbose=False)
            loss = run.trainer.callback_metrics["val/loss"].item()
            log.info(f"val/loss {loss:.4f} nats per {run.data.corpus.tokenizer.unit}")
            return loss
        summary = fit(run)
        closing.say(run, summary)
        return cast(float | None, summary["val_loss"])


def fit(run: Run) -> dict[str, Any]:
    """Trains, and writes the summary, however training ends; returns it."""
    try:
        with explained():
            run.trainer.fit(run.module, run.data, ckpt_path=run.start.resume_from, weights_only=True)
    except BaseException as e:
        if isinstance(e, UserError) and run.trainer.global_step == run.start.step:
            raise
        write_summary(run, "interrupted" if isinstance(e, Interrupted) else "failed")
        code, message = command.outcome(e) or (1, "")
        if code < 128 and run.folder.last.exists():
            again = f"{installed.command('train')} {argument('resume=', run.folder)}"
            log.info(f"{run.folder.last} is kept; go on with: {again}")
        if code == 2:  # it has trained, so what failed now is no mistake in what was asked for
            raise RunFailed(message) from e
        raise
    return write_summary(run, "completed")
