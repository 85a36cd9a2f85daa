"""Numbers to pictures: RGB arrays (height, width, 3), uint8.

Shapes: H heads, T positions, C channels.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headscope.render.axes import NARROWEST, NORMAL, SMALL, Axes
from headscope.render.canvas import MARGIN, Canvas
from headscope.render.colours import BACKGROUND, DIVERGING, INK, RGB, attention_colours, colours
from headscope.render.fonts import drawable, ink
from headscope.render.labels import label, shorten

LARGE = 16  #: font size of a title
HEAD_PIXELS = 512  #: about the side of one head's map, if its labels need no more
WINDOW = slice(0, 64)  #: the positions shown of a longer context: 64 labels in a row can still be read
WHITE = (255, 255, 255)


def heads_picture(maps: NDArray[np.float64], tokens: Sequence[str], title: str, window: slice = WINDOW) -> RGB:
    """All heads of a layer side by side, with a token at every row and column.

    Args:
        maps: attention weights (H, T, T), query before key.
        tokens: T of them.
        title: above everything.
        window: the positions that are shown, such as `slice(-48, None)` for the last 48.
    """
    n_heads, t, _ = maps.shape
    shown = range(t)[window]
    names = _names([label(x) for x in tokens[window]], 8)
    side = max(NARROWEST, min(64, HEAD_PIXELS // len(shown)))
    axes = Axes(names, names, (side, side))
    canvas = Canvas()
    canvas.write(MARGIN, 8, title, LARGE)
    _scale(canvas, MARGIN, 34)
    if len(shown) < t:
        earlier = "; weights on earlier ones are not shown" if shown[0] else ""
        canvas.write(MARGIN + 190, 31, f"positions {shown[0]} to {shown[-1]} of 0 to {t - 1}{earlier}", NORMAL)
    captions = [f"head {h}" for h in range(n_heads)]
    columns = math.ceil(math.sqrt(n_heads))
    columns = next((c for c in range(columns, 5) if n_heads % c == 0), columns)  # no gaps if a near shape has none
    width = axes.left + max(len(shown) * side, *(ink(x, NORMAL).width for x in captions)) + 16
    height = 20 + axes.top + len(shown) * side + 12
    for h, caption in enumerate(captions):
        x, y = MARGIN + h % columns * width, 68 + h // columns * height
        canvas.write(x + axes.left, y, caption, NORMAL)
        axes.put(canvas, x, y + 20, attention_colours(maps[h, window, window]))
    return canvas.picture()


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


def _scale(canvas: Canvas, x: int, y: int) -> None:
    """The colours of the weights."""
    width = 160
    canvas.put(x, y, Image.fromarray(colours(np.linspace(0, 1, width)[None].repeat(10, 0))))  # (10, 160, 3)
    for weight in (0.0, 0.1, 0.5, 1.0):
        number = ink(f"{weight:g}", SMALL)
        place = x + round(weight**0.5 * width) - number.width // 2
        canvas.put(place, y + 12, number, INK)
