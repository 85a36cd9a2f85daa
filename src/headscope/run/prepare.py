"""Builds the parts of a run from its config: hardware, folder, start, data, model, trainer, record."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from lightning import Trainer
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.utilities import rank_zero_only

from headscope.config.composed import Composed
from headscope.config.keys import TrainConfig
from headscope.config.schema import parse
from headscope.data.datamodule import CorpusData
from headscope.data.windows import share
from headscope.errors import UserError
from headscope.files import remove_incomplete
from headscope.run.checkpoints import Checkpoints
from headscope.run.folder import RunFolder
from headscope.run.history import History
from headscope.run.processes import replace_observer
from headscope.run.recorder import recorders
from headscope.run.rng_state import RngState
from headscope.run.signal_checkpoint import SignalCheckpoint
from headscope.run.start import Start, start
from headscope.training.hardware import Choice, Machine, choose
from headscope.training.module import LanguageModule
from headscope.training.trainer import build_trainer, explained, launched

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


def prepare(composed: Composed, folder: RunFolder) -> Run:
    """Builds all parts of a run. Reports every mistake in the config before anything is recorded or trained.

    Raises:
        UserError: see `config.schema.parse`; options that do not fit each other, this machine, this corpus, an earlier
            model, or the folder.
    """
    config, machine = parse(composed.config, TrainConfig, composed.choices), Machine.here()
    choice = choose(machine, config.trainer)
    processes = choice.devices * config.trainer.num_nodes
    if composed.command and processes > 1:
        raise UserError(
            f"{choice.devices} devices take as many processes, which the command line starts:"
            f" {composed.command}; in Python add trainer.devices=1"
        )
    share(config.batch_size, processes)
    plugins = launched(choice.devices, config.trainer.num_nodes)
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    _set_up_process()
    first = not rank_zero_only.rank  # type: ignore[attr-defined]
    resumed = folder.claim(composed.resume, config.task == "fit", first)
    changed = folder.compare(composed.config, composed.overrides) if resumed else {}
    begin = start(config, folder, resumed)
    data = begin.data(config)
    module = begin.module(composed, config, choice, data.corpus)
    history, trainer = _trainer(composed, config, choice, folder, data, plugins)
    if trainer.is_global_zero:
        if config.task == "fit":
            folder.record(composed.config, composed.overrides, begin.step, changed)
        if resumed:
            log.info(f"resuming {folder} at step {begin.step}")
            remove_incomplete(folder.path)
            for recorder in recorders(trainer):
                recorder.resume_at(begin.step)
    log.info(
        f"{module.card['about']['name']}: {data.corpus.name}, {data.corpus.tokens:,} {data.corpus.tokenizer.unit}s"
    )
    log.info(f"on {choice}")
    return Run(config, folder, data, module, trainer, history, machine, choice, begin)


def _set_up_process() -> None:
    """Sets torch's precision, and hides log lines and warnings that do not concern the user."""
    torch.set_float32_matmul_precision("high")
    logging.raiseExceptions = False  # a log file that cannot be written must not print a traceback
    for pattern in QUIET:
        warnings.filterwarnings("ignore", pattern)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        logging.getLogger().setLevel(logging.WARNING)  # only the first process logs


def _trainer(
    composed: Composed,
    config: TrainConfig,
    choice: Choice,
    folder: RunFolder,
    data: CorpusData,
    plugins: Sequence[ClusterEnvironment],
) -> tuple[History, Trainer]:
    """Builds the callbacks, the loggers and Lightning's Trainer.

    Raises:
        UserError: Lightning refuses an option, or a package is missing.
    """
    if choice.devices > 1:
        replace_observer()
    history, checkpoints = History(composed.started, folder), Checkpoints(folder)
    last_step = config.trainer.last_step(len(data.corpus.train), config.batch_size)
    with explained():
        loggers = []
        if config.task == "fit" or not folder.occupied:  # validating in a run's folder must not replace its log
            loggers = [build() for build in config.logger.values() if build]
        watching = [build() for build in config.callbacks.values() if build]
        # `checkpoints` comes last, because it saves the state of the others.
        callbacks = [history, RngState(), SignalCheckpoint(checkpoints), *watching, checkpoints]
        trainer = build_trainer(config.trainer, choice, last_step, folder.path, callbacks, loggers, plugins)
    return history, trainer
