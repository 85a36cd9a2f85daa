"""Matrices and tables of vectors as pictures: RGB arrays (height, width, 3), uint8.

Shapes: T positions, C channels.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headscope.render.axes import LARGE, NARROWEST, NORMAL, Axes
from headscope.render.canvas import MARGIN, Canvas
from headscope.render.colours import BACKGROUND, DIVERGING, INK, RGB, colours
from headscope.render.fonts import drawable, ink
from headscope.render.labels import shorten

WHITE = (255, 255, 255)


def table_picture(table: NDArray[np.float64], title: str) -> RGB:
    """Vectors added at each position, (T, C), as positions across and channels down; white is zero."""
    t, c = table.shape
    limit = max(float(np.abs(table).max()), 1e-9)
    cell = max(1, min(8, 1024 // t)), max(1, min(8, 640 // c))
    cells = Image.fromarray(colours((table.T / limit + 1) / 2, DIVERGING))
    canvas = Canvas()
    canvas.write(MARGIN, 8, title, LARGE)
    canvas.put(MARGIN, 36, cells.resize((t * cell[0], c * cell[1]), Image.Resampling.NEAREST))
    ends = f"position 0 to {t - 1} across, channel 0 to {c - 1} down, ±{limit:.3g}"
    canvas.write(MARGIN, 36 + c * cell[1] + 6, ends, NORMAL)
    return canvas.picture()


def matrix_picture(
    values: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], title: str, weights: bool
) -> RGB:
    """A labelled matrix (R, C), with its numbers in the cells if they are few.

    Values that are not finite have the background's colour. So do weights of exactly 0: they are masked, not small.

    Args:
        values: (R, C).
        rows: R labels, drawn as they are.
        columns: C labels.
        title: above everything.
        weights: values from 0 to 1, coloured by their square root as in `attention_colours`; if false, values with a
            sign, white at zero.
    """
    r, c = values.shape
    hidden = ~np.isfinite(values) | (weights & (values == 0))
    shown = np.where(hidden, 0, values)
    limit = max(float(np.abs(shown).max()), 1e-9)
    rgb = colours(np.sqrt(shown)) if weights else colours((shown / limit + 1) / 2, DIVERGING)
    rgb[hidden] = BACKGROUND
    above = _names(columns, 12)
    numbers = {}
    if r * c <= 128 and c <= 16:
        form = "z.3f" if limit < 100 else ".3g"
        numbers = {(i, j): ink(f"{shown[i, j]:{form}}", NORMAL) for i, j in np.argwhere(~hidden).tolist()}
        widest = max(x.width for x in (*numbers.values(), *(ink(name, NORMAL) for name in above)))
        cell = max(56, widest + 8), 26
    else:
        cell = max(NARROWEST, min(24, 960 // c)), max(NARROWEST, min(24, 960 // r))
    axes = Axes(_names(rows, 12), above, cell)
    canvas = Canvas()
    canvas.write(MARGIN, 8, title, LARGE)
    axes.put(canvas, MARGIN, 34, rgb)
    left, top = MARGIN + axes.left, 34 + axes.top
    for (i, j), number in numbers.items():
        x, y = left + j * cell[0] + (cell[0] - number.width) // 2, top + i * cell[1] + (cell[1] - number.height) // 2
        canvas.put(x, y, number, INK if rgb[i, j].mean() > 140 else WHITE)
    scale = "white is 0, dark blue is 1" if weights else f"white is 0, blue up to {limit:.3g}, red down to -{limit:.3g}"
    canvas.write(MARGIN, top + r * cell[1] + 6, scale, NORMAL)
    return canvas.picture()


def _names(labels: Sequence[str], most: int) -> list[str]:
    """Labels as an axis shows them."""
    return shorten([drawable(x) for x in labels], most)


def png(rgb: RGB) -> bytes:
    """A picture as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG", optimize=True)
    return file.getvalue()
