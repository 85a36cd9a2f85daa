"""Executes one run, from its composed config to its summary. The command line and Python both call `execute`."""

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_only

from headscope import installed
from headscope.config.composed import Composed
from headscope.config.keys import TrainConfig
from headscope.config.overrides import Changes
from headscope.config.schema import parse
from headscope.data.datamodule import CorpusData
from headscope.data.windows import check_divisible
from headscope.errors import Interrupted, RunFailed, UserError
from headscope.files import remove_incomplete, write_json
from headscope.run.checkpoints import Checkpoints, RngState, SignalCheckpoint
from headscope.run.folder import RunFolder, State, cleaned_up
from headscope.run.history import History
from headscope.run.memory import refuse_too_large
from headscope.run.processes import outcome, replace_observer
from headscope.run.recorder import SummaryCallback, recorders
from headscope.run.start import Start, start
from headscope.shell import argument
from headscope.training.hardware import Choice, Machine, choose
from headscope.training.module import LanguageModule
from headscope.training.trainer import build_trainer, convert_errors, launcher_plugins

log = logging.getLogger(__name__)

#: Warnings from Lightning and torch that do not concern the user.
IGNORED_WARNINGS = (
    ".*does not have many workers.*",  # no workers are needed, because one indexing operation makes a batch
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",  # Lightning, not Headscope, makes this call
    ".*`broadcast_buffers` is deprecated.*",  # the oldest supported torch has only this option
    ".*Detected call of `lr_scheduler.step\\(\\)` before.*",  # with fp16, the gradient scaler may skip the first step
    ".*recommended to use `self.log\\('val/.*sync_dist.*",  # both metrics are already summed over the ranks
    ".*callbacks used to create the checkpoint need to be provided.*",  # the run records which ones were removed
    ".*is smaller than the logging interval.*",  # our interval counts the steps of all epochs
)


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
            run.trainer.validate(run.module, run.data, verbose=False)
            loss = run.trainer.callback_metrics["val/loss"].item()
            log.info(f"val/loss {loss:.4f} nats per {run.data.corpus.tokenizer.unit}")
            return {"val_loss": loss}
        try:
            with convert_errors():
                run.trainer.fit(run.module, run.data, ckpt_path=run.start.resume_from, weights_only=True)
        except BaseException as e:
            if isinstance(e, UserError) and run.trainer.global_step == run.start.step:
                raise
            write_summary(run, "interrupted" if isinstance(e, Interrupted) else "failed")
            code, message = outcome(e) or (1, "")
            if code < 128 and run.folder.last.exists():
                again = f"{installed.command('train')} {argument('resume=', run.folder)}"
                log.info(f"{run.folder.last} is kept; continue with: {again}")
            if code == 2:  # after the first step, an error is a failure of the run, not a mistake in its config
                raise RunFailed(message) from e
            raise
        summary = write_summary(run, "completed")
        if report:
            report(run, summary)
        return summary


@contextmanager
def prepared(composed: Composed) -> Iterator[Run]:
    """Checks a config completely, records it, and yields the parts of the run.

    Raises `UserError` if the config is invalid, or does not fit this machine, the text, an earlier model or the folder.
    """
    folder = RunFolder(composed.run_dir)
    with cleaned_up(folder, composed.started):
        config, machine = parse(composed.config, TrainConfig, composed.choices), Machine.here()
        choice = choose(machine, config.trainer)
        _check_processes(composed, config, choice)
        refuse_too_large(config, choice)
        plugins = launcher_plugins(choice.devices, config.trainer.num_nodes)
        _set_up_process(config, choice)
        first = not rank_zero_only.rank  # type: ignore[attr-defined]
        resumed = folder.claim(composed.resume, config.task == "fit", first)
        changed = folder.compare(composed.config, composed.overrides) if resumed else {}
        run_start = start(config, folder, resumed)
        data = run_start.data(config)
        refuse_too_large(config, choice, len(data.corpus.tokenizer))
        module = run_start.module(composed, config, choice, data.corpus)
        history = History(composed.started, folder)
        trainer = _build_trainer(config, choice, folder, history, len(data.corpus.train), plugins)
        run = Run(config, folder, data, module, trainer, history, machine, choice, run_start)
        if trainer.is_global_zero:
            _record(run, composed, changed, resumed)
        corpus = data.corpus
        log.info(f"{module.card['about']['name']}: {corpus.name}, {corpus.tokens:,} {corpus.tokenizer.unit}s")
        log.info(f"on {choice}")
        yield run


def _check_processes(composed: Composed, config: TrainConfig, choice: Choice) -> None:
    """Raises `UserError` if the run needs several processes but cannot start them or divide its batch among them."""
    processes = choice.devices * config.trainer.num_nodes
    if composed.command and processes > 1:
        needed = f"{choice.devices} devices need one process each, and only the command line can start them"
        raise UserError(f"{needed}: {composed.command}; in Python, add trainer.devices=1")
    check_divisible(config.batch_size, processes)


def _set_up_process(config: TrainConfig, choice: Choice) -> None:
    """Sets torch's threads and precision, and hides log lines and warnings that do not concern the user."""
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    torch.set_float32_matmul_precision("high")
    logging.raiseExceptions = False  # a log file that cannot be written must not print a traceback
    for pattern in IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", pattern)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        logging.getLogger().setLevel(logging.WARNING)  # only the first process logs
    if choice.devices > 1:
        replace_observer()


def _build_trainer(
    config: TrainConfig, choice: Choice, folder: RunFolder, history: History, windows: int, plugins: Sequence[Any]
) -> Trainer:
    """Returns the Trainer with the callbacks and loggers of the config; `windows` is the size of the training set."""
    last_step = config.trainer.last_step(windows, config.batch_size)
    with convert_errors():
        # A validation in the folder of an earlier run must not replace that run's log.
        writes_log = config.task == "fit" or not folder.occupied
        loggers = [build() for build in config.logger.values() if build] if writes_log else []
        configured = [build() for build in config.callbacks.values() if build]
        checkpoints = Checkpoints(folder)  # the last callback, because it saves the state of the others
        callbacks = [history, RngState(), SignalCheckpoint(checkpoints), *configured, checkpoints]
        return build_trainer(config.trainer, choice, last_step, folder.path, callbacks, loggers, plugins)


def _record(run: Run, composed: Composed, changed: Changes, resumed: bool) -> None:
    """Records the config in the run's folder, and prepares the folder and the loggers of a resumed run."""
    if run.config.task == "fit":
        run.folder.record(composed.config, composed.recorded, run.start.step, changed)
    if resumed:
        log.info(f"resuming {run.folder} at step {run.start.step}")
        remove_incomplete(run.folder.path)
        for logger in recorders(run.trainer):
            logger.resume_at(run.start.step)


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
