"""From a checked config to the parts of a run."""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.utilities import rank_zero_only

from headscope import checkpoint
from headscope.data.corpus import Corpus
from headscope.data.datamodule import CorpusData
from headscope.errors import UserError
from headscope.files import remove_incomplete
from headscope.model.transformer import LanguageModel
from headscope.run.changes import changes
from headscope.run.commit import commit
from headscope.run.config import TrainConfig
from headscope.run.folder import RunFolder, flat
from headscope.run.history import History
from headscope.run.recorder import recorders
from headscope.run.trainer import build_trainer
from headscope.training.hardware import Choice, Machine, choose
from headscope.training.module import LanguageModule

log = logging.getLogger(__name__)

QUIET = (
    ".*does not have many workers.*",  # a batch is one indexing operation; workers would only copy it
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",  # between Lightning and torch
    ".*Detected call of `lr_scheduler.step\\(\\)` before.*",  # an fp16 scaler that skipped its first step
    ".*recommended to use `self.log\\('val/loss'.*sync_dist.*",  # it is summed over the ranks already
    ".*is smaller than the logging interval.*",  # steps are logged across Lightning's epochs
)


@dataclass(frozen=True)
class Composed:
    """How a config came about: plain data, recorded in the run's folder and its checkpoints.

    Args:
        config: every key, resolved.
        overrides: what was typed.
        position: the option's name.
        started: `time.time()` when the process began.
    """

    config: dict[str, Any]
    overrides: list[str]
    position: str
    started: float


@dataclass(frozen=True)
class Run:
    """The parts, put together."""

    config: TrainConfig
    composed: Composed
    name: str
    folder: RunFolder
    data: CorpusData
    corpus: Corpus
    module: LanguageModule
    trainer: Trainer
    history: History
    machine: Machine
    choice: Choice
    resume_from: Path | None  #: the checkpoint to continue from


def prepare(config: TrainConfig, composed: Composed) -> Run:
    """Builds everything a run needs. Whatever cannot work is reported before anything is written or trained.

    Args:
        config: checked.
        composed: where it came from.

    Raises:
        UserError: options that do not fit each other, this machine, this corpus, an earlier model, or the folder.
    """
    _quiet()
    machine, choice = _possible(config)
    folder = RunFolder(config.paths.run_dir)
    fit, main_process = config.task == "fit", not getattr(rank_zero_only, "rank", 0)
    _refuse_occupied(folder, fit)
    loggers = []
    if fit or not folder.occupied:  # validating in a run's folder must not replace what was logged there
        loggers = [build() for build in config.logger.values() if build]  # before any work: one may not be installed
    if fit and main_process:
        folder.lock.acquire()
    resume_from, step = newest_whole(folder) if folder.resuming else (None, 0)
    changed = _changes(folder, composed, config, step) if folder.resuming else {}
    options = config.trainer
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high")

    path = resume_from or (config.checkpoint if config.task == "validate" else config.init)
    earlier = checkpoint.load(path) if path is not None else None
    block_size = config.model.keywords["block_size"]  # type: ignore[attr-defined]
    data = CorpusData(
        config.data(),
        earlier.model.block_size if earlier and config.task == "validate" else block_size,
        config.batch_size,
        options.accumulate_grad_batches,
        config.seed,
        config.same_batch,
        earlier.tokenizer if earlier else None,
    )
    corpus = data.corpus
    if earlier and resume_from and not _same_text(earlier, corpus):
        raise UserError(f"{corpus.name} is not the text that {path} was trained on; restore it, or use init={path}")
    name = config.name if _asked_for(composed, corpus) else f"{config.name}-{corpus.name}"
    seed_everything(config.seed, verbose=False)
    model = config.model(len(corpus.tokenizer))
    if earlier and config.task == "validate":
        model = earlier.model
    elif earlier:
        _take_weights(model, earlier.model, str(path))
    if choice.precision == "64-true":
        model.double()  # Lightning restores a checkpoint before it does so, and would round the weights
    card = checkpoint.card(
        model,
        corpus.tokenizer,
        name=name,
        data={"name": corpus.name, "sha256": corpus.sha256},
        passages=corpus.passages().tolist(),  # so that the heads can be looked at where the text is not
        position=composed.position,
        commit=commit(),
        overrides=composed.overrides,
        config=composed.config,
    )
    if fit and main_process:
        _no_longer_completed(folder)
        folder.record_changes(step, changed)
        folder.record(composed.config, composed.overrides)
    module = LanguageModule(
        model,
        lambda model: config.optimizer(model, choice.fused),
        config.schedule(),
        card,
        options.log_every_n_steps,
        choice.compile,
    )
    history = History(composed.started, folder)
    trainer = build_trainer(config, choice, len(corpus.train), folder, history, loggers)
    if folder.resuming and trainer.is_global_zero:
        log.info(f"resuming {folder} at step {step}")
        remove_incomplete(folder.path)
        for recorder in recorders(trainer):
            recorder.resume_at(step)
    return Run(config, composed, name, folder, data, corpus, module, trainer, history, machine, choice, resume_from)


