"""Where a run starts: from random weights, its own last checkpoint, or another model. Builds the data and the model."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning import seed_everything

from headscope import checkpoint
from headscope.annotations import check_value
from headscope.config.composed import Composed
from headscope.config.keys import TrainConfig
from headscope.config.overrides import split
from headscope.config.schema import unknown_key
from headscope.data.corpus import Corpus, Source, TextSource, sample
from headscope.data.datamodule import CorpusData
from headscope.data.pydoc import PyDoc
from headscope.errors import UnknownKey, UserError
from headscope.heads.probes import FITTED, LONGEST, MEASURED, TEXTS
from headscope.installed import commit
from headscope.model.transformer import LanguageModel
from headscope.packing import pack
from headscope.run.folder import RunFolder
from headscope.run.resumable import load_resumable
from headscope.shell import argument
from headscope.training.hardware import Choice
from headscope.training.module import LanguageModule

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """The config of a run, and the checkpoint that it starts from, if any."""

    config: TrainConfig  #: after `task=validate` has replaced the data by the checkpoint's own
    step: int = 0  #: the number of completed steps; 0 for a new run
    path: Path | None = None  #: the path of the checkpoint
    earlier: checkpoint.Loaded | None = None  #: the model and the tokenizer in the checkpoint
    resume_from: Path | None = None  #: `path` if the run restores its whole state from it; None otherwise

    def recorded(self, key: str) -> dict[str, Any]:
        """Returns one of the mappings that the checkpoint records about its run; empty if there is none."""
        found = self.earlier.about.get(key) if self.earlier else None
        return found if isinstance(found, dict) else {}

    @property
    def source(self) -> dict[str, Any]:
        """The node `data` of the config in the checkpoint; empty if it has none, as in other programs' files."""
        node = self.recorded("config").get("data")
        return node if isinstance(node, dict) and "_target_" in node else {}

    @cached_property
    def data(self) -> CorpusData:
        """The corpus in batches; raises `UserError` if the resumed run was trained on another text."""
        config, earlier = self.config, self.earlier
        data = CorpusData(
            config.data(),
            (earlier.model if earlier and config.task == "validate" else config.meta_model).block_size,
            config.batch_size,
            config.trainer.accumulate_grad_batches,
            config.seed,
            config.same_batch,
            earlier.tokenizer if earlier else None,
        )
        if self.resume_from and self.recorded("data").get("sha256") != data.corpus.sha256:
            differs = f"{data.corpus.name} is not the text that {self.path} was trained on"
            init = argument("init=", self.path)
            raise UserError(f"{differs}; restore the original text, or start a new run with {init}")
        return data

    def measured_text(self, corpus: Corpus) -> str:
        """Returns the unit of the loss and the measured text, and how it differs from the text of the training."""
        own, text = self.recorded("data"), f"nats per {corpus.tokenizer.unit} on {corpus.name}"
        if own.get("sha256") not in (None, corpus.sha256):
            if own.get("name") == corpus.name:
                return f"{text}, which has changed since the model was trained on it"
            return f"{text}; the model was trained on {own.get('name')}"
        before, now = (node.get("split", "last") for node in (self.source, getattr(self.config.data, "keywords", {})))
        if self.source and before != now:
            return f"{text}, which training split differently: data.split={before}"
        return text

    def module(self, composed: Composed, choice: Choice, corpus: Corpus) -> LanguageModule:
        """Returns the training module with the model; if there is a checkpoint, the model has its weights."""
        config = self.config
        seed_everything(config.seed, verbose=False)
        model = self._model(len(corpus.tokenizer))
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
            texts=self._texts(corpus),
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

    def _texts(self, corpus: Corpus) -> dict[str, str]:
        """Returns the texts to which rules of attention are fitted, and those on which the rules are measured."""
        kept: dict[str, str] | None = self.earlier.about.get("texts") if self.earlier and self.resume_from else None
        sizes = {"fitting": (corpus.train, FITTED), "held_out": (corpus.val, MEASURED)}
        size = self.config.meta_model.block_size
        return kept or {k: pack(sample(split, n, LONGEST, size)) for k, (split, n) in sizes.items()}

    def _model(self, vocab_size: int) -> LanguageModel:
        """Returns the model; raises `UserError` if the checkpoint's weights have other shapes."""
        if self.earlier is None:
            return self.config.model(vocab_size)
        if self.config.task == "validate":
            return self.earlier.model
        model, weights = self.config.model(vocab_size), self.earlier.model.state_dict()
        ours, theirs = ({k: tuple(v.shape) for k, v in state.items()} for state in (model.state_dict(), weights))
        if wrong := next((name for name in ours | theirs if ours.get(name) != theirs.get(name)), None):
            sizes = f"{theirs.get(wrong, 'absent')} in the checkpoint and {ours.get(wrong, 'absent')} in this model"
            raise UserError(f"{self.path} does not fit: {wrong} is {sizes}; set model.* as in that run")
        model.load_state_dict(weights)
        if differences := checkpoint.differences(self.earlier.model, model):
            log.warning(f"{self.path} was trained with {differences}")
        return model


