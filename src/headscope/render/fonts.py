"""Draws text, each character in a font that has a glyph for it.

DejaVu, which comes with matplotlib, is the first choice because its I, l, 1 and | differ. Pillow's own font and the
fonts of the system follow. A character that no font has is drawn as its code point.
"""

from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont

from headscope.render.labels import code_point

PILLOW = ""  #: the name of Pillow's own font in this module
DEJAVU = ("DejaVuSansMono.ttf", "DejaVuSans.ttf")
#: Outline fonts with many scripts; Pillow searches the system's folders for them.
SYSTEM = (
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf"),
    *("NotoSans-Regular.ttf", "FreeSans.ttf", "FreeSerif.ttf", "unifont.otf"),
    *("Arial Unicode.ttf", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc", "Apple Symbols.ttf"),  # macOS
    *("msyh.ttc", "YuGothM.ttc", "malgun.ttf", "Nirmala.ttc", "seguiemj.ttf", "seguisym.ttf"),  # Windows
)
UNASSIGNED = "\U0010ffff"  #: never gets a glyph, so a font draws its box for missing glyphs


def line_height(size: int) -> int:
    """Returns the pixels from the top of É to the bottom of g at a font size."""
    return round(0.93 * size) + round(0.24 * size)


def drawable(text: str) -> str:
    """Returns the text with code points in place of the characters that no font has."""
    return "".join(c if c == " " or any(_has(name, c) for name in _names()) else code_point(c, text) for c in text)


@lru_cache(4096)
def ink(text: str, size: int) -> Image.Image:
    """Returns a mask (mode L) of a text, `line_height(size)` high and as wide as the text.

    Text that is higher than a line, such as a letter with many accents, is shrunk.
    """
    runs = [(_font(name, size), run) for name, run in _runs(drawable(text))]
    boxes = [font.getbbox(run, anchor="ls") for font, run in runs]  # left, top, right, bottom from the baseline
    above = -min((int(top) for _, top, _, _ in boxes), default=0)
    below = max((int(bottom) for _, _, _, bottom in boxes), default=0)
    width = max(1, sum(int(right - min(left, 0)) for left, _, right, _ in boxes))
    height = line_height(size)
    baseline = max(above, min(height - below, round(0.93 * size)))  # moved if a glyph would leave the line
    mask = Image.new("L", (width, max(height, above + below)))
    draw, x = ImageDraw.Draw(mask), 0
    for (font, run), (left, _, right, _) in zip(runs, boxes, strict=True):
        draw.text((x - min(left, 0), baseline), run, 255, font, anchor="ls")
        x += int(right - min(left, 0))
    if mask.height == height:
        return mask
    return mask.resize((max(1, width * height // mask.height), height), Image.Resampling.LANCZOS)


def _runs(text: str) -> Iterator[tuple[str, str]]:
    """Yields (font name, part of the text): one font if it has every character, else the first font for each."""
    common = next((name for name in _names() if all(c == " " or _has(name, c) for c in text)), None)
    for name, run in groupby(text, lambda c: common or next(n for n in _names() if c == " " or _has(n, c))):
        yield name, "".join(run)


@cache
def _names() -> tuple[str, ...]:
    """Returns all fonts in order of preference. Without matplotlib, Pillow looks for DejaVu in the system's folders."""
    matplotlib = find_spec("matplotlib")  # located without an import, which would take half a second
    folders = matplotlib.submodule_search_locations if matplotlib else None
    bundled = f"{folders[0]}/mpl-data/fonts/ttf/" if folders else ""
    return (*(bundled + name for name in DEJAVU), PILLOW, *SYSTEM)


@cache
def _has(name: str, character: str) -> bool:
    """Returns whether a font is installed and draws a character visibly, and not as its box for missing glyphs."""
    plain = _plain(name)
    if plain is None or not character.isprintable():
        return False
    glyph, missing = plain.getmask(character), plain.getmask(UNASSIGNED)
    return glyph.getbbox() is not None and (glyph.size, list(glyph)) != (missing.size, list(missing))


@cache
def _plain(name: str) -> ImageFont.FreeTypeFont | None:
    """Returns a font without shaping, which would put a circle under a lone accent; None if it is not installed."""
    try:
        return _font(name, 16).font_variant(layout_engine=ImageFont.Layout.BASIC) if name else _font(name, 16)
    except OSError:
        return None


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
