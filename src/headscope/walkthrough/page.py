"""A walk as files: a picture of each matrix, and one page that needs nothing else."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from headscope.files import write_atomically
from headscope.render.pages import render_page
from headscope.render.pictures import matrix_picture, png
from headscope.walkthrough.step import Answered, Walk, WalkResult

Link = tuple[str, str]  #: words and a relative address; an empty one is this page


def write(
    walk: Walk,
    seed: int | None,
    told: WalkResult,
    changes: Sequence[Answered | None],
    folder: Path,
    links: Sequence[Link],
) -> Path:
    """Writes the page and NAME-NN-TITLE.png for every matrix into the folder; returns the page.

    Raises:
        UserError: the folder cannot be created or written to.
        RunFailed: the disk is full.
    """
    for i, matrix in enumerate((m for m in told.matrices if m.kind != "table"), 1):
        values = matrix.values.double().numpy()
        rgb = matrix_picture(values, matrix.rows, matrix.header, matrix.title, matrix.kind == "weights")
        name = re.sub("[^a-z0-9]+", "-", matrix.title).strip("-")
        write_atomically(folder / f"{walk.name}-{i:02}-{name}.png", png(rgb))
    page = folder / walk.file
    write_atomically(page, html(walk, seed, told, changes, links).encode())
    return page


def html(
    walk: Walk, seed: int | None, told: WalkResult, changes: Sequence[Answered | None], links: Sequence[Link]
) -> str:
    """The page of a walk, one document that loads nothing."""
    return render_page(
        "walkthrough.html",
        title=walk.name,
        summary=walk.summary + (f" · seed {seed}" if seed is not None else ""),
        result=told,
        steps=list(zip(told.steps, changes, strict=True)),
        links=links,
    )


def links(
    walk: Walk, walks: Sequence[Walk], written: Sequence[Walk], folder: Path, model_page: Path | None
) -> list[Link]:
    """To the other walks, as far as they lie in the folder or will, and to the page that holds the model.

    Args:
        walk: whose page it is.
        walks: all.
        written: that are written now.
        folder: where the pages lie.
        model_page: that of the model that was walked through, if there is one.
    """
    found = [
        (w.name, "" if w is walk else w.file) for w in walks if w in (walk, *written) or (folder / w.file).is_file()
    ]
    beside = sorted(folder.glob("model-step*.html")) + [p for p in [folder / "model.html"] if p.is_file()]
    if held := model_page or next(iter(beside), None):
        found.append(("the model itself", quote(os.path.relpath(held, folder).replace(os.sep, "/"))))
    return found