def start(config: TrainConfig, composed: Composed, folder: RunFolder, resumed: bool) -> Start:
    """Returns the start of a run: its last checkpoint if it is resumed, else the checkpoint in its config, if any."""
    if resumed and (last := _last_checkpoint(folder)):
        step, path, earlier = last
        if step > config.trainer.max_steps:
            raise UserError(f"the run in {folder} has already done {step} steps; set trainer.max_steps higher")
        return Start(config, step, path, earlier, resume_from=path)
    if (named := config.checkpoint if config.task == "validate" else config.init) is None:
        return Start(config)
    path, source = checkpoint.find(named), config.data()
    text = source.read if isinstance(source, TextSource) else None  # gives the vocabulary if the file has none
    found = Start(config, path=path, earlier=checkpoint.load(path, text))
    return _with_own_data(found, composed) if config.task == "validate" else found


def _with_own_data(start: Start, composed: Composed) -> Start:
    """Returns a start with the data that the checkpoint was trained on, unless an override chooses the data.

    Overrides of single keys, such as `data.split`, change the recorded data. Downloads stay in this machine's
    `paths.data_dir`. Raises `UserError` if the data cannot be read.
    """
    data, typed = dict(start.source), [split(override)[0] for override in composed.overrides]
    if not data or {"data", "experiment"} & set(typed):
        return start
    if data.get("fallback") == start.recorded("data").get("name") == PyDoc.name:  # the download had failed
        kept = {key: data[key] for key in ("tokenizer", "vocab_size", "split") if key in data}
        data = {"_target_": f"{PyDoc.__module__}.{PyDoc.__name__}"} | kept
    if "data_dir" in data:
        data["data_dir"] = composed.config["paths"]["data_dir"]
    changed = [key.split(".")[1] for key in typed if key.startswith("data.")]
    data |= {key: value for key, value in composed.config["data"].items() if key in changed}
    try:
        found = replace(start, config=replace(start.config, data=check_value(data, Callable[[], Source], "data")))
        found.data.corpus  # noqa: B018, loaded here, so that an error names the checkpoint
    except UserError as e:
        with_changes = f" with data.{', data.'.join(changed)}" * bool(changed)
        unread = f"{start.path} was trained on data that cannot be read{with_changes}"
        reason = unknown_key(e.key, e.known) if isinstance(e, UnknownKey) else e
        raise UserError(f"{unread}: {reason}; choose other data, as in data=text data.path=…") from e
    return found


def _last_checkpoint(folder: RunFolder) -> tuple[int, Path, checkpoint.Loaded] | None:
    """Returns the step, path and content of `last.ckpt`, or of `previous.ckpt` if that is damaged; None without both.

    Raises `UserError` if both are damaged, because a new start could overwrite files that can still be repaired.
    """
    saved = [path for path in (folder.last, folder.previous) if path.exists()]
    for path in saved:
        try:
            earlier = load_resumable(path)
            return int(earlier.about["step"]), path, earlier
        except (UserError, AttributeError, KeyError, TypeError, ValueError):
            log.warning(f"{path} is damaged" + "; trying the previous checkpoint" * (path != saved[-1]))
    if not saved and len(folder.status().history) <= 1:  # the run ended before its first checkpoint was complete
        return None
    files = " and ".join(map(str, saved or (folder.last, folder.previous)))
    init = f" with {argument('init=', folder.best)}" if folder.best.exists() else ""
    raise UserError(f"{files} cannot be read; restore one of them, or start a new run{init} in a new folder")
