"""Executes one run, from its composed config to its summary. The command line and Python both call `execute`."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from headscope import installed
from headscope.config.composed import Composed
from headscope.config.keys import TrainConfig
from headscope.config.schema import parse
from headscope.errors import Interrupted, RunFailed, UserError
from headscope.run.checkpoints import Checkpoints, RngState, SignalCheckpoint
from headscope.run.fits import check_fits
from headscope.run.folder import RunFolder, cleaned_up
from headscope.run.history import History
from headscope.run.plausible import why_implausible
from headscope.run.processes import outcome
from headscope.run.recorder import recorders
from headscope.run.resumable import RestoredCheck
from headscope.run.setup import set_up_process
from headscope.run.signals import handlers_restored
from headscope.run.split_check import SplitCheck
from headscope.run.start import start
from headscope.run.summary import Run, write_summary
from headscope.shell import argument
from headscope.training.hardware import Machine, choose
from headscope.training.restarts import is_resumed
from headscope.training.trainer import build_trainer, convert_errors, launcher_plugins

log = logging.getLogger(__name__)


def execute(composed: Composed, report: Callable[[Run, dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """Checks a config, claims the run's folder, trains, writes the summary, passes it to `report`, and returns it.

    After task=validate the summary contains only `val_loss`, in nats per token, and is not written. Raises `UserError`
    if the config was refused, `RunFailed` for an expected failure such as a full disk, `Interrupted` after a signal.
    """
    with prepared(composed) as run:
        if run.config.task == "validate":
            with handlers_restored(), convert_errors():
                run.trainer.validate(run.module, run.data, verbose=False)
            loss = run.trainer.callback_metrics["val/loss"].item()
            log.info(f"val/loss {loss:.4f} {run.start.measured_text(run.data.corpus)}")
            return {"val_loss": loss}
        with handlers_restored():  # not earlier, because launchers send a signal twice
            summary = _fit(run)
        if reason := why_implausible(summary):
            log.warning(f"the validation loss {summary['val_loss']:.4f} is not plausible: {reason}")
        if report:
            report(run, summary)
        return summary


def _fit(run: Run) -> dict[str, Any]:
    """Trains, and returns the summary, which it has written; also writes the summary of a run that fails."""
    try:
        with convert_errors():
            run.trainer.fit(run.module, run.data, ckpt_path=run.start.resume_from, weights_only=True)
    except BaseException as e:
        if isinstance(e, UserError) and run.trainer.global_step <= run.start.step:
            raise
        if run.trainer.global_step >= run.start.step:  # otherwise, the summary would lose what an earlier process did
            write_summary(run, "interrupted" if isinstance(e, Interrupted | KeyboardInterrupt) else "failed")
        code, message = outcome(e) or (1, "")
        if code < 128 and run.folder.last.exists():
            again = f"{installed.command('train')} {argument('resume=', run.folder)}"
            log.info(f"{run.folder.last} is kept; continue with: {again}")
        if code == 2:  # after the first step, an error is a failure of the run, not a mistake in its config
            raise RunFailed(message) from e
        raise
    return write_summary(run, "completed")


@contextmanager
def prepared(composed: Composed) -> Iterator[Run]:
    """Checks a config completely, records it, and yields the parts of the run.

    Raises `UserError` if the config is invalid, or does not fit this machine, the text, an earlier model or the folder.
    """
    folder = RunFolder(composed.run_dir)
    with cleaned_up(folder, composed.started):
        config = parse(composed.config, TrainConfig, composed.choices)
        if config.task == "validate" and folder.occupied:
            config = replace(config, logger={})  # a validation must not replace the log of an earlier run
        machine = Machine.here()
        choice = choose(machine, config.trainer)
        plugins = launcher_plugins(choice.devices, choice.nodes)
        check_fits(config, choice, composed.command)
        set_up_process(choice)

        first = rank_zero_only.rank == 0  # type: ignore[attr-defined]
        resumed = is_resumed(folder.path, folder.overrides_file, composed.resume, first)
        changed = folder.claim(composed, resumed, first)
        run_start = start(config, composed, folder, resumed)
        config, data = run_start.config, run_start.data
        module = run_start.module(composed, choice, data.corpus)

        history = History(composed.started, folder)
        checkpoints = Checkpoints(folder)  # the last callback, because it saves the state of the others
        with convert_errors():
            own = [RestoredCheck(run_start.step), history, SplitCheck(), RngState(), SignalCheckpoint(checkpoints)]
            callbacks = [*own, *(build() for build in config.callbacks.values() if build), checkpoints]
            loggers = [build() for build in config.logger.values() if build]
            last_step = config.trainer.last_step(len(data.corpus.train), config.batch_size)
            trainer = build_trainer(config.trainer, choice, last_step, folder.path, callbacks, loggers, plugins)
        run = Run(config, folder, data, module, trainer, history, machine, choice, run_start)

        if trainer.is_global_zero:
            if resumed:
                new = " with " * bool(changed) + ", ".join(f"{key}={after}" for key, (_, after) in changed.items())
                log.info(f"resuming {folder} at step {run_start.step}{new}")
                for logger in recorders(trainer):  # by the path that the folder has on record, they recognise a copy
                    logger.resume_at(run_start.step)
            if config.task == "fit":
                words = [*composed.context, *composed.overrides]  # they compose the same config again
                folder.record(composed.config, words, run_start.step, changed)
        corpus = data.corpus
        log.info(f"{module.card['about']['name']}: {corpus.name}, {corpus.tokens:,} {corpus.tokenizer.unit}s")
        log.info(f"on {choice}")
        yield run
