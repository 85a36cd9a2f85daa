"""From a checked config to the parts of a run."""

import json
import logging
import subprocess
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from lightning import Trainer, seed_everything
from lightning.pytorch.profilers import Profiler, PyTorchProfiler, SimpleProfiler
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from headscope import checkpoint
from headscope.app.config import TrainConfig
from headscope.data.atomic import clear, read_json, write_atomically
from headscope.data.datamodule import CorpusData
from headscope.data.sources import Corpus
from headscope.errors import UserError
from headscope.model.transformer import LanguageModel
from headscope.sweep.jobs import resuming
from headscope.training.hardware import Choice, Machine, choose
from headscope.training.module import LanguageModule
from headscope.training.ranks import replace_observer
from headscope.watch.board import TensorBoard
from headscope.watch.checkpoints import Checkpoints
from headscope.watch.history import History
from headscope.watch.randomness import Randomness
from headscope.watch.stop import Stop

log = logging.getLogger(__name__)

QUIET = (
    ".*does not have many workers.*",  # a batch is one indexing operation; workers would only copy it
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",  # between Lightning and torch, ours to wait for
    ".*Detected call of `lr_scheduler.step\\(\\)` before.*",  # an fp16 scaler that left out its first step
    ".*recommended to use `self.log\\('val/loss'.*sync_dist.*",  # it is summed over the ranks already
)


@dataclass(frozen=True)
class Run:
    """The parts, put together."""

    config: TrainConfig
    name: str
    data: CorpusData
    corpus: Corpus
    module: LanguageModule
    trainer: Trainer
    history: History
    machine: Machine
    choice: Choice
    resume_from: Path | None  #: a checkpoint to go on from

    @property
    def folder(self) -> Path:
        return Path(self.config.paths.run_dir)


def prepare(config: TrainConfig, composed: DictConfig, started: float) -> Run:
    """Builds everything a run needs; the first thing that cannot work is said before any work.

    Args:
        config: checked.
        composed: the same as Hydra composed it, for the checkpoint.
        started: `time.time()` when the process began.

    Raises:
        UserError: options that do not go together, or with this machine, this corpus or an earlier model.
    """
    _quiet()
    machine, choice = _possible(config)
    resume_from, step = _going_on(config)
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
        earlier.tokenizer if earlier and not resume_from else None,
    )
    corpus = data.corpus
    if earlier and resume_from and not _same_text(earlier, corpus):
        raise UserError(f"{corpus.name} is not the text that {path} was trained on; bring it back, or use init={path}")
    name = config.name if _asked_for(composed, corpus) else f"{config.name}-{corpus.name}"
    seed_everything(config.seed, verbose=False)
    model = config.model(vocab_size=len(corpus.tokenizer))
    if earlier and config.task == "validate":
        model = earlier.model
    elif earlier:
        _take_weights(model, earlier.model, str(path))
    card = checkpoint.card(
        model,
        corpus.tokenizer,
        name=name,
        data={"name": corpus.name, "sha256": corpus.sha256},
        position=HydraConfig.get().runtime.choices["position"],
        commit=commit(),
        overrides=list(HydraConfig.get().overrides.task),
        config=OmegaConf.to_container(composed, resolve=True),
    )
    if config.task == "fit" and not getattr(rank_zero_only, "rank", 0):
        _no_longer_completed(Path(config.paths.run_dir) / "summary.json")
        _record(composed, Path(config.paths.run_dir))
    optimizer = partial(config.optimizer, fused=choice.fused)
    module = LanguageModule(model, optimizer, config.schedule(), card, options.log_every_n_steps, choice.compile)
    history = History(started, Path(config.paths.run_dir))
    trainer = _trainer(config, choice, history)
    if _resuming(Path(config.paths.run_dir)) and trainer.is_global_zero:
        clear(Path(config.paths.run_dir))
        if isinstance(trainer.logger, TensorBoard):
            trainer.logger.resume_at(step)
    return Run(config, name, data, corpus, module, trainer, history, machine, choice, resume_from)


def validate(run: Run) -> float:
    """The loss of the run's model on its validation split, in nats per token."""
    run.trainer.validate(run.module, run.data, verbose=False)
    return run.trainer.callback_metrics["val/loss"].item()


def _quiet() -> None:
    """Leaves what a reader of the log can use."""
    logging.raiseExceptions = False  # a log that finds no room is no reason to print a traceback
    for pattern in QUIET:
        warnings.filterwarnings("ignore", pattern)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if getattr(rank_zero_only, "rank", 0):
        logging.getLogger().setLevel(logging.WARNING)  # one process speaks for all


