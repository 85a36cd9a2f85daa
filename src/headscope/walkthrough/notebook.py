"""Walks as HTML: whole pages, and single parts for the cells of a notebook."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from headscope.render.pages import render_page
from headscope.render.pictures import matrix_picture, png
from headscope.walkthrough.matrix import Matrix
from headscope.walkthrough.texts import WalkResult
from headscope.walkthrough.walk import Walk


@dataclass(frozen=True)
class Shown:
    """HTML that a notebook displays if it is the value of the last line in a cell."""

    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        return self.html


def show(*parts: Matrix | str) -> Shown:
    """Shows matrices side by side, with signs between them."""
    return _cell(parts=parts)


def step(result: WalkResult, title: str) -> Shown:
    """Shows a step with its question, text, code, matrices and notice; raises `KeyError` for an unknown title."""
    found = {step.title: step for step in result.steps}[title]
    return _cell(step=found, parts=found.equation)


def notice(result: WalkResult, title: str) -> Shown:
    """Shows the notice of a step, a remark on its numbers; raises `KeyError` for an unknown title."""
    return _cell(mistakes=[("Notice", {step.title: step.notice for step in result.steps}[title])])


def mistakes(result: WalkResult) -> Shown:
    """Shows the common mistakes of a walk."""
    return _cell(mistakes=result.mistakes)


def questions(result: WalkResult) -> Shown:
    """Shows the three questions of a walk; a click on a question shows its answer."""
    return _cell(checks=result.checks)


def full_page(walk: Walk) -> str:
    """Returns the HTML page of a walk, run with its defaults, for `headscope.Page`."""
    return html(walk, walk.try_changes(walk.run(walk.seed)))


def html(walk: Walk, result: WalkResult, links: Sequence[tuple[str, str]] = ()) -> str:
    """Returns the page of a walk as one self-contained HTML document; `links` are pairs of a text and an address."""
    seed = result.arguments["seed"]
    summary = walk.summary if seed is None else f"{walk.summary} · seed {seed}"
    return render_page("walkthrough.html", title=walk.name, summary=summary, result=result, links=links)


def picture(matrix: Matrix, title: str) -> bytes:
    """Returns a picture of a matrix as PNG data."""
    values = matrix.values.detach().double().numpy()
    return png(matrix_picture(values, matrix.rows, matrix.header, title, matrix.kind == "weights"))


def _cell(**values: object) -> Shown:
    defaults = {"step": None, "parts": (), "mistakes": (), "checks": (), "picture": _picture}
    return Shown(render_page("cell.html", **defaults | values))


def _picture(m: Matrix) -> str:
    title = m.title if m.symbol == m.title else f"{m.symbol}  {m.title}"
    return f"data:image/png;base64,{base64.b64encode(picture(m, title)).decode()}"
