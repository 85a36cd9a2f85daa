"""What a run starts from: nothing, its own last checkpoint, or the weights of another."""

import logging
from dataclasses import dataclass
from pathlib import Path

from headscope import checkpoint
from headscope.config.keys import TrainConfig
from headscope.data.corpus import TextSource
from headscope.errors import UserError
from headscope.model.transformer import LanguageModel
from headscope.run.folder import RunFolder
from headscope.shell import argument

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Where the weights come from, and after which step.

    Args:
        step: done so far; 0 for a new run.
        path: of the checkpoint.
        earlier: its model and tokenizer.
        resume_from: the same path if its whole state is restored, not the weights alone.
    """

    step: int = 0
    path: Path | None = None
    earlier: checkpoint.Loaded | None = None
    resume_from: Path | None = None

    def model(self, config: TrainConfig, vocab_size: int) -> LanguageModel:
        """A model with these weights.

        Raises:
            UserError: those of an earlier model have other shapes.
        """
        if self.earlier and config.task == "validate":
            return self.earlier.model
        model = config.model(vocab_size)
        if self.earlier:
            weights = self.earlier.model.state_dict()
            ours, theirs = ({k: tuple(v.shape) for k, v in state.items()} for state in (model.state_dict(), weights))
            if wrong := next((name for name in ours | theirs if ours.get(name) != theirs.get(name)), None):
                sizes = f"{theirs.get(wrong, 'absent')} there and {ours.get(wrong, 'absent')} here"
                raise UserError(f"{self.path} does not fit: {wrong} is {sizes}; use the same model")
            model.load_state_dict(weights)
            if unlike := checkpoint.unlike(self.earlier.model, model):
                log.warning(f"{self.path} was trained with {unlike}")
        return model


def start(config: TrainConfig, folder: RunFolder) -> Start:
    """Finds the checkpoint that a run starts from.

    A damaged `last.ckpt` is passed over for the one before it; a run that had saved none begins at 0.

    Raises:
        UserError: see `checkpoint.load`, for a checkpoint that the config names; none of those to resume from can be
            read, and beginning again would overwrite what may still be rescued.
    """
    saved = [path for path in (folder.last, folder.previous) if folder.resuming and path.exists()]
    for path in saved:
        try:
            earlier = checkpoint.load(path)
            return Start(int(earlier.about["step"]), path, earlier, path)
        except (UserError, KeyError, TypeError, ValueError):
            log.warning(f"{path} is damaged" + "; trying the one before" * (path != saved[-1]))
    if saved or (folder.resuming and len(folder.status().history) > 1):  # the first was saved before the second
        files = " and ".join(map(str, saved or (folder.last, folder.previous)))
        best = f"{argument('init=', folder.best)} in" if folder.best.exists() else "with"
        raise UserError(
            f"{files} cannot be read, so there is nothing to resume; restore one of them, or start again {best} a new"
            " folder"
        )
    named = config.checkpoint if config.task == "validate" else config.init
    if named is None:
        return Start()
    path, source = checkpoint.find(named), config.data()
    text = source.read if isinstance(source, TextSource) else None  # for a file without a vocabulary
    return Start(path=path, earlier=checkpoint.load(path, text))
