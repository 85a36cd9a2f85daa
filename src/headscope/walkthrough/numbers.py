"""The named matrices and values of a walk, to which its text refers."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from headscope.walkthrough.matrix import Kind, Matrix

#: One matrix of an equation: [title], [title]ᵀ for its transpose, or [title][-1] for one of its rows.
REFERENCE = re.compile(r"\[([^\]]+)\](?:\[(-?\d+)\])?(ᵀ?)")


class Numbers(dict[str, Any]):
    """Matrices and values by name."""

    page: Path | None = None  #: the page that holds the model that was walked through, if there is one

    def matrix(
        self,
        title: str,
        symbol: str,
        values: Tensor,
        rows: Sequence[str],
        columns: Sequence[str] = (),
        kind: Kind = "signed",
        **options: Any,
    ) -> None:
        """Adds a matrix under its title, or under the option `name`; the other arguments are those of `Matrix`.

        `values` (R,) is shown as one column, and (B, R, N) by its first batch element.
        """
        name = options.pop("name", title)
        if values.ndim != 2:
            part = ", batch element 0 of it" if values.ndim == 3 and len(values) > 1 else ""
            options = {"shape": f"{tuple(values.shape)}{part}"} | options
            values = values[0] if values.ndim == 3 else values[:, None]
        self[name] = Matrix(title, symbol, values, rows, columns, kind, **options)

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
