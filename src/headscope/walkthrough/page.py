"""A walk as files: a picture of each matrix, and one page that needs nothing else."""

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from headscope.files import write_atomically
from headscope.render.pages import render_page
from headscope.render.pictures import matrix_picture
from headscope.walkthrough.step import Step, Told, Walk


@dataclass(frozen=True)
class Picture:
    """A PNG.

    Attributes:
        png: its bytes.
        width: in pixels.
    """

    png: bytes
    width: int

    @property
    def base64(self) -> str:
        """Its bytes as text."""
        return base64.b64encode(self.png).decode()


def write(walk: Walk, seed: int, told: Told, folder: Path) -> Path:
    """Writes NAME.html and NAME-NN-TITLE.png for every matrix into the folder; returns the page.

    Raises:
        UserError: the folder cannot be created or written to.
        RunFailed: the disk is full.
    """
    steps = [(step, None if step.kind == "table" else _picture(step)) for step in told.steps]
    for i, (step, picture) in enumerate(steps, 1):
        if picture:
            name = f"{walk.name}-{i:02}-{re.sub('[^a-z0-9]+', '-', step.title)}.png"
            write_atomically(folder / name, picture.png)
    summary = f"{walk.summary} · seed {seed}"
    page = folder / f"{walk.name}.html"
    html = render_page("walkthrough.html", title=walk.name, summary=summary, steps=steps, departure=told.departure)
    write_atomically(page, html.encode())
    return page


def _picture(step: Step) -> Picture:
    values = step.values.double().numpy()
    rgb = matrix_picture(values, step.rows, step.header, step.title, step.kind == "weights")
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    return Picture(file.getvalue(), rgb.shape[1])
