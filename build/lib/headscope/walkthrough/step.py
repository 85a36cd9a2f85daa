"""What a walk is made of: steps, each a labelled matrix with a sentence.

Shapes: R rows, N columns of what is shown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

Kind = Literal["signed", "weights", "table"]


@dataclass(frozen=True)
class Step:
    """One station of a walk.

    Attributes:
        title: a few plain words; the name of the picture's file is made of them.
        text: what happened, in a sentence.
        values: what is shown, (R, N).
        rows: R labels.
        columns: N labels; none is channels, numbered from 0.
        kind: values with a sign, weights from 0 to 1, or numbers that make no picture.
        shape: of what `values` is a part or a view; empty is its own.
        notes: a last column of words, one a row.
        whole: a terminal shows every row and column.
    """

    title: str
    text: str
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


def number(x: float) -> str:
    """A number as every table shows it: counts whole, the rest to 4 decimals, or as a power of ten if these are 0."""
    if isinstance(x, int):
        return f"{x:,}"
    if x == float("-inf"):
        return "-∞"
    return f"{x:.0e}" if 0 < abs(x) < 5e-5 else f"{x:.4f}"


class Told(NamedTuple):
    """A walk that was run."""

    steps: list[Step]
    departure: str  #: where the document's own code departs from the formula, and what changes if it is put right


@dataclass(frozen=True)
class Walk:
    """A small system that can be walked through.

    Attributes:
        name: what the command line calls it.
        summary: in one line.
        seed: where none is given.
        tell: runs it with a seed.
    """

    name: str
    summary: str
    seed: int
    tell: Callable[..., Told]
