"""Positions of the parts of a picture before it is drawn."""

from unittest.mock import patch

import numpy as np
from hypothesis import strategies as st

from headscope.render.canvas import Canvas

LABELS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20) | st.text("aé日🙂ا\u0301 \n", min_size=1)


def laid_out(draw, *arguments):
    """Returns the canvas of a picture before it is drawn."""
    with patch.object(Canvas, "picture", lambda canvas: canvas):
        return draw(*arguments)


def pixels(picture, part):
    return picture[part.y : part.y + part.image.height, part.x : part.x + part.image.width]


def boxes(parts):
    """Returns left, top, right and bottom of each part, (N, 4)."""
    return np.array([(p.x, p.y, p.x + p.image.width, p.y + p.image.height) for p in parts])


def overlap(parts):
    left, top, right, bottom = boxes(parts).T
    across = (left[:, None] < right) & (left < right[:, None])
    down = (top[:, None] < bottom) & (top < bottom[:, None])
    return (across & down & ~np.eye(len(parts), dtype=bool)).any()


def check_fits(canvas):
    """Checks that every part is inside the picture."""
    height, width, _ = canvas.picture().shape
    left, top, right, bottom = boxes(canvas.parts).T
    assert min(left.min(), top.min()) >= 0
    assert right.max() < width
    assert bottom.max() < height
