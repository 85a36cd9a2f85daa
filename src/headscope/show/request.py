"""The input of `generate.py show=…`.

Shapes: B texts, T positions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from headscope.errors import UserError
from headscope.generation.decode import context_start
from headscope.generation.text import prompt_ids
from headscope.heads.descriptions import Description
from headscope.heads.kept import described
from headscope.heads.reports import SHORTEST, HeadReport, describe
from headscope.model.transformer import LanguageModel, TransformerLM

if TYPE_CHECKING:
    from headscope.data.tokenizers import Tokenizer


@dataclass(frozen=True)
class ShowRequest:
    """A model, a text, and the place for files. `show=NAME` calls `headscope.show.NAME.show(request)`."""

    model: LanguageModel  #: in eval mode
    tokenizer: "Tokenizer"
    prompt: str  #: as typed; if it has no tokens, the tokenizer's default starting text is used
    checkpoint: Path  #: the file from which the model was loaded
    about: Mapping[str, Any] = field(default_factory=dict)  #: the checkpoint's record of its run
    rows: int | None = None  #: rows of a table; None uses the table's default
    out: Path | None = None  #: a folder for files (or the file of show=page); None: next to the checkpoint
    film: Path | None = None  #: the run's film (attention maps recorded during training), if it has one
    described: Path | None = None  #: the file with the descriptions after the run's last step

    @property
    def label(self) -> str:
        """The training step if the checkpoint records it, otherwise the name of the checkpoint."""
        return f"step {self.about['step']}" if "step" in self.about else self.checkpoint.stem

    def context(self) -> Tensor:
        """Returns the ids (1, T) of the prompt from `context_start` on; raises `UserError` for an unknown token."""
        ids = prompt_ids(self.tokenizer, self.prompt)
        return ids[context_start(len(ids), self.model.block_size) :][None]

    def probe_texts(self) -> Tensor | None:
        """Returns the validation texts on which heads are described, ids (B, T); None if the checkpoint has none."""
        kept = self.about.get("passages")
        return torch.tensor(kept)[:, : self.model.block_size] if kept else None

    @cached_property
    def head_reports(self) -> list[HeadReport]:
        """A report on every head; empty if the model has no heads or the checkpoint has no suitable texts."""
        texts = self.probe_texts()
        if not isinstance(self.model, TransformerLM) or texts is None or texts.shape[1] < SHORTEST:
            return []
        return describe(self.model, texts, special=self.tokenizer.special)

    @cached_property
    def descriptions(self) -> list[Description]:
        """The description of every head; empty if the model has no heads or the checkpoint keeps no texts for it."""
        if not isinstance(self.model, TransformerLM):
            return []
        files = [self.described] if self.described else []
        if self.checkpoint.suffix == ".ckpt":
            files.append(self.checkpoint.with_name(f"{self.checkpoint.stem}-descriptions.json"))
        return described(self.model, self.tokenizer.shown, self.tokenizer.unit, self.about, files)

    def transformer(self) -> TransformerLM:
        """Returns the model. Raises `UserError` if it has no heads, or weights that are not finite."""
        if not isinstance(self.model, TransformerLM):
            kind = type(self.model).__name__
            raise UserError(f"{self.checkpoint} holds a {kind}, which has no heads; show=next works with every model")
        for name, weight in self.model.state_dict().items():
            self.require_finite(weight, name)
        return self.model

    def require_finite(self, numbers: Tensor, name: str) -> None:
        """Raises `UserError` if numbers of the model are infinite or not a number."""
        if not numbers.isfinite().all():
            raise UserError(
                f"{self.checkpoint} cannot be shown: {name} is not finite, because its weights are damaged or its"
                " training diverged; use an earlier checkpoint"
            )

    def folder(self, name: str) -> Path:
        """Returns the folder for files: `out`, or a folder next to the checkpoint, such as `best-step1700-heads`.

        Raises `UserError` if `out` is a file.
        """
        if self.out is not None and self.out.exists() and not self.out.is_dir():
            raise UserError(f"out={self.out} is a file; choose a folder")
        suffix = f"-step{self.about['step']}" if "step" in self.about else ""
        return self.out or self.checkpoint.parent / f"{self.checkpoint.stem}{suffix}-{name}"
