"""Text as ink, each character in a font that has it.

DejaVu, which comes with matplotlib, is tried first: it tells I, l, 1 and | apart. Pillow's own font and the system's
fonts follow. A character that no font has stands there as its code point.
"""

from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont

from headscope.render.labels import code_point

PILLOW = ""  #: stands for Pillow's own font
DEJAVU = ("DejaVuSansMono.ttf", "DejaVuSans.ttf")
#: Outline fonts with many scripts; Pillow looks for them in the system's folders.
SYSTEM = (
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf"),
    *("NotoSans-Regular.ttf", "FreeSans.ttf", "FreeSerif.ttf", "unifont.otf"),
    *("Arial Unicode.ttf", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc", "Apple Symbols.ttf"),  # macOS
    *("msyh.ttc", "YuGothM.ttc", "malgun.ttf", "Nirmala.ttc", "seguiemj.ttf", "seguisym.ttf"),  # Windows
)
NOWHERE = "\U0010ffff"  #: a code point that never gets a glyph: fonts draw their box for missing ones


def line_height(size: int) -> int:
    """Pixels from the top of É to the bottom of g at a font size."""
    return _ascent(size) + round(0.24 * size)


def drawable(text: str) -> str:
    """The text with the code points of characters that no font has."""
    return "".join(c if c == " " or any(_has(name, c) for name in _names()) else code_point(c, text) for c in text)


@lru_cache(4096)
def ink(text: str, size: int) -> Image.Image:
    """A mask (mode L) of a text: `line_height(size)` high, and as wide as the text.

    Text that is higher than a line, such as a pile of accents, is shrunk.
    """
    runs = [(_font(name, size), run) for name, run in _runs(drawable(text))]
    boxes = [font.getbbox(run, anchor="ls") for font, run in runs]  # left, top, right, bottom from the baseline
    above = -min((int(top) for _, top, _, _ in boxes), default=0)
    below = max((int(bottom) for _, _, _, bottom in boxes), default=0)
    width = max(1, sum(int(right - min(left, 0)) for left, _, right, _ in boxes))
    height = line_height(size)
    baseline = max(above, min(height - below, _ascent(size)))  # moved if that keeps all ink in the line
    mask = Image.new("L", (width, max(height, above + below)))
    draw, x = ImageDraw.Draw(mask), 0
    for (font, run), (left, _, right, _) in zip(runs, boxes, strict=True):
        draw.text((x - min(left, 0), baseline), run, 255, font, anchor="ls")
        x += int(right - min(left, 0))
    if mask.height == height:
        return mask
    return mask.resize((max(1, width * height // mask.height), height), Image.Resampling.LANCZOS)


def _ascent(size: int) -> int:
    return round(0.93 * size)


def _runs(text: str) -> Iterator[tuple[str, str]]:
    """(font, part of the text): one font if one has all of it, else each character in the first font that has it."""
    whole = next((name for name in _names() if all(c == " " or _has(name, c) for c in text)), None)
    for name, run in groupby(text, lambda c: whole or next(n for n in _names() if c == " " or _has(n, c))):
        yield name, "".join(run)


@cache
def _names() -> tuple[str, ...]:
    """All fonts in the order in which they are tried; DejaVu without matplotlib is one of the system's."""
    matplotlib = find_spec("matplotlib")  # found, not imported: that would take half a second
    folders = matplotlib.submodule_search_locations if matplotlib else None
    bundled = f"{folders[0]}/mpl-data/fonts/ttf/" if folders else ""
    return (*(bundled + name for name in DEJAVU), PILLOW, *SYSTEM)


@cache
def _has(name: str, character: str) -> bool:
    """Whether a font is there and shows a character: with ink, and not by its box for missing ones."""
    plain = _plain(name)
    if plain is None or not character.isprintable():
        return False
    glyph, missing = plain.getmask(character), plain.getmask(NOWHERE)
    return glyph.getbbox() is not None and (glyph.size, list(glyph)) != (missing.size, list(missing))


@cache
def _plain(name: str) -> ImageFont.FreeTypeFont | None:
    """A font without shaping, which would put a circle under a lone accent; None if it is not there."""
    try:
        return _font(name, 16).font_variant(layout_engine=ImageFont.Layout.BASIC) if name else _font(name, 16)
    except OSError:
        return None


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
