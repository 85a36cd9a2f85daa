"""What `train.py` does: check ▸ prepare ▸ fit ▸ summarise."""

import logging
import time

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from headscope import installed
from headscope.cli import closing, command
from headscope.cli.composed import checked, plain
from headscope.config.keys import TrainConfig
from headscope.errors import Interrupted, RunFailed, UserError
from headscope.run.folder import RunFolder, nothing_left
from headscope.run.prepare import Composed, prepare
from headscope.run.summary import write_summary
from headscope.run.trainer import explained
from headscope.shell import argument

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> float | None:
    """Runs what a composed config asks for.

    Returns:
        The validation loss in nats per token, for a sweeper to minimise; None if nothing was validated.

    Raises:
        UserError: see `parse` and `prepare`.
        RunFailed: the run failed in a way we foresee.
        Interrupted: a signal stopped it; its checkpoint is saved.
    """
    hydra = HydraConfig.get()
    began = command.started if hydra.mode == RunMode.RUN else time.monotonic()  # a process may run many jobs
    with nothing_left(RunFolder(cfg.paths.run_dir), began):
        resolved = plain(cfg)
        config = checked(resolved, TrainConfig, hydra.runtime.choices)
        composed = Composed(resolved, list(hydra.overrides.task), hydra.runtime.choices["position"], began)
        run = prepare(config, composed)
        unit = run.corpus.tokenizer.unit
        log.info(f"{run.name}: {run.corpus.name}, {run.corpus.tokens:,} {unit}s")
        log.info(f"on {run.choice}")
        if config.task == "validate":
            run.trainer.validate(run.module, run.data, verbose=False)
            loss = run.trainer.callback_metrics["val/loss"].item()
            log.info(f"val/loss {loss:.4f} nats per {unit}")
            return loss
        try:
            with explained():
                run.trainer.fit(run.module, run.data, ckpt_path=run.start.resume_from, weights_only=True)
        except BaseException as e:
            if isinstance(e, UserError) and run.trainer.global_step == run.start.step:
                raise
            write_summary(run, "interrupted" if isinstance(e, Interrupted) else "failed")
            code, message = command.outcome(e) or (1, "")
            if code < 128 and run.folder.last.exists():
                log.info(
                    f"{run.folder.last} is kept; go on with: {installed.command('train')} {argument('resume=', run.folder)}"
                )
            if code == 2:  # it has trained, so what failed now is no mistake in what was asked for
                raise RunFailed(message) from e
            raise
        closing.say(run, write_summary(run, "completed"))
        return run.history.val_loss
