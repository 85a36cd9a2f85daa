"""What a walk is made of, in a notebook's cell: matrices side by side, a step, what goes wrong, what to ask oneself."""

import base64
from dataclasses import dataclass, field

from headscope.render.pages import render_page
from headscope.render.pictures import matrix_picture, png
from headscope.walkthrough import options, page
from headscope.walkthrough.step import Matrix, Step, Walk, WalkResult


@dataclass(frozen=True)
class Shown:
    """What a notebook shows where it is the last line of a cell. It needs no style sheet: a notebook has its own."""

    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        return self.html


def show(*parts: Matrix | str) -> Shown:
    """Matrices side by side, with signs between them."""
    return _shown(parts=parts)


def step(told: WalkResult, title: str) -> Shown:
    """A step of a walk with its question, its code and what to notice.

    Raises:
        KeyError: no step has this title.
    """
    steps = {step.title: step for step in told.steps}
    return _shown(steps[title], steps[title].equation)


def mistakes(told: WalkResult) -> Shown:
    """The common mistakes of a walk, each with what goes wrong."""
    return _shown(mistakes=told.mistakes)


def questions(told: WalkResult) -> Shown:
    """The three questions of a walk; a click on one shows its answer."""
    return _shown(checks=told.checks)


def whole(walk: Walk) -> str:
    """The page of a walk: an HTML document with every step, which `headscope.Page` shows."""
    told = walk.tell(walk.seed)
    changes = options.answered(walk, told, {"seed": walk.seed}, [], [])
    return page.html(walk, walk.seed, told, changes, [])


def _shown(step: Step | None = None, parts: object = (), mistakes: object = (), checks: object = ()) -> Shown:
    values = {"step": step, "parts": parts, "mistakes": mistakes, "checks": checks, "picture": _picture}
    return Shown(render_page("cell.html", **values))


def _picture(m: Matrix) -> str:
    """A matrix as the address of a PNG."""
    title = m.title if m.symbol == m.title else f"{m.symbol}  {m.title}"
    rgb = matrix_picture(m.values.detach().double().numpy(), m.rows, m.header, title, m.kind == "weights")
    return f"data:image/png;base64,{base64.b64encode(png(rgb)).decode()}"
