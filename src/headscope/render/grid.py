"""Draws a score of every head as a grid with one row per layer, one column per head, and the number in each cell.

Shapes: L layers, H heads.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from headscope.render.canvas import LARGE, MARGIN, NORMAL, Axes, Canvas
from headscope.render.colours import BACKGROUND, DIVERGING, INK, RAMP, RGB, WHITE, colours
from headscope.render.fonts import line_height, text_mask

CELL = (58, 40)  #: width and height in pixels


def scores_picture(
    scores: NDArray[np.float64], title: str, subtitle: str, text: Callable[[float], str] = "{:.2f}".format
) -> RGB:
    """Draws scores (L, H): 0 is white, 1 is dark blue, and negative scores are red. The cell of a NaN is empty.

    Args:
        scores: colours cover the range -1 to 1; scores outside of this range have the colour of the nearer limit.
        title: shown at the top of the picture.
        subtitle: shown below the title in a smaller font.
        text: formats a score for its cell.
    """
    signed = bool(np.nanmin(scores, initial=0.0) < 0)
    ramp_position = (np.nan_to_num(scores) + 1) / 2 if signed else np.nan_to_num(scores)
    rgb = colours(ramp_position, DIVERGING if signed else RAMP)
    rgb[np.isnan(scores)] = BACKGROUND
    layers, heads = scores.shape
    axes = Axes([f"layer {i}" for i in range(layers)], [f"head {i}" for i in range(heads)], CELL)
    canvas = Canvas()
    canvas.write(MARGIN, 8, title, LARGE)
    canvas.write(MARGIN, 8 + line_height(LARGE) + 2, subtitle, NORMAL)
    top = 8 + line_height(LARGE) + line_height(NORMAL) + 12
    axes.put(canvas, MARGIN, top, rgb)
    for i, j in np.argwhere(~np.isnan(scores)):
        number = text_mask(text(float(scores[i, j])), NORMAL)
        x = MARGIN + axes.left + j * CELL[0] + (CELL[0] - number.width) // 2
        y = top + axes.top + i * CELL[1] + (CELL[1] - number.height) // 2
        canvas.put(int(x), int(y), number, INK if rgb[i, j].astype(int).sum() > 400 else WHITE)
    return canvas.picture()
