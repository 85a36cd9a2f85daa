"""Draws text, choosing for each character a font that has a glyph for it.

DejaVu, which is part of matplotlib, is preferred because its I, l, 1 and | look different. Next come Pillow's built-in
font and the system's fonts. A character without a glyph in any font is drawn as its code point.
"""

from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont

from headscope.render.labels import code_point

PILLOW = ""  #: stands for Pillow's built-in font, which has no file name
DEJAVU = ("DejaVuSansMono.ttf", "DejaVuSans.ttf")
#: Outline fonts that cover many scripts. Pillow searches the system's font folders for them.
SYSTEM = (
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf"),
    *("NotoSans-Regular.ttf", "FreeSans.ttf", "FreeSerif.ttf", "unifont.otf"),
    *("Arial Unicode.ttf", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc", "Apple Symbols.ttf"),  # macOS
    *("msyh.ttc", "YuGothM.ttc", "malgun.ttf", "Nirmala.ttc", "seguiemj.ttf", "seguisym.ttf"),  # Windows
)
UNASSIGNED = "\U0010ffff"  #: has no glyph in any font, so every font draws its box for missing glyphs


def line_height(size: int) -> int:
    """Returns the height in pixels from the top of É to the bottom of g at a font size."""
    return round(0.93 * size) + round(0.24 * size)


def replace_undrawable(text: str) -> str:
    """Replaces every character that no font can draw with its code point."""
    return "".join(c if c == " " or any(_can_draw(f, c) for f in _font_names()) else code_point(c, text) for c in text)


@lru_cache(4096)
def text_mask(text: str, size: int) -> Image.Image:
    """Returns a mask (mode L) of a line of text, `line_height(size)` high and as wide as the text.

    Text that is taller than a line, such as a letter with many accents, is shrunk to fit.
    """
    runs = [(_font(name, size), run) for name, run in _runs(replace_undrawable(text))]
    boxes = [font.getbbox(run, anchor="ls") for font, run in runs]  # left, top, right, bottom, relative to the baseline
    above = -min((int(top) for _, top, _, _ in boxes), default=0)
    below = max((int(bottom) for _, _, _, bottom in boxes), default=0)
    width = max(1, sum(int(right - min(left, 0)) for left, _, right, _ in boxes))
    height = line_height(size)
    baseline = max(above, min(height - below, round(0.93 * size)))  # moved if a glyph would extend beyond the line
    mask = Image.new("L", (width, max(height, above + below)))
    draw, x = ImageDraw.Draw(mask), 0
    for (font, run), (left, _, right, _) in zip(runs, boxes, strict=True):
        draw.text((x - min(left, 0), baseline), run, 255, font, anchor="ls")
        x += int(right - min(left, 0))
    if mask.height == height:
        return mask
    return mask.resize((max(1, width * height // mask.height), height), Image.Resampling.LANCZOS)


def _runs(text: str) -> Iterator[tuple[str, str]]:
    """Yields (font name, part of the text): the first font that has all characters, or else one for each character."""
    common = next((name for name in _font_names() if all(c == " " or _can_draw(name, c) for c in text)), None)
    for name, run in groupby(text, lambda c: common or next(n for n in _font_names() if c == " " or _can_draw(n, c))):
        yield name, "".join(run)


@cache
def _font_names() -> tuple[str, ...]:
    """Returns all font names in order of preference. Without matplotlib, Pillow searches the system for DejaVu."""
    matplotlib = find_spec("matplotlib")  # finds the folder without an import, which would take half a second
    folders = matplotlib.submodule_search_locations if matplotlib else None
    bundled = f"{folders[0]}/mpl-data/fonts/ttf/" if folders else ""
    return (*(bundled + name for name in DEJAVU), PILLOW, *SYSTEM)


@cache
def _can_draw(name: str, character: str) -> bool:
    """Returns whether a font is installed and has a visible glyph for a character."""
    font = _unshaped_font(name)
    if font is None or not character.isprintable():
        return False
    glyph, missing = font.getmask(character), font.getmask(UNASSIGNED)
    return glyph.getbbox() is not None and (glyph.size, list(glyph)) != (missing.size, list(missing))


@cache
def _unshaped_font(name: str) -> ImageFont.FreeTypeFont | None:
    """Returns a font that draws without shaping; None if the font is not installed.

    Shaping would draw a circle below a lone accent.
    """
    try:
        return _font(name, 16).font_variant(layout_engine=ImageFont.Layout.BASIC) if name else _font(name, 16)
    except OSError:
        return None


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