def _possible(config: TrainConfig) -> tuple[Machine, Choice]:
    """The machine and what to use of it, having tried what can be tried without data."""
    if config.task == "validate" and config.checkpoint is None:
        raise UserError("task=validate needs a model; add checkpoint=outputs/…/checkpoints/best.ckpt")
    try:
        with torch.device("meta"):
            config.model(vocab_size=1)  # costs nothing and finds sizes that do not go together
        config.optimizer(torch.nn.Linear(1, 1))
        machine = Machine.here()
        return machine, choose(machine, config.trainer)
    except ValueError as e:
        raise UserError(str(e)) from e


def _going_on(config: TrainConfig) -> tuple[Path | None, int]:
    """The checkpoint and step to go on from; (None, 0) for a new run, whose folder must hold no other."""
    folder = Path(config.paths.run_dir)
    if _resuming(folder):
        path, step = newest_whole(folder / "checkpoints")
        log.info(f"resuming {folder} at step {step}")
        return path, step
    if folder.resolve() == Path.cwd():
        raise UserError("hydra.run.dir is the current folder; choose one of its own, such as outputs/NAME")
    if config.task == "fit" and ((folder / "summary.json").exists() or (folder / "checkpoints").exists()):
        raise UserError(f"{folder} holds a run already; go on with resume={folder}, or choose another hydra.run.dir")
    return None, 0


def _resuming(folder: Path) -> bool:
    return resuming(folder, ".hydra/overrides.yaml")


def _no_longer_completed(summary: Path) -> None:
    """What an extended run said of itself before is true no more, whatever becomes of it now."""
    if before := read_json(summary):
        write_atomically(summary, json.dumps(before | {"status": "interrupted"}, indent=2).encode())


def _record(composed: DictConfig, folder: Path) -> None:
    """Writes what was composed, and of which overrides, to where Hydra would have: it would not have asked first."""
    overrides = OmegaConf.create(list(HydraConfig.get().overrides.task))
    write_atomically(folder / ".hydra" / "config.yaml", OmegaConf.to_yaml(composed, resolve=True).encode())
    write_atomically(folder / ".hydra" / "overrides.yaml", OmegaConf.to_yaml(overrides).encode())


def _take_weights(model: LanguageModel, earlier: LanguageModel, path: str) -> None:
    """Gives a new model the weights of an earlier one of the same shape."""
    ours, theirs = ({k: tuple(v.shape) for k, v in m.state_dict().items()} for m in (model, earlier))
    for name in ours | theirs:
        here, there = ours.get(name, "absent"), theirs.get(name, "absent")
        if here != there:
            raise UserError(f"{path} does not fit: {name} is {there} there and {here} here; use the same model")
    model.load_state_dict(earlier.state_dict())


def _same_text(earlier: checkpoint.Loaded, corpus: Corpus) -> bool:
    same = earlier.tokenizer.arguments == corpus.tokenizer.arguments
    return same and earlier.about["data"]["sha256"] == corpus.sha256


def newest_whole(folder: Path) -> tuple[Path | None, int]:
    """The newest checkpoint of a run that can be read, and its step; (None, 0) where none was saved yet."""
    for path in (folder / "last.ckpt", folder / "previous.ckpt"):
        if path.exists():
            try:
                return path, int(checkpoint.read(path)["global_step"])
            except (UserError, KeyError, TypeError, ValueError):
                log.warning(f"{path} is damaged; trying the one before")
    return None, 0


def commit() -> str | None:
    """The commit of this source tree, with a + behind it where files differ from it; None outside git."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+", "--match="]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _asked_for(composed: DictConfig, corpus: Corpus) -> bool:
    fallback = OmegaConf.select(composed, "data.fallback")
    return fallback is None or corpus.name != fallback


def _profiler(kind: str | None, folder: Path) -> Profiler | None:
    if kind is None:
        return None
    log.info(f"the profile will lie in {folder}/fit-profile.txt")
    profiler = PyTorchProfiler if kind == "pytorch" else SimpleProfiler
    return profiler(dirpath=folder, filename="profile")


def _trainer(config: TrainConfig, choice: Choice, history: History) -> Trainer:
    options, folder = config.trainer, Path(config.paths.run_dir)
    replace_observer()
    checkpoints = Checkpoints(folder / "checkpoints")
    watching = [build() for build in config.callbacks.values()]
    return Trainer(
        default_root_dir=folder,
        accelerator=choice.accelerator,
        devices=choice.devices,
        num_nodes=options.num_nodes,
        strategy=choice.strategy,
        precision=choice.precision,  # type: ignore[arg-type]
        max_steps=options.max_steps,
        max_epochs=-1,
        val_check_interval=options.val_check_interval * options.accumulate_grad_batches,  # Lightning counts batches
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        gradient_clip_val=options.gradient_clip_val,
        accumulate_grad_batches=options.accumulate_grad_batches,
        logger=config.logger() if config.logger else False,
        callbacks=[history, Randomness(), Stop(checkpoints), *watching, checkpoints],  # it saves the others' state
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        profiler=_profiler(options.profiler, folder),
    )
