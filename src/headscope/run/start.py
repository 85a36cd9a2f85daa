"""Where a run starts: from random weights, from its own last checkpoint, or from the weights of another run.

The data and the model are built here too, because a checkpoint determines the tokenizer and the weights.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch.distributed as dist
from lightning import Trainer, seed_everything

from headscope import checkpoint
from headscope.config.composed import Composed
from headscope.config.keys import TrainConfig
from headscope.data.corpus import Corpus, TextSource
from headscope.data.datamodule import CorpusData
from headscope.errors import RunFailed, UserError
from headscope.heads.probes import LONGEST, TEXTS
from headscope.installed import commit
from headscope.model.transformer import LanguageModel
from headscope.run.folder import RunFolder
from headscope.shell import argument
from headscope.training.hardware import Choice
from headscope.training.module import Callback, LanguageModule

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """The checkpoint that a run starts from, if any."""

    step: int = 0  #: the number of completed steps; 0 for a new run
    path: Path | None = None  #: the path of the checkpoint
    earlier: checkpoint.Loaded | None = None  #: the model and the tokenizer in the checkpoint
    resume_from: Path | None = None  #: `path` if the run restores its whole state from it; None otherwise

    def data(self, config: TrainConfig) -> CorpusData:
        """Returns the corpus in batches; raises `UserError` if the resumed run was trained on another text."""
        earlier = self.earlier
        data = CorpusData(
            config.data(),
            (earlier.model if earlier and config.task == "validate" else config.meta_model).block_size,
            config.batch_size,
            config.trainer.accumulate_grad_batches,
            config.seed,
            config.same_batch,
            earlier.tokenizer if earlier else None,
        )
        if self.resume_from and earlier and earlier.about["data"].get("sha256") != data.corpus.sha256:
            differs = f"{data.corpus.name} is not the text that {self.path} was trained on"
            init = argument("init=", self.path)
            raise UserError(f"{differs}; restore the original text, or start a new run with {init}")
        return data

    def module(self, composed: Composed, config: TrainConfig, choice: Choice, corpus: Corpus) -> LanguageModule:
        """Returns the training module with the model; if there is a checkpoint, the model has its weights."""
        seed_everything(config.seed, verbose=False)
        model = self._model(config, len(corpus.tokenizer))
        if choice.precision == "64-true":
            model.double()  # Lightning converts the model only after it restores the weights, which rounds them to fp32
        fell_back = corpus.name == composed.config["data"].get("fallback")  # the requested corpus was unavailable
        # A resumed run keeps its probe texts, so that every command describes the heads on the same texts.
        kept = self.earlier.about.get("passages") if self.earlier and self.resume_from else None
        card = checkpoint.card(
            model,
            corpus.tokenizer,
            name=f"{config.name}-{corpus.name}" if fell_back else config.name,
            data={"name": corpus.name, "sha256": corpus.sha256},
            passages=kept or corpus.passages(TEXTS, LONGEST).tolist(),
            position=composed.choices["position"],
            commit=commit(),
            overrides=composed.overrides,
            config=composed.config,
        )
        return LanguageModule(
            model,
            lambda model: config.optimizer(model, choice.fused),
            config.schedule(),
            card,
            config.trainer.log_every_n_steps,
            choice.compile,
        )

    def _model(self, config: TrainConfig, vocab_size: int) -> LanguageModel:
        """Returns the model; raises `UserError` if the checkpoint's weights have other shapes."""
        if self.earlier is None:
            return config.model(vocab_size)
        if config.task == "validate":
            return self.earlier.model
        model, weights = config.model(vocab_size), self.earlier.model.state_dict()
        ours, theirs = ({k: tuple(v.shape) for k, v in state.items()} for state in (model.state_dict(), weights))
        if wrong := next((name for name in ours | theirs if ours.get(name) != theirs.get(name)), None):
            sizes = f"{theirs.get(wrong, 'absent')} in the checkpoint and {ours.get(wrong, 'absent')} in this model"
            raise UserError(f"{self.path} does not fit: {wrong} is {sizes}; set model.* as in that run")
        model.load_state_dict(weights)
        if differences := checkpoint.differences(self.earlier.model, model):
            log.warning(f"{self.path} was trained with {differences}")
        return model


class SameStart(Callback):
    """Raises RunFailed in all processes of a run if they start at different steps, which would hang later."""

    def __init__(self, begin: Start) -> None:
        self.begin = begin

    def setup(self, trainer: Trainer, module: LanguageModule, stage: str) -> None:
        if trainer.world_size == 1:
            return
        steps: list[int] = [0] * trainer.world_size
        dist.all_gather_object(steps, self.begin.step)
        if other := next((rank for rank, step in enumerate(steps) if step != steps[0]), 0):
            starts = f"process {other} of this run starts at step {steps[other]}, and the first one at step {steps[0]}"
            raise RunFailed(f"{starts}; give all of them the same hydra.run.dir, on a disk that all machines share")


def start(config: TrainConfig, folder: RunFolder, resumed: bool) -> Start:
    """Returns the start of a run: its last checkpoint if it is resumed, else the checkpoint in its config, if any."""
    if resumed and (last := _last_checkpoint(folder)):
        if last.step > config.trainer.max_steps:
            raise UserError(f"the run in {folder} has already done {last.step} steps; set trainer.max_steps higher")
        return last
    if (named := config.checkpoint if config.task == "validate" else config.init) is None:
        return Start()
    path, source = checkpoint.find(named), config.data()
    text = source.read if isinstance(source, TextSource) else None  # gives the vocabulary if the file has none
    return Start(path=path, earlier=checkpoint.load(path, text))


def _last_checkpoint(folder: RunFolder) -> Start | None:
    """Returns the start at `last.ckpt`, or at `previous.ckpt` if `last.ckpt` is damaged; None if neither was saved.

    Raises `UserError` if both are damaged, because a new start could overwrite files that can still be repaired.
    """
    saved = [path for path in (folder.last, folder.previous) if path.exists()]
    for path in saved:
        try:
            earlier = checkpoint.load(path)
            return Start(int(earlier.about["step"]), path, earlier, path)
        except (UserError, KeyError, TypeError, ValueError):
            log.warning(f"{path} is damaged" + "; trying the previous checkpoint" * (path != saved[-1]))
    if not saved and len(folder.status().history) <= 1:  # the run ended before its first checkpoint was complete
        return None
    files = " and ".join(map(str, saved or (folder.last, folder.previous)))
    init = f" with {argument('init=', folder.best)}" if folder.best.exists() else ""
    raise UserError(f"{files} cannot be read; restore one of them, or start a new run{init} in a new folder")
