"""One run from its composed config to its summary. The command line and Python both call `execute`."""

import logging
from collections.abc import Callable
from typing import Any

from headscope import installed
from headscope.config.composed import Composed
from headscope.errors import Interrupted, RunFailed, UserError
from headscope.run.folder import RunFolder, removed_if_refused
from headscope.run.outcome import outcome
from headscope.run.prepare import Run, prepare
from headscope.run.summary import write_summary
from headscope.shell import argument
from headscope.training.trainer import explained

log = logging.getLogger(__name__)


def execute(composed: Composed, report: Callable[[Run, dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """Checks a config, claims the run's folder, trains or validates, and writes the summary.

    Args:
        composed: the config.
        report: called with the run and its summary after training.

    Returns:
        The summary; after task=validate it contains only `val_loss`, in nats per token.

    Raises:
        UserError: see `prepare`; the run leaves no files.
        RunFailed: an expected failure, such as a full disk.
        Interrupted: a signal stopped the run; its checkpoint is saved.
    """
    folder = RunFolder(composed.config["paths"]["run_dir"])
    try:
        with removed_if_refused(folder, composed.started):
            run = prepare(composed, folder)
            if run.config.task == "validate":
                return validate(run)
            summary = fit(run)
            if report:
                report(run, summary)
            return summary
    finally:
        folder.lock.release()


def validate(run: Run) -> dict[str, Any]:
    """Measures the validation loss of a checkpoint."""
    run.trainer.validate(run.module, run.data, verbose=False)
    loss = run.trainer.callback_metrics["val/loss"].item()
    log.info(f"val/loss {loss:.4f} nats per {run.data.corpus.tokenizer.unit}")
    return {"val_loss": loss}


def fit(run: Run) -> dict[str, Any]:
    """Trains, and writes the summary even if training fails or is stopped."""
    try:
        with explained():
            run.trainer.fit(run.module, run.data, ckpt_path=run.start.resume_from, weights_only=True)
    except BaseException as e:
        if isinstance(e, UserError) and run.trainer.global_step == run.start.step:
            raise
        write_summary(run, "interrupted" if isinstance(e, Interrupted) else "failed")
        code, message = outcome(e) or (1, "")
        if code < 128 and run.folder.last.exists():
            again = f"{installed.command('train')} {argument('resume=', run.folder)}"
            log.info(f"{run.folder.last} is kept; continue with: {again}")
        if code == 2:  # after the first step an error is a failure of the run, not a mistake in its config
            raise RunFailed(message) from e
        raise
    return write_summary(run, "completed")
