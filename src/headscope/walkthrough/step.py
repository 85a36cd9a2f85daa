"""What a walk is made of: steps, each a question with its formula, its code, its matrices and something to change.

Shapes: R rows, N columns of what is shown.
"""

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

Kind = Literal["signed", "weights", "table"]
Shade = tuple[str, float]  #: p above zero, n below, h hidden, nothing for plain; and how much, from 0 to 1
TURNED = ", turned"
MOST_COLUMNS, MOST_ROWS = 9, 12  #: of a matrix whose cells have room for their numbers


@dataclass(frozen=True, eq=False)
class Matrix:
    """Labelled numbers.

    Attributes:
        title: a few plain words, its own in a walk; the name of the picture's file is made of them.
        symbol: what the formula calls it.
        values: what is shown, (R, N).
        rows: R labels.
        columns: N labels; none is channels, numbered from 0.
        kind: values with a sign, weights from 0 to 1, or numbers that make no picture.
        shape: of what `values` is a part or a view; empty is its own.
        notes: a last column of words, one a row.
        whole: a terminal shows every row and column.
    """

    title: str
    symbol: str
    values: Tensor
    rows: Sequence[str]
    columns: Sequence[str] = ()
    kind: Kind = "signed"
    shape: str = ""
    notes: Sequence[str] = ()
    whole: bool = False

    def __post_init__(self) -> None:
        r, n = self.values.shape
        assert len(self.rows) == r, self.title
        assert len(self.columns) in (0, n), self.title
        assert len(self.notes) in (0, r), self.title

    @property
    def header(self) -> list[str]:
        return list(self.columns) or [str(i) for i in range(self.values.shape[1])]

    @property
    def form(self) -> str:
        return self.shape or str(tuple(self.values.shape))

    @property
    def cells(self) -> list[list[str]]:
        """R rows of N numbers as text."""
        return [[number(x) for x in row] for row in self.values.tolist()]

    @property
    def shades(self) -> list[list[Shade]]:
        """R rows of N colours. Weights by their square root, which keeps a large one from hiding the rest."""
        finite = self.values[self.values.isfinite()].abs()
        limit = max(float(finite.max()) if len(finite) else 0.0, 1e-9)
        return [[self._shade(x, limit) for x in row] for row in self.values.tolist()]

    def _shade(self, x: float, limit: float) -> Shade:
        if self.kind == "table":
            return "", 0.0
        if not math.isfinite(x) or (self.kind == "weights" and x == 0):
            return "h", 0.0
        much = x**0.5 if self.kind == "weights" else abs(x) / limit
        return ("n" if x < 0 else "p"), round(much, 2)

    @property
    def numbered(self) -> bool:
        """Whether a page has room for a number in each cell."""
        r, n = self.values.shape
        return self.kind == "table" or bool(self.notes) or (n <= MOST_COLUMNS and (r <= MOST_ROWS or n <= 3))

    @property
    def turned(self) -> "Matrix":
        """Its transpose, for the right side of a product."""
        title, symbol = f"{self.title}{TURNED}", f"{self.symbol}ᵀ"
        return Matrix(title, symbol, self.values.T, self.header, self.rows, self.kind)

    def row(self, i: int) -> "Matrix":
        """One of its rows."""
        title = f"{self.title} of {self.rows[i]}"
        return Matrix(title, self.symbol, self.values[i : i + 1], self.rows[i : i + 1], self.columns, self.kind)


def number(x: float) -> str:
    """A number as every table shows it: counts whole, the rest to 4 decimals, or as a power of ten if these are 0."""
    if isinstance(x, int):
        return f"{x:,}"
    if x == float("-inf"):
        return "-∞"
    return f"{x:.0e}" if 0 < abs(x) < 5e-5 else f"{x:.4f}"


