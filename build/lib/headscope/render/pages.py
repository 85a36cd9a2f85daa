"""Values to documents: the templates beside this file, as HTML pages, Markdown and LaTeX."""

import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

#: What LaTeX takes as an instruction, and how it is written as text.
TEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$",
}  # fmt: skip


def render_page(template_name: str, **values: Any) -> str:
    """A filled template; HTML ones escape every value.

    Args:
        template_name: of a file in `templates/`.
        values: whatever the template names; one that is missing is an error.
    """
    pages = Environment(
        loader=PackageLoader("headscope.render"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters["tex"] = lambda text: text.translate(str.maketrans(TEX))
    pages.filters["numeric"] = _numeric
    return pages.get_template(template_name).render(values)


def _numeric(rows: Sequence[Sequence[str]]) -> list[bool]:
    """Whether a column holds numbers alone, for each column of a table whose first row is its header."""
    return [all(re.fullmatch(r"[-+]?[\d.,]*", cell) for cell in column[1:]) for column in zip(*rows, strict=True)]
