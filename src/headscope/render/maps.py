"""Maps of heads as pictures: RGB arrays (height, width, 3), uint8.

Shapes: H heads, T positions.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headscope.render.axes import LARGE, NARROWEST, NORMAL, SMALL, Axes
from headscope.render.canvas import MARGIN, Canvas
from headscope.render.colours import BACKGROUND, INK, RGB, attention_colours, colours
from headscope.render.fonts import drawable, ink, line_height
from headscope.render.labels import label, shorten

MAP_PIXELS = 448  #: about the side of one map, if its labels need no more
ALONE = 640  #: the same for a head that has a picture to itself
WINDOW = slice(0, 32)  #: the positions shown of a longer context: four maps of this size side by side can be read
EARLIER = "…"  #: labels the column that stands for all positions before the window


def head_names(layer: int, n_heads: int, roles: Mapping[tuple[int, int], str] | None = None) -> list[str]:
    """What stands above each head of a layer: L1H2, and its role if one is given for (layer, head)."""
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
    """Maps side by side, a token at every row and column, the text once above.

    A window that starts later has one more column at the left: the sum over all earlier positions. So every row still
    shows all of its weight.

    Args:
        maps: (H, T, T), query before key, nothing above the diagonal: attention weights, or lengths of what is moved.
        tokens: T of them.
        title: above everything.
        captions: above each map.
        window: the positions that are shown, such as `slice(-32, None)` for the last 32.
        largest: the value of the darkest colour; larger ones have it too.
        pixels: about the side of one map.
    """
    t = maps.shape[-1]
    shown = range(t)[window]
    names = _names(tokens[window], 8)
    cells = attention_colours(maps[:, window, window] / max(largest, 1e-9))  # (H, W, W, 3)
    columns = names
    if shown[0]:
        earlier = maps[:, window, : shown[0]].sum(-1, keepdims=True) / max(largest, 1e-9)  # (H, W, 1)
        gap = np.broadcast_to(np.array(BACKGROUND, dtype=np.uint8), (*cells.shape[:2], 1, 3))
        cells = np.concatenate((colours(np.sqrt(earlier)), gap, cells), 2)
        columns = [EARLIER, "", *names]
    side = max(NARROWEST, min(64, pixels // len(shown)))
    axes = Axes(names, columns, (side, side))
    width = axes.left + max(len(columns) * side, *(ink(x, NORMAL).width for x in captions)) + 16
    across = _across(len(maps))
    canvas = Canvas()
    canvas.write(MARGIN, 8, title, LARGE)
    y = _text(canvas, 8 + line_height(LARGE) + 4, tokens[window], max(across * width, 480))
    _scale(canvas, MARGIN, y, largest)
    if len(shown) < t:
        canvas.write(MARGIN + 190, y - 3, f"positions {shown[0]} to {shown[-1]} of 0 to {t - 1}", NORMAL)
    if shown[0]:
        canvas.write(MARGIN + 190, y + 13, f"column {EARLIER} is the sum over all earlier ones", NORMAL)
    height = line_height(NORMAL) + 4 + axes.top + len(shown) * side + 12
    for i, (caption, rgb) in enumerate(zip(captions, cells, strict=True)):
        x, top = MARGIN + i % across * width, y + 34 + i // across * height
        canvas.write(x + axes.left, top, caption, NORMAL)
        axes.put(canvas, x, top + line_height(NORMAL) + 4, rgb)
    return canvas.picture()


def _names(tokens: Sequence[str], most: int) -> list[str]:
    """Tokens as an axis shows them."""
    return shorten([drawable(label(x)) for x in tokens], most)


def _across(maps: int) -> int:
    """How many maps stand side by side: about a square, without gaps if a near shape has none."""
    square = math.ceil(math.sqrt(maps))
    return next((n for n in range(square, 5) if maps % n == 0), square)


def _text(canvas: Canvas, y: int, tokens: Sequence[str], room: int) -> int:
    """Writes tokens in lines of about `room` pixels, with blanks between them if they are more than characters.

    Returns:
        Where to go on below.
    """
    between = " " if any(len(x) > 1 for x in tokens) else ""
    lines = [""]
    for name in _names(tokens, 32):
        longer = lines[-1] + between + name if lines[-1] else name
        if lines[-1] and ink(longer, NORMAL).width > room:
            lines.append(name)
        else:
            lines[-1] = longer
    for line in lines:
        canvas.write(MARGIN, y, line, NORMAL)
        y += line_height(NORMAL) + 2
    return y + 8


def _scale(canvas: Canvas, x: int, y: int, largest: float) -> None:
    """The colours from 0 to the largest value."""
    width = 160
    canvas.put(x, y, Image.fromarray(colours(np.linspace(0, 1, width)[None].repeat(10, 0))))  # (10, 160, 3)
    for part in (0.0, 0.1, 0.5, 1.0):
        number = ink(f"{part * largest:.2g}", SMALL)
        place = x + round(part**0.5 * width) - number.width // 2
        canvas.put(max(0, place), y + 12, number, INK)
