"""From a checked config to the parts of a run."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from headscope import checkpoint
from headscope.config.changes import changes
from headscope.config.keys import TrainConfig
from headscope.config.leaves import as_typed
from headscope.config.schema import parse
from headscope.data.corpus import Corpus
from headscope.data.datamodule import CorpusData
from headscope.data.windows import share
from headscope.errors import UserError
from headscope.files import remove_incomplete, write_json
from headscope.heads.probes import LONGEST, TEXTS
from headscope.installed import commit
from headscope.run.checkpoints import Checkpoints
from headscope.run.folder import RunFolder
from headscope.run.history import History
from headscope.run.processes import replace_observer
from headscope.run.recorder import recorders
from headscope.run.rng_state import RngState
from headscope.run.signal_checkpoint import SignalCheckpoint
from headscope.run.start import Start, start
from headscope.shell import argument
from headscope.training.hardware import Choice, Machine, choose
from headscope.training.module import LanguageModule
from headscope.training.trainer import build_trainer, explained, launched

log = logging.getLogger(__name__)

QUIET = (
    ".*does not have many workers.*",  # a batch is one indexing operation; workers would only copy it
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",  # between Lightning and torch
    ".*`broadcast_buffers` is deprecated.*",  # the older torch that is allowed has no other name for it
    ".*Detected call of `lr_scheduler.step\\(\\)` before.*",  # an fp16 scaler that skipped its first step
    ".*recommended to use `self.log\\('val/.*sync_dist.*",  # both metrics are summed over the ranks already
    ".*is smaller than the logging interval.*",  # steps are logged across Lightning's epochs
)


@dataclass(frozen=True)
class Composed:
    """How a config came about: plain data, recorded in the run's folder and its checkpoints.

    Args:
        config: every key, resolved.
        overrides: what was typed.
        choices: the option of each group.
        started: `time.monotonic()` when the process began.
    """

    config: dict[str, Any]
    overrides: list[str]
    choices: Mapping[str, Any]
    started: float


@dataclass(frozen=True)
class Run:
    """The parts, put together."""

    config: TrainConfig
    folder: RunFolder
    data: CorpusData
    module: LanguageModule
    trainer: Trainer
    history: History
    machine: Machine
    choice: Choice
    start: Start


def prepare(composed: Composed) -> Run:
    """Builds everything a run needs. Whatever cannot work is reported before anything is recorded or trained.

    Raises:
        UserError: see `config.schema.parse`; options that do not fit each other, this machine, this corpus, an earlier
            model, or the folder.
    """
    config, machine = parse(composed.config, TrainConfig, composed.choices), Machine.here()
    choice = choose(machine, config.trainer)
    share(config.batch_size, choice.devices * config.trainer.num_nodes)
    plugins = launched(choice.devices, config.trainer.num_nodes)
    _quiet()
    folder, loggers = _claimed(config)
    begin = start(config, folder)
    changed = _changes(folder, composed, config, begin.step) if folder.resuming else {}
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    torch.set_float32_matmul_precision("high")
    data = _data(config, begin)
    corpus = data.corpus
    seed_everything(config.seed, verbose=False)
    model = begin.model(config, len(corpus.tokenizer))
    if choice.precision == "64-true":
        model.double()  # Lightning restores a checkpoint before it does so, and would round the weights
    fell_back = corpus.name == composed.config["data"].get("fallback")  # the one asked for could not be had
    card = checkpoint.card(
        model,
        corpus.tokenizer,
        name=f"{config.name}-{corpus.name}" if fell_back else config.name,
        data={"name": corpus.name, "sha256": corpus.sha256},
        passages=_probe_texts(corpus, begin),
        position=composed.choices["position"],
        commit=commit(),
        overrides=composed.overrides,
        config=composed.config,
    )
    module = LanguageModule(
        model,
        lambda model: config.optimizer(model, choice.fused),
        config.schedule(),
        card,
        config.trainer.log_every_n_steps,
        choice.compile,
    )
    history, checkpoints = History(composed.started, folder), Checkpoints(folder)
    last_step = config.trainer.last_step(len(corpus.train), config.batch_size)
    if choice.devices > 1:
        replace_observer()
    with explained():
        watching = [build() for build in config.callbacks.values() if build]
        callbacks = [
            history,
            RngState(),
            SignalCheckpoint(checkpoints),
            *watching,
            checkpoints,
        ]  # the last saves their state
        trainer = build_trainer(config.trainer, choice, last_step, folder.path, callbacks, loggers, plugins)
    if trainer.is_global_zero:
        if config.task == "fit":
            if before := folder.summary():  # an extended run is interrupted until it completes again
                write_json(folder.summary_file, before | {"status": "interrupted"})
            folder.record_changes(begin.step, changed)
            folder.record(composed.config, composed.overrides)
        if folder.resuming:
            log.info(f"resuming {folder} at step {begin.step}")
            remove_incomplete(folder.path)
            for recorder in recorders(trainer):
                recorder.resume_at(begin.step)
    log.info(f"{card['about']['name']}: {corpus.name}, {corpus.tokens:,} {corpus.tokenizer.unit}s")
    log.info(f"on {choice}")
    return Run(config, folder, data, module, trainer, history, machine, choice, begin)


def _quiet() -> None:
    """Hides what a reader of the log cannot use."""
    logging.raiseExceptions = False  # a log that cannot be written is no reason to print a traceback
    for pattern in QUIET:
        warnings.filterwarnings("ignore", pattern)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        logging.getLogger().setLevel(logging.WARNING)  # one process speaks for all


def _claimed(config: TrainConfig) -> tuple[RunFolder, list[Logger]]:
    """The run's folder, owned by this process if it is the first, and what logs into it.

    Raises:
        UserError: a new run needs a folder of its own, and each logger its package.
    """
    folder, fit = RunFolder(config.paths.run_dir), config.task == "fit"
    if not folder.resuming:
        if folder.path.resolve() == Path.cwd():
            raise UserError("hydra.run.dir is the current folder; choose one of its own, such as outputs/NAME")
        if fit and folder.occupied:
            again = argument("resume=", folder)
            raise UserError(f"{folder} holds a run already; resume it with {again}, or choose another folder")
    loggers = []
    if fit or not folder.occupied:  # validating in a run's folder must not replace what was logged there
        loggers = [build() for build in config.logger.values() if build]
    if fit and not rank_zero_only.rank:  # type: ignore[attr-defined]
        folder.lock.acquire()
    return folder, loggers


def _changes(folder: RunFolder, composed: Composed, config: TrainConfig, step: int) -> dict[str, tuple[str, str]]:
    """What this resume changes, by key.

    Raises:
        UserError: a change that cannot take effect any more, or fewer steps than were done.
    """
    if step > config.trainer.max_steps:
        raise UserError(f"trainer.max_steps={config.trainer.max_steps}, but {folder} has done {step} steps; give more")
    known = set(folder.overrides())
    typed = [o.partition("=")[0].lstrip("+~") for o in composed.overrides if o not in known]
    return changes(folder.config(), as_typed(composed.config), typed)


def _probe_texts(corpus: Corpus, begin: Start) -> list[list[int]]:
    """The texts on which every command describes the heads of this run; a resumed run keeps those of its checkpoint."""
    kept = begin.earlier.about.get("passages") if begin.earlier and begin.resume_from else None
    return kept or corpus.passages(TEXTS, LONGEST).tolist()


def _data(config: TrainConfig, begin: Start) -> CorpusData:
    """The corpus in batches.

    Raises:
        UserError: see `Source.load`; it is not the text that the run to resume was trained on.
    """
    earlier, block_size = begin.earlier, config.model.keywords["block_size"]  # type: ignore[attr-defined]
    data = CorpusData(
        config.data(),
        earlier.model.block_size if earlier and config.task == "validate" else block_size,
        config.batch_size,
        config.trainer.accumulate_grad_batches,
        config.seed,
        config.same_batch,
        earlier.tokenizer if earlier else None,
    )
    if begin.resume_from and earlier and earlier.about["data"]["sha256"] != data.corpus.sha256:
        path, again = begin.path, argument("init=", begin.path)
        raise UserError(f"{data.corpus.name} is not the text that {path} was trained on; restore it, or use {again}")
    return data
