"""Executes one run, from its composed config to its summary. The command line and Python both call `execute`."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_only

from headscope import installed
from headscope.config.composed import Composed
from headscope.config.keys import TrainConfig
from headscope.config.overrides import Changes
from headscope.config.schema import parse
from headscope.errors import Interrupted, RunFailed, UserError
from headscope.files import remove_incomplete
from headscope.run.checkpoints import Checkpoints, RngState, SignalCheckpoint
from headscope.run.fits import Loggers, check_fits
from headscope.run.folder import RunFolder, cleaned_up
from headscope.run.history import History
from headscope.run.plausible import why_implausible
from headscope.run.processes import outcome, replace_observer
from headscope.run.quiet import hide_needless
from headscope.run.recorder import recorders
from headscope.run.resumable import OptimizerCheck
from headscope.run.signals import handlers_restored
from headscope.run.split_check import SplitCheck
from headscope.run.start import SameStart, start
from headscope.run.summary import Run, write_summary
from headscope.shell import argument
from headscope.training.hardware import Choice, Machine, choose
from headscope.training.trainer import build_trainer, convert_errors, launcher_plugins

log = logging.getLogger(__name__)


def execute(composed: Composed, report: Callable[[Run, dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """Checks a config, claims the run's folder, trains, writes the summary, passes it to `report`, and returns it.

    After task=validate the summary contains only `val_loss`, in nats per token, and is not written.

    Raises:
        UserError: `prepared` refused the config; the run leaves no files.
        RunFailed: an expected failure, such as a full disk.
        Interrupted: a signal stopped the run; its checkpoint is saved.
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
        config, machine = parse(composed.config, TrainConfig, composed.choices), Machine.here()
        choice = choose(machine, config.trainer)
        plugins = launcher_plugins(choice.devices, config.trainer.num_nodes)
        first = not rank_zero_only.rank  # type: ignore[attr-defined]
        # A validation in the folder of an earlier run must not replace that run's log.
        loggers: Loggers = config.logger if config.task == "fit" or not folder.occupied else {}
        check_fits(config, choice, loggers if first else {}, composed.command)
        _set_up_process(config, choice)
        resumed = folder.claim(composed.resume, config.task == "fit", first)
        changed = folder.compare(composed.config, composed.overrides) if resumed else {}
        run_start = start(config, composed, folder, resumed)
        config, data = run_start.config, run_start.data
        module = run_start.module(composed, choice, data.corpus)
        history = History(composed.started, folder)
        own = [SameStart(run_start), OptimizerCheck(), history]
        trainer = _build_trainer(config, choice, folder, own, loggers, len(data.corpus.train), plugins)
        run = Run(config, folder, data, module, trainer, history, machine, choice, run_start)
        if trainer.is_global_zero:
            _record(run, composed, changed, resumed)
        corpus = data.corpus
        log.info(f"{module.card['about']['name']}: {corpus.name}, {corpus.tokens:,} {corpus.tokenizer.unit}s")
        log.info(f"on {choice}")
        yield run


def _set_up_process(config: TrainConfig, choice: Choice) -> None:
    """Sets torch's threads and precision, what this process logs, and how its ranks end together."""
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    torch.set_float32_matmul_precision("high")
    hide_needless()
    if choice.devices > 1:
        replace_observer()


def _build_trainer(
    config: TrainConfig,
    choice: Choice,
    folder: RunFolder,
    own: Sequence[Any],
    loggers: Loggers,
    windows: int,
    plugins: Sequence[Any],
) -> Trainer:
    """Returns the Trainer with the callbacks of the config; `windows` is the size of the training set."""
    last_step = config.trainer.last_step(windows, config.batch_size)
    with convert_errors():
        configured = [build() for build in config.callbacks.values() if build]
        checkpoints = Checkpoints(folder)  # the last callback, because it saves the state of the others
        callbacks = [*own, SplitCheck(), RngState(), SignalCheckpoint(checkpoints), *configured, checkpoints]
        built = [build() for build in loggers.values() if build]
        return build_trainer(config.trainer, choice, last_step, folder.path, callbacks, built, plugins)


def _record(run: Run, composed: Composed, changed: Changes, resumed: bool) -> None:
    """Records the config in the run's folder, and prepares the folder and the loggers of a resumed run."""
    if resumed:
        new = ", ".join(f"{key}={after}" for key, (_, after) in changed.items())
        log.info(f"resuming {run.folder} at step {run.start.step}" + (f" with {new}" if new else ""))
        remove_incomplete(run.folder.path)
        for logger in recorders(run.trainer):
            logger.resume_at(run.start.step)  # before the folder's own path is recorded, which a copy does not have yet
    if run.config.task == "fit":
        run.folder.record(composed.config, composed.recorded, run.start.step, changed)
