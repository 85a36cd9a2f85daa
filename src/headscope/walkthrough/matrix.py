"""Labeled matrices, and the named numbers of a walk. Shapes: R rows, N columns."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

Shade = tuple[str, float]  #: p (positive), n (negative), h (hidden) or "" (no color), and the strength from 0 to 1
REDUCTIONS, NUMBER = {"min", "max", "sum"}, re.compile(r"-?\d+")
#: A matrix in an equation: [title], its transpose [title]ᵀ, or one of its rows, such as [title][-1].
REFERENCE = re.compile(r"\[([^\]]+)\](?:\[(-?\d+)\])?(ᵀ?)")
MAX_COLUMNS, MAX_ROWS = 9, 12  #: a page shows larger matrices as colors instead of numbers


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix with labels for its rows and columns."""

    title: str  #: a few plain words, unique within a walk; also used in the file name of the picture
    symbol: str  #: the name of the matrix in the formula
    values: Tensor  #: (R, N)
    rows: Sequence[str]  #: R labels
    columns: Sequence[str] = ()  #: N labels; if empty, the columns are channels, numbered from 0
    kind: Literal["signed", "weights", "table"] = "signed"  #: `weights` are from 0 to 1; a `table` has no colors
    shape: str = ""  #: the shape to show, if it is not the shape of `values`
    notes: Sequence[str] = ()  #: one text per row, shown as the last column
    show_all: bool = False  #: whether a terminal shows every row and column; with notes, it always does
    is_view: bool = False  #: whether the matrix only repeats numbers from another matrix

    def __post_init__(self) -> None:
        r, n = self.values.shape
        assert (len(self.rows), len(self.columns) or n, len(self.notes) or r) == (r, n, r), self.title

    @property
    def header(self) -> list[str]:
        return list(self.columns) or [str(i) for i in range(self.values.shape[1])]

    @property
    def form(self) -> str:
        return self.shape or str(tuple(self.values.shape))

    @property
    def cells(self) -> list[list[str]]:
        """The numbers as text, R rows of N strings."""
        return [[format_number(x) for x in row] for row in self.values.tolist()]

    @property
    def shades(self) -> list[list[Shade]]:
        """The colors, R rows of N. A weight is colored by its square root, so that small weights stay visible."""
        limit = max([1e-9, *self.values[self.values.isfinite()].abs().tolist()])
        return [[self._shade(x, limit) for x in row] for row in self.values.tolist()]

    def _shade(self, x: float, limit: float) -> Shade:
        if self.kind == "table":
            return "", 0.0
        if not math.isfinite(x) or (self.kind == "weights" and x == 0):
            return "h", 0.0
        strength = x**0.5 if self.kind == "weights" else abs(x) / limit
        return ("n" if x < 0 else "p"), round(strength, 2)

    @property
    def fits_as_numbers(self) -> bool:
        """Whether a page has room for a number in each cell."""
        r, n = self.values.shape
        return self.kind == "table" or bool(self.notes) or (n <= MAX_COLUMNS and (r <= MAX_ROWS or n <= 3))

    @property
    def transposed(self) -> "Matrix":
        """The transposed matrix, for the right side of a product."""
        title, symbol = f"{self.title}, transposed", f"{self.symbol}ᵀ"
        return Matrix(title, symbol, self.values.T, self.header, self.rows, self.kind, is_view=True)

    def row(self, i: int) -> "Matrix":
        """Returns row i as a matrix with one row."""
        title, part = f"{self.title} of {self.rows[i]}", slice(i, i + 1 or None)
        return Matrix(title, self.symbol, self.values[part], self.rows[part], self.columns, self.kind, is_view=True)

    def indices(self, row: str, column: str) -> list[Any]:
        """Returns the indices of a cell. Each text is a label, an index, or a reduction, which selects all indices."""
        return [
            int(name) if NUMBER.fullmatch(name) else slice(None) if name in REDUCTIONS else labels.index(name)
            for labels, name in ((self.rows, row), (self.header, column))
        ]

    def cell(self, row: str, column: str) -> float:
        """Returns the number in a cell; `min`, `max` or `sum` combines all numbers along a row or column."""
        values = self.values[*self.indices(row, column)]
        for name in {row, column} & REDUCTIONS:
            values = getattr(values, name)()
        return values.item()


def format_number(x: Any) -> str:
    """Formats a number: integers in full, tiny numbers in scientific notation, and other numbers with 4 decimals."""
    if isinstance(x, int):
        return f"{x:,}"
    if x == float("-inf"):
        return "-∞"
    return f"{x:.0e}" if 0 < abs(x) < 5e-5 else f"{x:.4f}"


class Numbers(dict[str, Any]):
    """The matrices and values that a walk computes, by the names that its text uses."""

    page: Path | None = None  #: an existing page with the model of the walk

    def add(self, *entries: tuple[str, str, Tensor], rows: Sequence[str], **options: Any) -> None:
        """Adds (title, symbol, values); values (R,) become one column, and (B, R, N) show only batch element 0."""
        for title, symbol, values in entries:
            fields = options
            if values.ndim != 2:
                part = ", only batch element 0" if values.ndim == 3 and len(values) > 1 else ""
                fields = {"shape": f"{tuple(values.shape)}{part}"} | options
                values = values[0] if values.ndim == 3 else values[:, None]
            self[title] = Matrix(title, symbol, values, rows, **fields)

    def equation(self, text: str) -> list[Matrix | str]:
        """Parses text such as `[queries] × [keys]ᵀ = [scores]` into matrices and the signs between them."""
        parts: list[Matrix | str] = []
        end = 0
        for match in REFERENCE.finditer(text):
            name, row, transpose = match.groups()
            matrix = self[name].row(int(row)) if row else self[name]
            parts += [text[end : match.start()].strip(), matrix.transposed if transpose else matrix]
            end = match.end()
        return [part for part in (*parts, text[end:].strip()) if part != ""]
