"""The start of a run: random weights, its own last checkpoint, or the weights of another run.

The checkpoint decides the tokenizer and the weights, so the data and the model are built here too.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from lightning import seed_everything

from headscope import checkpoint
from headscope.config.composed import Composed
from headscope.config.keys import TrainConfig
from headscope.data.corpus import Corpus, TextSource
from headscope.data.datamodule import CorpusData
from headscope.errors import UserError
from headscope.heads.probes import LONGEST, TEXTS
from headscope.installed import commit
from headscope.model.transformer import LanguageModel
from headscope.run.folder import RunFolder
from headscope.shell import argument
from headscope.training.hardware import Choice
from headscope.training.module import LanguageModule

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """The checkpoint that a run starts from, if any."""

    step: int = 0  #: the number of completed steps; 0 for a new run
    path: Path | None = None  #: of the checkpoint
    earlier: checkpoint.Loaded | None = None  #: the model and the tokenizer in it
    resume_from: Path | None = None  #: the same path if the whole state is restored; None if only the weights are

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
        if self.resume_from and earlier and earlier.about["data"]["sha256"] != data.corpus.sha256:
            unlike = f"{data.corpus.name} is not the text that {self.path} was trained on"
            raise UserError(f"{unlike}; restore it, or use {argument('init=', self.path)}")
        return data

    def module(self, composed: Composed, config: TrainConfig, choice: Choice, corpus: Corpus) -> LanguageModule:
        """Returns the training module with its model, which has the checkpoint's weights if there is a checkpoint."""
        seed_everything(config.seed, verbose=False)
        model = self._model(config, len(corpus.tokenizer))
        if choice.precision == "64-true":
            model.double()  # Lightning converts the model only after it has restored, and so rounded, the weights
        fell_back = corpus.name == composed.config["data"].get("fallback")  # the requested corpus was unavailable
        # A resumed run keeps the probe texts, on which every command describes the heads.
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
            sizes = f"{theirs.get(wrong, 'absent')} there and {ours.get(wrong, 'absent')} here"
            raise UserError(f"{self.path} does not fit: {wrong} is {sizes}; use the same model")
        model.load_state_dict(weights)
        if unlike := checkpoint.differences(self.earlier.model, model):
            log.warning(f"{self.path} was trained with {unlike}")
        return model


def start(config: TrainConfig, folder: RunFolder, resumed: bool) -> Start:
    """Returns where a run starts: if resumed, at its last checkpoint, else at the checkpoint that the config names."""
    if resumed and (last := _last_checkpoint(folder)):
        if last.step > (most := config.trainer.max_steps):
            raise UserError(f"trainer.max_steps={most}, but {folder} has done {last.step} steps; give more")
        return last
    if (named := config.checkpoint if config.task == "validate" else config.init) is None:
        return Start()
    path, source = checkpoint.find(named), config.data()
    text = source.read if isinstance(source, TextSource) else None  # for a file without a vocabulary
    return Start(path=path, earlier=checkpoint.load(path, text))


def _last_checkpoint(folder: RunFolder) -> Start | None:
    """Returns the start at `last.ckpt`, or at `previous.ckpt` if that is damaged; None if the run had saved neither.

    If neither can be read, raises `UserError`, because a new start could overwrite files that can still be restored.
    """
    saved = [path for path in (folder.last, folder.previous) if path.exists()]
    for path in saved:
        try:
            earlier = checkpoint.load(path)
            return Start(int(earlier.about["step"]), path, earlier, path)
        except (UserError, KeyError, TypeError, ValueError):
            log.warning(f"{path} is damaged" + "; trying the one before" * (path != saved[-1]))
    if not saved and len(folder.status().history) <= 1:  # the first checkpoint is saved before the second validation
        return None
    files = " and ".join(map(str, saved or (folder.last, folder.previous)))
    best = f"{argument('init=', folder.best)} in" if folder.best.exists() else "with"
    raise UserError(
        f"{files} cannot be read, so there is nothing to resume; restore one of them, or start again {best} a new"
        " folder"
    )