def validate(run: Run) -> float:
    """The loss of the run's model on its validation split, in nats per token."""
    run.trainer.validate(run.module, run.data, verbose=False)
    return run.trainer.callback_metrics["val/loss"].item()


def _quiet() -> None:
    """Hides what a reader of the log cannot use."""
    logging.raiseExceptions = False  # a log that cannot be written is no reason to print a traceback
    for pattern in QUIET:
        warnings.filterwarnings("ignore", pattern)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if getattr(rank_zero_only, "rank", 0):
        logging.getLogger().setLevel(logging.WARNING)  # one process speaks for all


def _possible(config: TrainConfig) -> tuple[Machine, Choice]:
    """The machine and what to use of it, after trying what can be tried without data."""
    if config.task == "validate" and config.checkpoint is None:
        raise UserError("task=validate needs a model; add checkpoint=outputs/…/checkpoints/best.ckpt")
    try:
        with torch.device("meta"):
            config.model(1)  # costs nothing and finds sizes that do not fit each other
        config.optimizer(torch.nn.Linear(1, 1), False)
        machine = Machine.here()
        return machine, choose(machine, config.trainer)
    except ValueError as e:
        raise UserError(str(e)) from e


def _refuse_occupied(folder: RunFolder, fit: bool) -> None:
    """A new run needs a folder of its own."""
    if folder.resuming:
        return
    if folder.path.resolve() == Path.cwd():
        raise UserError("hydra.run.dir is the current folder; choose one of its own, such as outputs/NAME")
    if fit and folder.occupied:
        raise UserError(f"{folder} holds a run already; resume it with resume={folder}, or choose another folder")


def _changes(folder: RunFolder, composed: Composed, config: TrainConfig, step: int) -> dict[str, tuple[str, str]]:
    """What this resume changes, by key.

    Raises:
        UserError: a change that cannot take effect any more, or fewer steps than were done.
    """
    if step > config.trainer.max_steps:
        raise UserError(f"trainer.max_steps={config.trainer.max_steps}, but {folder} has done {step} steps; give more")
    known = set(folder.overrides())
    typed = [o.partition("=")[0].lstrip("+~") for o in composed.overrides if o not in known]
    return changes(folder.config(), flat(composed.config), typed)


def _no_longer_completed(folder: RunFolder) -> None:
    """An extended run is interrupted until it completes again, whatever happens to it now."""
    if before := folder.summary():
        folder.write_summary(before | {"status": "interrupted"})


def _take_weights(model: LanguageModel, earlier: LanguageModel, path: str) -> None:
    """Copies the weights of an earlier model into a new one of the same shape."""
    ours, theirs = ({k: tuple(v.shape) for k, v in m.state_dict().items()} for m in (model, earlier))
    for name in ours | theirs:
        here, there = ours.get(name, "absent"), theirs.get(name, "absent")
        if here != there:
            raise UserError(f"{path} does not fit: {name} is {there} there and {here} here; use the same model")
    model.load_state_dict(earlier.state_dict())


def _same_text(earlier: checkpoint.Loaded, corpus: Corpus) -> bool:
    return bool(earlier.about["data"]["sha256"] == corpus.sha256)


def newest_whole(folder: RunFolder) -> tuple[Path | None, int]:
    """The newest checkpoint of a run that can be read, and its step; (None, 0) if none was saved yet."""
    for path in (folder.last, folder.previous):
        if path.exists():
            try:
                return path, int(checkpoint.read(path)["global_step"])
            except (UserError, KeyError, TypeError, ValueError):
                log.warning(f"{path} is damaged; trying the one before")
    return None, 0


def _asked_for(composed: Composed, corpus: Corpus) -> bool:
    """Whether the corpus is the one that was asked for, not its fallback."""
    fallback = composed.config["data"].get("fallback")
    return fallback is None or corpus.name != fallback
