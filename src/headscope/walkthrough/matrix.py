"""Labelled matrices, and the named numbers of a walk. R rows, N columns."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

Shade = tuple[str, float]  #: p above zero, n below zero, h hidden, empty for none; and the strength, from 0 to 1
REDUCTIONS, NUMBER = {"min", "max", "sum"}, re.compile(r"-?\d+")
#: One matrix of an equation: [title], [title]ᵀ for its transpose, or [title][-1] for one of its rows.
REFERENCE = re.compile(r"\[([^\]]+)\](?:\[(-?\d+)\])?(ᵀ?)")
MAX_COLUMNS, MAX_ROWS = 9, 12  #: of a matrix that a page shows as numbers; larger ones are shown as colours


@dataclass(frozen=True, eq=False)
class Matrix:
    """Labelled numbers."""

    title: str  #: a few plain words, unique within a walk; the picture's file name is made from them
    symbol: str  #: the name of the matrix in the formula
    values: Tensor  #: (R, N)
    rows: Sequence[str]  #: R labels
    columns: Sequence[str] = ()  #: N labels; if empty, the columns are channels, numbered from 0
    kind: Literal["signed", "weights", "table"] = (
        "signed"  #: `weights` lie between 0 and 1; a `table` is not drawn as colours
    )
    shape: str = ""  #: the shape to show, if `values` is only a part of a larger tensor
    notes: Sequence[str] = ()  #: one text per row, shown as the last column
    whole: bool = False  #: whether a terminal shows every row and column, as it does if there are notes
    is_view: bool = False  #: whether the matrix repeats numbers of another one

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
        """R rows of N numbers as text."""
        return [[format_number(x) for x in row] for row in self.values.tolist()]

    @property
    def shades(self) -> list[list[Shade]]:
        """R rows of N colours. The colour of a weight follows its square root, so that small weights stay visible."""
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
    def numbered(self) -> bool:
        """Whether a page has room for a number in each cell."""
        r, n = self.values.shape
        return self.kind == "table" or bool(self.notes) or (n <= MAX_COLUMNS and (r <= MAX_ROWS or n <= 3))

    @property
    def turned(self) -> "Matrix":
        """The transpose, for the right side of a product."""
        title, symbol = f"{self.title}, transposed", f"{self.symbol}ᵀ"
        return Matrix(title, symbol, self.values.T, self.header, self.rows, self.kind, is_view=True)

    def row(self, i: int) -> "Matrix":
        """Row i as a matrix of one row."""
        title, part = f"{self.title} of {self.rows[i]}", slice(i, i + 1 or None)
        return Matrix(title, self.symbol, self.values[part], self.rows[part], self.columns, self.kind, is_view=True)

    def place(self, row: str, column: str) -> list[Any]:
        """The indices of a cell, from labels or indices as text; -1 is the last one. A reduction is a whole slice."""
        return [
            int(name) if NUMBER.fullmatch(name) else slice(None) if name in REDUCTIONS else labels.index(name)
            for labels, name in ((self.rows, row), (self.header, column))
        ]

    def cell(self, row: str, column: str) -> float:
        """The number in a cell. Instead of a row or column, `min`, `max` or `sum` combines all of them."""
        values = self.values[*self.place(row, column)]
        for name in {row, column} & REDUCTIONS:
            values = getattr(values, name)()
        return values.item()


def format_number(x: Any) -> str:
    """A number as text: an integer in full, other numbers with 4 decimals, tiny ones as a power of ten."""
    if isinstance(x, int):
        return f"{x:,}"
    if x == float("-inf"):
        return "-∞"
    return f"{x:.0e}" if 0 < abs(x) < 5e-5 else f"{x:.4f}"


class Numbers(dict[str, Any]):
    """The matrices and values of a walk by name; its text refers to them."""

    page: Path | None = None  #: the page that holds the model that was walked through, if there is one

    def add(self, *entries: tuple[str, str, Tensor], rows: Sequence[str], **options: Any) -> None:
        """Adds matrices by title; values (R,) are shown as one column, and (B, R, N) by their first batch element."""
        for title, symbol, values in entries:
            shape = options
            if values.ndim != 2:
                part = ", batch element 0 of it" if values.ndim == 3 and len(values) > 1 else ""
                shape = {"shape": f"{tuple(values.shape)}{part}"} | options
                values = values[0] if values.ndim == 3 else values[:, None]
            self[title] = Matrix(title, symbol, values, rows, **shape)

    def equation(self, text: str) -> list[Matrix | str]:
        """Reads `[queries] × [keys]ᵀ = [scores]` as matrices with the signs between them."""
        parts: list[Matrix | str] = []
        end = 0
        for match in REFERENCE.finditer(text):
            name, row, turned = match.groups()
            matrix = self[name].row(int(row)) if row else self[name]
            parts += [text[end : match.start()].strip(), matrix.turned if turned else matrix]
            end = match.end()
        return [part for part in (*parts, text[end:].strip()) if part != ""]
