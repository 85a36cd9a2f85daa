"""Numbers to pictures: RGB arrays (height, width, 3), uint8.

Shapes: H heads, T positions (Tq of queries, Tk of keys), C channels.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

RGB = NDArray[np.uint8]

BACKGROUND = (246, 246, 244)
INK = (40, 40, 40)
SOFT = (48, 112, 178)
#: Weight 0 to weight 1, equal steps of lightness: dark is much, and it prints in grey.
RAMP = np.array([(255, 255, 255), (201, 220, 239), (124, 174, 215), (48, 112, 178), (8, 40, 96)], dtype=float)
#: -1 to 1, for values with a sign.
DIVERGING = np.array([(178, 58, 18), (238, 170, 130), (255, 255, 255), (136, 178, 220), (24, 78, 150)], dtype=float)
HEAD_PIXELS = 512  #: about the side of one head's map
LABEL = 11  #: height of a label, and what it needs along an axis


def label(token: str) -> str:
    """A token so that a reader sees it: space ·, newline ↵, tab →, what has no picture by its code point."""
    return "".join({" ": "·", "\n": "↵", "\t": "→"}.get(c, c if c.isprintable() else f"{ord(c):x}") for c in token)


def colours(values: NDArray[np.float64], ramp: NDArray[np.float64] = RAMP) -> RGB:
    """Values in [0, 1], any shape (...), to colours (..., 3) along a ramp."""
    place = np.clip(values, 0, 1) * (len(ramp) - 1)
    low = np.minimum(place.astype(int), len(ramp) - 2)
    part = (place - low)[..., None]
    rgb: RGB = np.rint(ramp[low] * (1 - part) + ramp[low + 1] * part).astype(np.uint8)
    return rgb


def attention_colours(a: NDArray[np.float64]) -> RGB:
    """Weights (..., Tq, Tk) to colours (..., Tq, Tk, 3) on a fixed scale, the square root of the weight.

    The root keeps a sink from hiding the rest. What the causal mask hides is not drawn: it has the background's colour.
    """
    rgb = colours(np.sqrt(a))
    t_q, t_k = a.shape[-2:]
    rgb[..., np.arange(t_k)[None] > np.arange(t_q)[:, None] + t_k - t_q, :] = BACKGROUND
    return rgb


def heads_picture(maps: NDArray[np.float64], tokens: Sequence[str], title: str) -> RGB:
    """All heads of a layer side by side, labelled with the tokens.

    Args:
        maps: attention weights (H, T, T), query before key.
        tokens: T of them.
        title: above everything.
    """
    n_heads, t, _ = maps.shape
    cell = max(3, min(32, HEAD_PIXELS // t))
    labels = [label(x) for x in tokens]
    down, across = _axis(labels, cell, False), _axis(labels, cell, True)
    columns = math.ceil(math.sqrt(n_heads))
    columns = next((c for c in range(columns, 5) if n_heads % c == 0), columns)  # no gaps if a near shape has none
    rows = -(-n_heads // columns)
    width, height = down.width + t * cell + 16, across.height + t * cell + 28
    page = Image.new("RGB", (columns * width + 16, rows * height + 40), BACKGROUND)
    draw = ImageDraw.Draw(page)
    draw.text((12, 8), title, INK, _font(16))
    _scale(page, draw)
    for h in range(n_heads):
        x, y = 8 + h % columns * width, 40 + h // columns * height
        draw.text((x + down.width, y), f"head {h}", INK, _font(13))
        page.paste(across, (x + down.width, y + 18))
        page.paste(down, (x, y + 18 + across.height))
        picture = Image.fromarray(attention_colours(maps[h]))
        page.paste(picture.resize((t * cell, t * cell), 0), (x + down.width, y + 18 + across.height))
    return np.asarray(page)


def table_picture(table: NDArray[np.float64], title: str) -> RGB:
    """Vectors added at each position, (T, C), as positions across and channels down; white is zero."""
    t, c = table.shape
    limit = max(float(np.abs(table).max()), 1e-9)
    cell = max(1, min(8, 1024 // t)), max(1, min(8, 640 // c))
    body = Image.fromarray(colours((table.T / limit + 1) / 2, DIVERGING)).resize((t * cell[0], c * cell[1]), 0)
    page = Image.new("RGB", (max(body.width, 320) + 24, body.height + 64), BACKGROUND)
    draw = ImageDraw.Draw(page)
    draw.text((12, 8), title, INK, _font(16))
    page.paste(body, (12, 36))
    ends = f"position 0 to {t - 1} across, channel 0 to {c - 1} down, ±{limit:.3g}"
    draw.text((12, body.height + 42), ends, INK, _font(12))
    return np.asarray(page)


def matrix_picture(
    values: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], title: str, weights: bool
) -> RGB:
    """A labelled matrix (R, C), with its numbers in the cells where these are few.

    What is not finite has the background's colour, and so has a weight of exactly 0: hidden, not small.

    Args:
        values: (R, C).
        rows: R labels.
        columns: C labels.
        title: above everything.
        weights: values from 0 to 1, coloured by their square root as in `attention_colours`; if false, values with a
            sign, white at zero.
    """
    r, c = values.shape
    numbers = r * c <= 128 and c <= 16
    names = [label(x) for x in columns]
    longest = max(_font(13).getlength(x) for x in names) + 8
    cell = (max(56, min(96, int(longest))), 26) if numbers else (max(3, min(24, 960 // c)), max(3, min(24, 960 // r)))
    hidden = ~np.isfinite(values) | (weights & (values == 0))
    shown = np.where(hidden, 0, values)
    limit = max(float(np.abs(shown).max()), 1e-9)
    rgb = colours(np.sqrt(shown)) if weights else colours((shown / limit + 1) / 2, DIVERGING)
    rgb[hidden] = BACKGROUND
    wide = longest <= cell[0] + 1  # names fit above their columns, unturned
    across = Image.new("RGB", (c * cell[0], 20), BACKGROUND) if wide else _axis(names, cell[0], True)
    down = _axis([label(x) for x in rows], cell[1], False)
    left, top = 12 + down.width, 34 + across.height
    width = max(left + c * cell[0], 12 + int(_font(16).getlength(title)), 12 + 280) + 12
    page = Image.new("RGB", (width, top + r * cell[1] + 30), BACKGROUND)
    draw = ImageDraw.Draw(page)
    draw.text((12, 8), title, INK, _font(16))
    page.paste(across, (left, 34))
    page.paste(down, (12, top))
    page.paste(Image.fromarray(rgb).resize((c * cell[0], r * cell[1]), 0), (left, top))
    for j, name in enumerate(names if wide else []):
        draw.text((left + (j + 0.5) * cell[0], 44), name, INK, _font(13), anchor="mm")
    for i, j in np.argwhere(~hidden) if numbers else []:
        ink = INK if rgb[i, j].mean() > 140 else (255, 255, 255)
        middle = left + (j + 0.5) * cell[0], top + (i + 0.5) * cell[1]
        draw.text(middle, f"{shown[i, j]:z.3f}" if limit < 100 else f"{shown[i, j]:.3g}", ink, _font(13), anchor="mm")
    scale = "white is 0, dark blue is 1" if weights else f"white is 0, blue up to {limit:.3g}, red down to -{limit:.3g}"
    draw.text((12, page.height - 20), scale, INK, _font(12))
    return np.asarray(page)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _text(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, ink: tuple[int, int, int]) -> None:
    """Text, with the arrows drawn by hand that the font does not have."""
    x, y = at
    for part in text.replace("↵", "\0↵\0").replace("→", "\0→\0").split("\0"):
        if part in ("↵", "→"):
            left, right, middle, top = x + 1, x + size * 0.6, y + size * 0.72, y + size * 0.35
            tip = left if part == "↵" else right
            draw.line(
                [(right, top), (right, middle), (left, middle)] if part == "↵" else [(left, middle), (right, middle)],
                ink,
            )
            back = 2 if part == "↵" else -2
            draw.line([(tip + back, middle - 2), (tip, middle), (tip + back, middle + 2)], ink)
            x += size * 0.75
        elif part:
            draw.text((x, y), part, ink, _font(size))
            x += draw.textlength(part, _font(size))


def _axis(labels: Sequence[str], cell: int, across: bool) -> Image.Image:
    """The labels along an axis, in as many lanes as it takes for each to have room: lane i % lanes holds label i."""
    size = LABEL if cell <= LABEL else 13
    probe = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    shown = [x if len(x) <= 8 else x[:7] + "…" for x in labels]
    longest = max(probe.textlength(x.replace("↵", "M").replace("→", "M"), _font(size)) for x in shown)
    upright = across and max(map(len, shown)) <= 1
    along = longest + 1 if upright else size + 1  # what a label takes along the axis
    lanes = max(1, -(-int(along) // cell))
    lane = size + 3 if upright else int(longest) + 4
    image = Image.new(
        "RGB", (len(labels) * cell, lanes * lane) if upright else (lanes * lane, len(labels) * cell), BACKGROUND
    )
    draw = ImageDraw.Draw(image)
    for i, text in enumerate(shown):
        middle, offset = (i + 0.5) * cell, (lanes - 1 - i % lanes) * lane
        ink = INK if i % lanes % 2 == 0 else SOFT  # lanes that alternate read as what they are: one text, interleaved
        width = probe.textlength(text.replace("↵", "M"), _font(size))
        if upright:
            _text(draw, (middle - width / 2, offset), text, size, ink)
        elif across:  # turned below: what is left will be next to the map
            _text(draw, (i % lanes * lane + 3, middle - size * 0.65), text, size, ink)
        else:
            _text(draw, (offset + lane - 3 - width, middle - size * 0.65), text, size, ink)
    return image.transpose(Image.Transpose.ROTATE_90) if across and not upright else image


def _scale(page: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    """The colours of the weights, top right."""
    width, x = 160, page.width - 190
    if x < 260:
        return
    bar = colours(np.linspace(0, 1, width)[None].repeat(10, 0))
    page.paste(Image.fromarray(bar), (x, 8))
    for weight in (0.0, 0.1, 0.5, 1.0):
        draw.text((x + weight**0.5 * width, 20), f"{weight:g}", INK, _font(11), anchor="ma")
