"""What a walk shows: steps, mistakes and questions."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from headscope.walkthrough.matrix import Matrix, Numbers


class Change(NamedTuple):
    """A suggestion to change an option, and the number to watch."""

    option: str
    value: str  #: as typed; it differs from the option's default
    ask: str  #: the question, such as "What if nothing is hidden?"
    at: tuple[str, int, int]  #: the number to watch: the title of a matrix, a row and a column
    because: str  #: why the number changes, true in both directions


@dataclass(frozen=True)
class Step:
    """One step of a walk."""

    title: str
    question: str
    text: str
    formula: str  #: in the symbols of the matrices; four spaces separate formulas
    code: Sequence[Callable[..., Any]]  #: functions of a few lines that the walk ran
    equation: Sequence[Matrix | str]  #: matrices, with the signs between them
    matrices: Sequence[Matrix]  #: the matrices of the equation that no earlier step showed
    notice: str
    change: Change | None = None

    @property
    def narrow(self) -> bool:
        """Whether a page has room for words next to the matrices."""
        signs = any(isinstance(part, str) for part in self.equation)
        return not signs and sum(m.values.shape[1] for m in self.matrices) <= 64

    @property
    def source(self) -> str:
        return "\n\n".join(map(source_of, self.code))


def source_of(function: Callable[..., Any]) -> str:
    """The source of a function, without its docstring and comments for the type checker."""
    return re.sub(r' *""".*"""\n|  # type: ignore.*', "", inspect.getsource(function).strip())


class Mistake(NamedTuple):
    """A common mistake, and its consequence in numbers."""

    title: str
    text: str


@dataclass(frozen=True)
class WalkResult:
    """A walk after it ran."""

    question: str  #: of the whole walk
    steps: Sequence[Step]
    mistakes: Sequence[Mistake]
    checks: Sequence[tuple[str, str]]  #: three questions with their answers
    about: str  #: which model was walked through, if any
    numbers: Numbers

    @property
    def matrices(self) -> list[Matrix]:
        """The matrices of all steps, in order."""
        return [matrix for step in self.steps for matrix in step.matrices]