@dataclass(frozen=True)
class Change:
    """Something to change, and one number in which it shows.

    Attributes:
        option: an option of the walk; not for one of its own defaults, which are what it is changed from.
        value: as typed.
        ask: what if.
        at: the title of a matrix, a row and a column of it: the number to watch.
        because: why it changes as it does, whichever way it is changed.
    """

    option: str
    value: str
    ask: str
    at: tuple[str, int, int]
    because: str


@dataclass(frozen=True)
class Step:
    """One station of a walk.

    Attributes:
        title: a few words, for the list of steps.
        question: that the step answers.
        text: what is done, and why.
        formula: in the letters of the matrices.
        code: functions of a few lines; the walk has run them, and what is shown is their source.
        operands: what the results are made of, with the signs between them.
        results: what is new, with signs between them.
        notice: what to see in the numbers.
        change: what to try.
    """

    title: str
    question: str
    text: str
    formula: str
    code: Sequence[Callable[..., Any]]
    operands: Sequence[Matrix | str]
    results: Sequence[Matrix | str]
    notice: str
    change: Change | None = None

    @property
    def matrices(self) -> list[Matrix]:
        """The results alone."""
        return [part for part in self.results if isinstance(part, Matrix)]

    @property
    def equation(self) -> list[Matrix | str]:
        """Operands and results; a result that is among the operands, perhaps turned, is there only once."""
        titles = {part.title.removesuffix(TURNED) for part in self.operands if isinstance(part, Matrix)}
        return [*self.operands, *(p for p in self.results if isinstance(p, str) or p.title not in titles)]

    @property
    def narrow(self) -> bool:
        """Whether a page has room for words beside what is shown."""
        return not self.operands and sum(m.values.shape[1] for m in self.matrices) <= 64

    @property
    def source(self) -> str:
        """The code as it stands in its file, without docstrings and what is said to the type checker."""
        whole = "\n\n".join(inspect.getsource(function).strip() for function in self.code)
        return re.sub(r' *""".*"""\n|  # type: ignore.*', "", whole)


@dataclass(frozen=True)
class Mistake:
    """What people do wrong, and what goes wrong then, in numbers."""

    title: str
    text: str


@dataclass(frozen=True)
class WalkResult:
    """A walk that was run."""

    question: str  #: what the whole walk is about
    steps: Sequence[Step]
    mistakes: Sequence[Mistake]
    checks: Sequence[tuple[str, str]]  #: three questions that the text answers, with the answers
    about: str = ""  #: what it was run on
    page: Path | None = None  #: of the model that it goes through, if one was written

    @property
    def matrices(self) -> list[Matrix]:
        """All results, in order."""
        return [matrix for step in self.steps for matrix in step.matrices]

    def at(self, place: tuple[str, int, int]) -> str:
        """The number at a place of a `Change`, as tables show it."""
        title, i, j = place
        return next(m for m in self.matrices if m.title == title).cells[i][j]

    def name(self, place: tuple[str, int, int]) -> str:
        """The place in words."""
        title, i, j = place
        found = next(m for m in self.matrices if m.title == title)
        column = found.header[j] if found.columns else f"channel {j}"
        return f"{title}, row “{found.rows[i]}”, column “{column}”"


@dataclass(frozen=True)
class Walk:
    """A small system that can be walked through.

    Attributes:
        name: what the command line calls it.
        summary: in one line.
        seed: where none is given; None: nothing in it is random.
        tell: runs it with a seed, and with options: its keyword-only arguments, whose annotations are their schema.
    """

    name: str
    summary: str
    seed: int | None
    tell: Callable[..., WalkResult]

    @property
    def file(self) -> str:
        """The name of its page. `model.html` is what people call a page that holds their model."""
        return f"{self.name}.html" if self.seed is not None else f"{self.name}-walk.html"

    @property
    def options(self) -> Mapping[str, inspect.Parameter]:
        parameters = inspect.signature(self.tell).parameters
        return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


@dataclass(frozen=True)
class Answered:
    """A change that was tried: the command, and what one sees after it."""

    command: str
    ask: str
    answer: str
