"""A walk as files: a picture of each matrix, and one page that needs nothing else."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from headscope.files import write_atomically
from headscope.render.pages import render_page
from headscope.render.pictures import matrix_picture, png
from headscope.walkthrough.matrix import Matrix
from headscope.walkthrough.options import TriedChange
from headscope.walkthrough.step import WalkResult
from headscope.walkthrough.walk import Walk

Link = tuple[str, str]  #: a text and a relative address; an empty address is the page itself


def write(walk: Walk, html: str, result: WalkResult, folder: Path) -> Path:
    """Writes the page and NAME-NN-TITLE.png for every matrix into the folder; returns the page.

    Raises `UserError` if the folder cannot be used, and `RunFailed` if the disk is full.
    """
    for i, matrix in enumerate((m for m in result.matrices if m.kind != "table"), 1):
        name = re.sub("[^a-z0-9]+", "-", matrix.title).strip("-")
        write_atomically(folder / f"{walk.name}-{i:02}-{name}.png", picture(matrix, matrix.title))
    page = folder / walk.file
    write_atomically(page, html.encode())
    return page


def picture(matrix: Matrix, title: str) -> bytes:
    """A matrix as a PNG."""
    values = matrix.values.detach().double().numpy()
    return png(matrix_picture(values, matrix.rows, matrix.header, title, matrix.kind == "weights"))


def html(
    walk: Walk, seed: int | None, result: WalkResult, changes: Sequence[TriedChange | None], links: Sequence[Link] = ()
) -> str:
    """The page of a walk, one document that loads nothing."""
    summary = walk.summary if seed is None else f"{walk.summary} · seed {seed}"
    steps = list(zip(result.steps, changes, strict=True))
    return render_page("walkthrough.html", title=walk.name, summary=summary, result=result, steps=steps, links=links)


def links(
    walk: Walk, walks: Sequence[Walk], written: Sequence[Walk], folder: Path, model_page: Path | None
) -> list[Link]:
    """Links from the page of a walk to the pages of other walks, and to a page that holds the model.

    Only pages that are in the folder, or are written now, get a link.
    """
    present = [w for w in walks if w in (walk, *written) or (folder / w.file).is_file()]
    found = [(w.name, "" if w is walk else w.file) for w in present]
    pages = [*sorted(folder.glob("model-step*.html")), *folder.glob("model.html")]
    if held := model_page or next(iter(pages), None):
        found.append(("the model itself", quote(os.path.relpath(held, folder).replace(os.sep, "/"))))
    return found
