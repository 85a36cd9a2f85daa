"""Draws attention maps, matrices and tables of vectors as RGB arrays (height, width, 3) of uint8.

Shapes: H heads, T positions, W positions in the window, C channels, R rows, K columns.
"""

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headscope.render.canvas import LARGE, MARGIN, NORMAL, SMALL, SMALLEST_CELL, Axes, Canvas
from headscope.render.colours import BACKGROUND, DIVERGING, INK, RGB, WHITE, attention_colours, colours
from headscope.render.fonts import line_height, replace_undrawable, text_mask
from headscope.render.labels import label, shorten

MAP_PIXELS = 448  #: approximate side of a map in pixels; long labels can make it larger
ALONE = 640  #: approximate side in pixels of a map that is alone in its picture
WINDOW = slice(0, 32)  #: the positions shown of a longer context; 4 such maps next to each other are readable
EARLIER = "…"  #: label of the column for all positions before the window
SCALE_WIDTH = 160  #: pixels of the colour scale


def head_names(layer: int, n_heads: int, roles: Mapping[tuple[int, int], str] | None = None) -> list[str]:
    """Returns the names of a layer's heads, such as “L1H2”, or “L1H2: role” if `roles` has a role for (layer, head)."""
    names = [(f"L{layer}H{head}", (roles or {}).get((layer, head))) for head in range(n_heads)]
    return [f"{name}: {role}" if role else name for name, role in names]


def maps_picture(
    maps: NDArray[np.float64],
    tokens: Sequence[str],
    title: str,
    captions: Sequence[str],
    window: slice = WINDOW,
    largest: float = 1.0,
    pixels: int = MAP_PIXELS,
) -> RGB:
    """Draws maps next to each other, with a token as the label of every row and column, and the text above all maps.

    If the window starts after position 0, an extra column at the left shows the sum over all earlier positions, so that
    each row still shows its total weight.

    `maps` (H, T, T) has one row per query and is zero above the diagonal: attention weights, or the norms of the
    vectors that a head moves from key to query. The H captions are above the maps. `window` selects the positions to
    show; `slice(-32, None)` selects the last 32. Values of at least `largest` have the darkest colour. `pixels` is the
    approximate side of one map.
    """
    t = maps.shape[-1]
    shown = range(t)[window]
    names = [replace_undrawable(label(token)) for token in tokens[window]]
    rows = columns = shorten(names, 8)
    cells = attention_colours(maps[:, window, window] / max(largest, 1e-9))  # (H, W, W, 3)
    if shown[0]:
        earlier = maps[:, window, : shown[0]].sum(-1, keepdims=True) / max(largest, 1e-9)  # (H, W, 1)
        gap = np.broadcast_to(np.array(BACKGROUND, dtype=np.uint8), (*cells.shape[:2], 1, 3))
        cells = np.concatenate((colours(np.sqrt(earlier)), gap, cells), 2)  # (H, W, W + 2, 3)
        columns = [EARLIER, "", *rows]
    side = max(SMALLEST_CELL, min(64, pixels // len(shown)))
    axes = Axes(rows, columns, (side, side))
    width = axes.left + max(len(columns) * side, *(text_mask(caption, NORMAL).width for caption in captions)) + 16
    square = math.ceil(math.sqrt(len(maps)))
    per_row = next((n for n in range(square, 5) if len(maps) % n == 0), square)  # up to 4, if every row is then full
    canvas = Canvas()
    canvas.write(MARGIN, 8, title, LARGE)
    separator = " " if any(len(token) > 1 for token in tokens[window]) else ""
    y = _write_wrapped(canvas, 8 + line_height(LARGE) + 4, shorten(names, 32), separator, max(per_row * width, 480))
    _draw_scale(canvas, MARGIN, y, largest)
    if len(shown) < t:
        canvas.write(MARGIN + 190, y - 3, f"positions {shown[0]} to {shown[-1]} of 0 to {t - 1}", NORMAL)
    if shown[0]:
        canvas.write(MARGIN + 190, y + 13, f"column {EARLIER} is the sum over all earlier positions", NORMAL)
    height = line_height(NORMAL) + 4 + axes.top + len(shown) * side + 12
    for i, (caption, rgb) in enumerate(zip(captions, cells, strict=True)):
        x, top = MARGIN + i % per_row * width, y + 34 + i // per_row * height
        canvas.write(x + axes.left, top, caption, NORMAL)
        axes.put(canvas, x, top + line_height(NORMAL) + 4, rgb)
    return canvas.picture()


def _write_wrapped(canvas: Canvas, y: int, words: Sequence[str], separator: str, width: int) -> int:
    """Writes words in lines of about `width` pixels, and returns the y position below the last line."""
    lines = [""]
    for word in words:
        longer = lines[-1] + separator + word if lines[-1] else word
        if lines[-1] and text_mask(longer, NORMAL).width > width:
            lines.append(word)
        else:
            lines[-1] = longer
    for line in lines:
        canvas.write(MARGIN, y, line, NORMAL)
        y += line_height(NORMAL) + 2
    return y + 8


def _draw_scale(canvas: Canvas, x: int, y: int, largest: float) -> None:
    """Draws the colour scale from 0 to `largest`, with four numbers below it."""
    ramp = colours(np.linspace(0, 1, SCALE_WIDTH))[None].repeat(10, 0)  # (10, 160, 3)
    canvas.put(x, y, Image.fromarray(ramp))
    for part in (0.0, 0.1, 0.5, 1.0):
        number = text_mask(f"{part * largest:.2g}", SMALL)
        left = x + round(part**0.5 * SCALE_WIDTH) - number.width // 2
        canvas.put(max(0, left), y + 12, number, INK)


def table_picture(table: NDArray[np.float64], title: str) -> RGB:
    """Draws a table (T, C) of position vectors, with one column per position and one row per channel. Zero is white."""
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
    """Draws a matrix (R, K) with labels. In a small matrix, every cell shows its number.

    With `weights`, the values are weights from 0 to 1, coloured by their square root as in `attention_colours`.
    Otherwise the values have a sign, and zero is white. Cells with masked values have the background's colour: values
    that are not finite, and weights of exactly 0.
    """
    r, k = values.shape
    hidden = ~np.isfinite(values) | (weights & (values == 0))
    shown = np.where(hidden, 0, values)
    limit = max(float(np.abs(shown).max()), 1e-9)
    rgb = colours(np.sqrt(shown)) if weights else colours((shown / limit + 1) / 2, DIVERGING)
    rgb[hidden] = BACKGROUND
    left_labels, top_labels = (shorten([*map(replace_undrawable, labels)], 12) for labels in (rows, columns))
    numbers = {}
    if r * k <= 128 and k <= 16:
        form = "z.3f" if limit < 100 else ".3g"
        numbers = {(i, j): text_mask(f"{shown[i, j]:{form}}", NORMAL) for i, j in np.argwhere(~hidden).tolist()}
        widest = max(mask.width for mask in (*numbers.values(), *(text_mask(label, NORMAL) for label in top_labels)))
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
