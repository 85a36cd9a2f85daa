"""A small system that can be walked through: Python computes its numbers, `texts/NAME.md` has its text.

In `compute`, a comment `# %% TITLE` begins the lines that the notebook shows for that step of the text.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from headscope.walkthrough import texts
from headscope.walkthrough.matrix import Numbers
from headscope.walkthrough.step import WalkResult


@dataclass(frozen=True)
class Walk:
    """A small system that can be walked through."""

    name: str  #: on the command line
    summary: str  #: one line
    seed: int | None  #: the default seed; None if nothing is random
    #: Computes the numbers from a seed and options: its keyword-only arguments, with annotations that are checked. Its
    #: module has the functions that the text shows.
    compute: Callable[..., Numbers]

    def run(self, seed: int | None, **arguments: Any) -> WalkResult:
        """Computes the numbers and fills them into the text; raises `UserError` if an option cannot be used."""
        return texts.fill(self.markdown, self.namespace, self.compute(seed, **arguments))

    @property
    def module(self) -> str:
        return self.compute.__module__.rpartition(".")[2]

    @property
    def markdown(self) -> str:
        return (resources.files(__package__) / "texts" / f"{self.module}.md").read_text(encoding="utf-8")

    @property
    def namespace(self) -> Mapping[str, Any]:
        return vars(sys.modules[self.compute.__module__])

    @property
    def options(self) -> Mapping[str, inspect.Parameter]:
        parameters = inspect.signature(self.compute).parameters
        return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}

    @property
    def takes_sentences(self) -> bool:
        return "sentences" in inspect.signature(self.compute).parameters

    @property
    def needs_checkpoint(self) -> bool:
        return "checkpoint" in self.options

    @property
    def file(self) -> str:
        """The name of the walk's page; `model.html` is left free for a page that holds a model."""
        return f"{self.name}-walk.html" if self.needs_checkpoint else f"{self.name}.html"
