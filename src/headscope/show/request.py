"""What `generate.py show=…` was asked about.

Shapes: T positions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from headscope.errors import UserError
from headscope.generation.decode import context_start
from headscope.generation.text import prompt_ids
from headscope.model.transformer import LanguageModel, TransformerLM

if TYPE_CHECKING:
    from headscope.data.tokenizers import Tokenizer


@dataclass(frozen=True)
class ShowRequest:
    """A model, a text, and where answers go. `headscope.show.NAME.show(request)` answers `show=NAME`.

    Attributes:
        model: in eval mode.
        tokenizer: the model's.
        prompt: as typed; without tokens, the opening.
        checkpoint: the file that the model came from.
        about: what the file says of its run.
        rows: of a table; None is what suits it.
        out: a folder for files; None is one beside the checkpoint.
        film: what the run may have kept of its heads over the training.
    """

    model: LanguageModel
    tokenizer: "Tokenizer"
    prompt: str
    checkpoint: Path
    about: Mapping[str, Any] = field(default_factory=dict)
    rows: int | None = None
    out: Path | None = None
    film: Path | None = None

    @property
    def when(self) -> str:
        """The step of the training, if the file has it; else the file's name."""
        return f"step {self.about['step']}" if "step" in self.about else self.checkpoint.stem

    def context(self) -> Tensor:
        """The ids that the model sees of the prompt, (1, T).

        Raises:
            UserError: the prompt has a token that the vocabulary lacks.
        """
        ids = prompt_ids(self.tokenizer, self.prompt)
        return ids[context_start(len(ids), self.model.block_size) :][None]

    def transformer(self) -> TransformerLM:
        """The model, if it has heads.

        Raises:
            UserError: it has none.
        """
        if not isinstance(self.model, TransformerLM):
            kind = type(self.model).__name__
            raise UserError(f"{self.checkpoint} holds a {kind}, which has no heads; show=next works with every model")
        return self.model

    def folder(self, name: str) -> Path:
        """Where the files of an answer go: `out`, or beside the checkpoint a folder that names it and its step.

        Raises:
            UserError: `out` is no folder.
        """
        if self.out is not None and self.out.exists() and not self.out.is_dir():
            raise UserError(f"out={self.out} is a file; give a folder")
        at = f"-step{self.about['step']}" if "step" in self.about else ""
        return self.out or self.checkpoint.parent / f"{self.checkpoint.stem}{at}-{name}"
