"""Fills the templates in `templates/`: HTML pages, Markdown and LaTeX."""

import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

#: Special characters of LaTeX, and the commands that print them.
TEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$",
}  # fmt: skip


def render_page(template_name: str, **values: Any) -> str:
    """Fills a template from `templates/`. A missing value raises an error.

    HTML templates escape every value that they do not mark as safe.
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
    pages.filters["markdown"] = _escape_markdown
    pages.filters["numeric"] = _numeric_columns
    return pages.get_template(template_name).render(values)


def _escape_markdown(text: object) -> str:
    """Returns a text as one line of Markdown that shows it verbatim, also in a cell of a table.

    An underscore within a word has no meaning in Markdown and remains readable in keys such as `max_steps`.
    """
    line = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    line = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|[\\`*\[\]|~]", r"\\\g<0>", line)
    return re.sub(r"^(\d*)([-+>#.)])(?=\s|$)", r"\1\\\2", line)  # would start a list, a quotation or a heading


def _numeric_columns(rows: Sequence[Sequence[str]]) -> list[bool]:
    """Returns, for each column, whether all cells below the header are empty or numbers."""
    return [all(re.fullmatch(r"[-+]?[\d.,]*", cell) for cell in column[1:]) for column in zip(*rows, strict=True)]
