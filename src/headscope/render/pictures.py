"""Draws matrices and tables of vectors: RGB arrays (height, width, 3), uint8.

Shapes: T positions, C channels, R rows, K columns.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headscope.render.canvas import LARGE, MARGIN, NORMAL, SMALLEST_CELL, Axes, Canvas
from headscope.render.colours import BACKGROUND, DIVERGING, INK, RGB, WHITE, colours
from headscope.render.fonts import drawable, ink
from headscope.render.labels import shorten


def table_picture(table: NDArray[np.float64], title: str) -> RGB:
    """Draws a table (T, C) of position vectors: positions across, channels down, zero is white."""
    t, c = table.shape
    limit = max(float(np.abs(table).max()), 1e-9)
    width, height = max(1, min(8, 1024 // t)), max(1, min(8, 640 // c))
    cells = Image.fromarray(colours((table.T / limit + 1) / 2, DIVERGING))
    canvas = Canvas()
    canvas.write(MARGIN, 8, title, LARGE)
    canvas.put(MARGIN, 36, cells.resize((t * width, c * height), Image.Resampling.NEAREST))
    ranges = f"position 0 to {t - 1} across, channel 0 to {c - 1} down, ±{limit:.3g}"
    canvas.write(MARGIN, 36 + c * height + 6, ranges, NORMAL)
    return canvas.picture()


def matrix_picture(
    values: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], title: str, weights: bool
) -> RGB:
    """Draws a labelled matrix (R, K). The cells of a small matrix contain their numbers.

    Values that are not finite have the background's colour. So do weights of exactly 0, because they are masked.

    Args:
        values: (R, K).
        rows: R labels.
        columns: K labels.
        title: above the matrix.
        weights: whether the values are weights from 0 to 1, coloured by their square root as in `attention_colours`.
            Other values have a sign, and zero is white.
    """
    r, k = values.shape
    hidden = ~np.isfinite(values) | (weights & (values == 0))
    shown = np.where(hidden, 0, values)
    limit = max(float(np.abs(shown).max()), 1e-9)
    rgb = colours(np.sqrt(shown)) if weights else colours((shown / limit + 1) / 2, DIVERGING)
    rgb[hidden] = BACKGROUND
    left_labels, top_labels = (shorten([drawable(label) for label in labels], 12) for labels in (rows, columns))
    numbers = {}
    if r * k <= 128 and k <= 16:
        form = "z.3f" if limit < 100 else ".3g"
        numbers = {(i, j): ink(f"{shown[i, j]:{form}}", NORMAL) for i, j in np.argwhere(~hidden).tolist()}
        widest = max(mask.width for mask in (*numbers.values(), *(ink(label, NORMAL) for label in top_labels)))
        cell = max(56, widest + 8), 26
    else:
        cell = max(SMALLEST_CELL, min(24, 960 // k)), max(SMALLEST_CELL, min(24, 960 // r))
    axes = Axes(left_labels, top_labels, cell)
    canvas = Canvas()
    canvas.write(MARGIN, 8, title, LARGE)
    axes.put(canvas, MARGIN, 34, rgb)
    left, top = MARGIN + axes.left, 34 + axes.top
    for (i, j), mask in numbers.items():
        x, y = left + j * cell[0] + (cell[0] - mask.width) // 2, top + i * cell[1] + (cell[1] - mask.height) // 2
        canvas.put(x, y, mask, INK if rgb[i, j].mean() > 140 else WHITE)
    scale = "white is 0, dark blue is 1" if weights else f"white is 0, blue up to {limit:.3g}, red down to -{limit:.3g}"
    canvas.write(MARGIN, top + r * cell[1] + 6, scale, NORMAL)
    return canvas.picture()


def png(rgb: RGB) -> bytes:
    """Returns a picture as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG", optimize=True)
    return file.getvalue()
