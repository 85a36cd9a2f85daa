"""One run from its composed config to its summary. The command line and Python both call `execute`.

It builds the parts of the run: hardware, folder, start, data, model, trainer, record. Then it trains or validates.
"""

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_only

from headscope import installed
from headscope.config.composed import Composed
from headscope.config.keys import TrainConfig
from headscope.config.schema import parse
from headscope.data.datamodule import CorpusData
from headscope.errors import Interrupted, RunFailed, UserError
from headscope.files import remove_incomplete, write_json
from headscope.run.checkpoints import Checkpoints, RngState, SignalCheckpoint
from headscope.run.folder import RunFolder, State, cleaned_up
from headscope.run.history import History
from headscope.run.processes import outcome, replace_observer
from headscope.run.recorder import Recorder, SummaryCallback
from headscope.run.start import Start, start
from headscope.shell import argument
from headscope.training.hardware import Choice, Machine, choose
from headscope.training.module import LanguageModule
from headscope.training.trainer import build_trainer, convert_errors, launcher_plugins

log = logging.getLogger(__name__)

#: Warnings of Lightning and torch that do not concern the user.
QUIET = (
    ".*does not have many workers.*",  # a batch is one indexing operation; workers would only copy it
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",  # between Lightning and torch
    ".*`broadcast_buffers` is deprecated.*",  # the oldest torch that we support has no other name for it
    ".*Detected call of `lr_scheduler.step\\(\\)` before.*",  # an fp16 scaler that skipped its first step
    ".*recommended to use `self.log\\('val/.*sync_dist.*",  # both metrics are summed over the ranks already
    ".*is smaller than the logging interval.*",  # steps are logged across Lightning's epochs
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
    """Checks a config, claims the run's folder, trains, writes the summary, calls `report` with it, and returns it.

    After task=validate the summary contains only `val_loss`, in nats per token, and is not written.

    Raises:
        UserError: as `prepared` does; the run leaves no files.
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
            if code == 2:  # after the first step an error is a failure of the run, not a mistake in its config
                raise RunFailed(message) from e
            raise
        summary = write_summary(run, "completed")
        if report:
            report(run, summary)
        return summary


@contextmanager
def prepared(composed: Composed) -> Iterator[Run]:
    """Yields the parts of a run; reports every mistake in the config before anything is recorded or trained.

    Raises:
        UserError: the config is invalid, or does not fit this machine, the corpus, an earlier model or the folder.
    """
    folder = RunFolder(composed.config["paths"]["run_dir"])
    with cleaned_up(folder, composed.started):
        config, machine = parse(composed.config, TrainConfig, composed.choices), Machine.here()
        choice = choose(machine, config.trainer)
        processes = choice.devices * config.trainer.num_nodes
        if composed.command and processes > 1:
            several = f"{choice.devices} devices take as many processes, which the command line starts"
            raise UserError(f"{several}: {composed.command}; in Python add trainer.devices=1")
        if config.batch_size % processes:
            share = f"batch_size={config.batch_size} cannot be shared by {processes} processes"
            raise UserError(f"{share}; use a multiple of {processes}")
        plugins = launcher_plugins(choice.devices, config.trainer.num_nodes)
        if config.trainer.threads is not None:
            torch.set_num_threads(config.trainer.threads)
        set_up_process()
        if choice.devices > 1:
            replace_observer()
        is_training = config.task == "fit"
        first = not rank_zero_only.rank  # type: ignore[attr-defined]
        resumed = folder.claim(composed.resume, is_training, first)
        changed = folder.compare(composed.config, composed.overrides) if resumed else {}
        begin = start(config, folder, resumed)
        data = begin.data(config)
        module = begin.module(composed, config, choice, data.corpus)
        history, checkpoints = History(composed.started, folder), Checkpoints(folder)
        last_step = config.trainer.last_step(len(data.corpus.train), config.batch_size)
        with convert_errors():
            # Validating in the folder of a run must not replace its log.
            loggers = [b() for b in config.logger.values() if b] if is_training or not folder.occupied else []
            watching = [build() for build in config.callbacks.values() if build]
            # `checkpoints` comes last, because it saves the state of the others.
            callbacks = [history, RngState(), SignalCheckpoint(checkpoints), *watching, checkpoints]
            trainer = build_trainer(config.trainer, choice, last_step, folder.path, callbacks, loggers, plugins)
        if trainer.is_global_zero and is_training:
            folder.record(composed.config, composed.overrides, begin.step, changed)
        if trainer.is_global_zero and resumed:
            log.info(f"resuming {folder} at step {begin.step}")
            remove_incomplete(folder.path)
            for logger in trainer.loggers:
                if isinstance(logger, Recorder):
                    logger.resume_at(begin.step)
        corpus = data.corpus
        log.info(f"{module.card['about']['name']}: {corpus.name}, {corpus.tokens:,} {corpus.tokenizer.unit}s")
        log.info(f"on {choice}")
        yield Run(config, folder, data, module, trainer, history, machine, choice, begin)


def set_up_process() -> None:
    """Sets torch's precision, and hides log lines and warnings that do not concern the user."""
    torch.set_float32_matmul_precision("high")
    logging.raiseExceptions = False  # a log file that cannot be written must not print a traceback
    for pattern in QUIET:
        warnings.filterwarnings("ignore", pattern)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        logging.getLogger().setLevel(logging.WARNING)  # only the first process logs


def write_summary(run: Run, status: State) -> dict[str, Any]:
    """Writes `summary.json` into the run's folder, from rank 0, and returns its content."""
    summary = summarise(run, status)
    if run.trainer.is_global_zero:
        try:
            if run.folder.started:  # otherwise the folder was removed, which has been reported
                write_json(run.folder.summary_file, summary)
        except (RunFailed, UserError) as e:
            if status != "failed":
                raise
            log.warning("%s", e)  # the run's own failure is reported instead
    return summary


def summarise(run: Run, status: State) -> dict[str, Any]:
    """Returns the summary: losses in nats per token, times in seconds, and the origin of the run."""
    about, corpus = run.module.card["about"], run.data.corpus
    history, seconds = run.history.history, run.history.train_seconds
    losses = [h["val_loss"] for h in history]
    last = losses[-1] if losses else None
    x, _ = corpus.train.stream(0, range(1), run.data.block_size)  # (1, T or a sentence)
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
